"""Evaluation of probabilities, with intervals."""
