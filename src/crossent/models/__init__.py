"""Models: anything that turns encoded rows into logits."""
