"""Models, which turn encoded rows into logits."""
