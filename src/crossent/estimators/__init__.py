"""The scikit-learn faces: estimators over `fitting` and `solver`."""
