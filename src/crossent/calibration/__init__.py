"""Functions on logits that make probabilities calibrated."""
