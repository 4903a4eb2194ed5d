"""From a dataset and a recipe to a predictor: candidates, folds, remedies of imbalance, the choice."""
