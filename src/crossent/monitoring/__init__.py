"""What training leaves behind: records, measures, rules, diagnoses in words, TensorBoard."""
