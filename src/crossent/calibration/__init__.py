"""Functions on logits that make probabilities honest."""
