#!/usr/bin/env python3
"""Makes the lead score data set and what scikit-learn says of it.

    python3 -m venv venv && venv/bin/pip install scikit-learn && venv/bin/python tests/golden/scores/make.py

Writes leads.csv (made-up leads, oldest first), ties.csv (scores with many ties) and golden.json beside this file. The data comes
from a generator written out here, so that it does not depend on a library's version; the answers come from scikit-learn and, for
drift, from numpy's quantiles.
"""

import json
import math
import pathlib

import numpy as np
import sklearn
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score, roc_curve

HERE = pathlib.Path(__file__).parent


class Draws:
    """Lehmer's generator modulo 2^61 - 1."""

    def __init__(self, seed):
        self.state = seed

    def share(self):
        self.state = self.state * 437799614237992725 % (2**61 - 1)
        return self.state / (2**61 - 1)


def leads(count, seed):
    draws = Draws(seed)
    rows = []
    for _ in range(count):
        equity = round(draws.share() * 100, 2)
        years = int(draws.share() * 30)
        absent = int(draws.share() < 0.3)
        replies = int(-math.log(1 - draws.share()) * 1.2)
        logit = -3.1 + 0.025 * equity - 0.03 * years + 0.7 * absent + 0.6 * replies
        sale = int(draws.share() < 1 / (1 + math.exp(-logit)))
        rows.append((equity, years, absent, replies, sale))
    return rows


def write(name, header, rows):
    text = "\n".join([header, *(",".join(str(cell) for cell in row) for row in rows)])
    (HERE / name).write_text(text + "\n")


def ranking(outcome, score):
    low, high, _ = roc_curve(outcome, score, drop_intermediate=False)
    return {"auc": roc_auc_score(outcome, score), "ks": float(np.max(np.abs(high - low)))}


def psi(earlier, later, bins):
    edges = np.unique(np.quantile(earlier, np.linspace(0, 1, bins + 1)[1:-1]))
    count = lambda scores: np.bincount(np.searchsorted(edges, scores, side="right"), minlength=len(edges) + 1)
    share = lambda counts: np.where(counts == 0, 1e-4, counts / counts.sum())
    old, new = share(count(earlier)), share(count(later))
    return float(np.sum((new - old) * np.log(new / old)))


rows = leads(2500, 20261126)
write("leads.csv", "equity,years,absent,replies,sale", rows)
table = np.array(rows)
features, outcome = table[:, :4], table[:, 4].astype(int)

golden = {"sklearn": sklearn.__version__, "numpy": np.__version__, "training": {}}
for c in (1.0, 0.01):
    model = LogisticRegression(C=c, solver="newton-cholesky", tol=1e-12, max_iter=1000).fit(features, outcome)
    probability = model.predict_proba(features)[:, 1]
    golden["training"][str(c)] = {
        "intercept": float(model.intercept_[0]),
        "coefficients": [float(weight) for weight in model.coef_[0]],
        "brier": brier_score_loss(outcome, probability),
        "log_loss": log_loss(outcome, probability),
        **ranking(outcome, probability),
    }

# Scores with ties, as points and coarse probabilities have.
coarse = np.round(1 / (1 + np.exp(2.4 - 0.03 * features[:, 0] - 0.4 * features[:, 3])), 2)
write("ties.csv", "score,sale", zip(coarse, outcome))
golden["ties"] = {
    "brier": brier_score_loss(outcome, coarse),
    "log_loss": log_loss(outcome, coarse),
    **ranking(outcome, coarse),
}
late = coarse[1500:]
write("early.csv", "score,sale", zip(coarse[:1500], outcome[:1500]))
write("late.csv", "score,sale", zip(np.round(np.minimum(late * 1.15, 1.0), 2), outcome[1500:]))
golden["drift"] = {
    "10": psi(coarse[:1500], np.round(np.minimum(late * 1.15, 1.0), 2), 10),
    "20": psi(coarse[:1500], np.round(np.minimum(late * 1.15, 1.0), 2), 20),
}
(HERE / "golden.json").write_text(json.dumps(golden, indent=2, sort_keys=True) + "\n")
