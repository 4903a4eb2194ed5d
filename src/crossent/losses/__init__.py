"""Softmax, cross entropy and their targets: pure functions on torch tensors."""
