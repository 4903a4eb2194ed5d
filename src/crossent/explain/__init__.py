"""What a fitted classifier rests on: what held-out rows say of it, rows to look at, and the evidence for each class."""
