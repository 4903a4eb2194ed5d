"""Estimators for scikit-learn, which use `fitting` and `solver`."""
