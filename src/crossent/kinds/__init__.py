"""Kinds of columns: how each claims a column, converts its values, and turns them into blocks of features."""
