"""Fits softmax regression to its optimum: arrays in, arrays out."""
