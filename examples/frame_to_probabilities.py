"""A frame with numbers and categories to probabilities, and how far they can be trusted."""

import numpy as np
import pandas as pd
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

import crossent as ce

jobs = pd.read_csv(ce.datasets.hpc_path())
train, test = train_test_split(jobs, test_size=0.25, stratify=jobs["class"], random_state=0)

classifier = ce.Classifier(model="boosting", folds=2).fit(train.drop(columns="class"), train["class"])
probs = classifier.predict_proba(test.drop(columns="class"))

print(f"log-loss {log_loss(test['class'], probs):.3f}")
confidence = probs.max(axis=1)
right = classifier.classes_[probs.argmax(axis=1)] == test["class"]
for low, high in ((0.3, 0.6), (0.6, 0.9), (0.9, 1.0)):
    rows = (confidence > low) & (confidence <= high)
    print(f"confidence {low:.0%} to {high:.0%}: {np.sum(rows)} rows, {np.mean(right[rows]):.0%} of them right")
