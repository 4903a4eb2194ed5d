"""From files and frames to the numbers and codes that models read."""
