"""From your own table, text or images to a multiclass classifier whose probabilities you can trust."""

__version__ = "0.1.0"
