"""Training by gradients: the loop and what it steps, from batches and the optimiser to checkpoints and processes."""
