"""Training by gradients: the loop and its parts, from batches and the optimiser to checkpoints and processes."""
