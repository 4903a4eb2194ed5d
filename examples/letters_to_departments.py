"""Short letters in three languages to the department that should read them, and the words that tell."""

from itertools import groupby

import numpy as np
import pandas as pd

import crossent as ce
from crossent.explain.ngrams import find_evidence
from crossent.fitting.fit import fit

TOPICS = {
    "accounts": ["invoice", "payment", "Rechnung", "Zahlung", "facture", "paiement"],
    "repairs": ["broken", "repair", "kaputt", "Reparatur", "cassé", "réparation"],
    "delivery": ["parcel", "late", "Paket", "verspätet", "colis", "retard"],
}
FRAMES = [
    "Please help me with the {} and the {}.",
    "Bitte helfen Sie mir, {} und {}.",
    "Aidez-moi, s'il vous plaît: {}, {}!",
]


def write_letters(count: int, rng: np.random.Generator) -> pd.DataFrame:
    departments = rng.choice(list(TOPICS), size=count)
    letters = []
    for department in departments:
        language = rng.integers(len(FRAMES))
        first, second = TOPICS[department][2 * language : 2 * language + 2]
        letters.append(f"{FRAMES[language].format(first, second)} Nr. {rng.integers(10_000)}")
    return pd.DataFrame({"letter": letters, "department": departments})


rng = np.random.default_rng(0)
letters, new = write_letters(300, rng), write_letters(100, rng)

dataset = ce.read(letters, target="department")
predictor = fit(dataset, ce.Recipe()).predictor
right = np.mean(np.array(predictor.predict(new)) == new["department"])
print(f"{right:.0%} of {len(new)} new letters reach their department")

for department, evidence in groupby(find_evidence(predictor, dataset), key=lambda one: one.label):
    words = [one.ngram for one in evidence if not one.is_piece]
    print(f"{department}: {', '.join(words[:6])}")
