"""What a fitted classifier rests on: what held-out rows say of it, which rows to look at, what speaks for a class."""
