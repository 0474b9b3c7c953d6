"""Other methods' results for the same windows: run in `.venvs/drift-peers` by `checks.bench.analysis`, which
passes the tasks and reads JSON.

evidently and alibi-detect are the packages themselves. The AWS blog's statistics (February 2024,
`amazon-sagemaker-generativeai`, x_archive/fmops) are a Spark job without a test; here they are scikit-learn's
PCA, k-means and silhouette, fitted to each window as the job does, with a threshold from 40 pairs without
drift, since the method has none.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np

from checks.bench.drift_world import HARDER, NULLS, SCENARIOS, Array, World, pair

AWS_CALIBRATION = 40
ALL = {**NULLS, **SCENARIOS, **HARDER}
Alarm = Callable[[Array, Array], bool]


def alibi_ks(usual: Array, current: Array) -> bool:
    """Whether the Kolmogorov-Smirnov test per dimension, with Bonferroni's correction, alarms."""
    from alibi_detect.cd import KSDrift

    return bool(KSDrift(usual, p_val=0.05).predict(current)["data"]["is_drift"])


def alibi_classifier(usual: Array, current: Array) -> bool:
    from alibi_detect.cd import ClassifierDrift
    from sklearn.linear_model import LogisticRegression

    detector = ClassifierDrift(
        usual, LogisticRegression(max_iter=200), backend="sklearn", p_val=0.05, n_folds=3
    )
    return bool(detector.predict(current)["data"]["is_drift"])


def c2st(usual: Array, current: Array) -> bool:
    """Whether the classifier two-sample test alarms (Lopez-Paz and Oquab 2017): held-out accuracy of a logistic
    regression, binomial p-value."""
    from scipy.stats import binom
    from sklearn.linear_model import LogisticRegression

    rows = np.vstack([usual, current])
    labels = np.repeat([0, 1], [len(usual), len(current)])
    order = np.random.default_rng(0).permutation(len(rows))
    half = len(rows) // 2
    fitted = LogisticRegression(max_iter=200).fit(rows[order[:half]], labels[order[:half]])
    right = int((fitted.predict(rows[order[half:]]) == labels[order[half:]]).sum())
    return bool(binom.sf(right - 1, len(rows) - half, 0.5) <= 0.05)


def evidently(method: str) -> Alarm:
    """Return evidently's embeddings drift metric with a method's defaults."""

    def alarm(usual: Array, current: Array) -> bool:
        import pandas as pd
        from evidently.legacy.metrics.data_drift import embedding_drift_methods as methods

        score = {
            "ratio": methods.ratio(),
            "distance": methods.distance(),
            "model": methods.model(),
            "model, bootstrap": methods.model(bootstrap=True),
            "mmd, bootstrap": methods.mmd(bootstrap=True),
        }[method]
        names = [f"d{n}" for n in range(usual.shape[1])]
        return bool(score(pd.DataFrame(current, columns=names), pd.DataFrame(usual, columns=names))[1])

    return alarm


def aws_statistics(usual: Array, current: Array) -> dict[str, float]:
    """Return differences between the reports of the two fits: variance, inertia per row, silhouette, shares and
    centroids by index."""
    first, second = _aws_fit(usual, 0), _aws_fit(current, 1)
    return {
        "components": abs(first["components"] - second["components"]),
        "inertia": abs(first["inertia"] - second["inertia"]),
        "silhouette": abs(first["silhouette"] - second["silhouette"]),
        "shares": float(np.abs(first["shares"] - second["shares"]).sum()),
        "centroids": float(np.linalg.norm(first["centroids"] - second["centroids"], axis=1).mean()),
    }


def _aws_fit(rows: Array, seed: int) -> dict[str, Any]:
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA
    from sklearn.metrics import silhouette_score

    variance = np.cumsum(PCA(100, random_state=seed).fit(rows).explained_variance_ratio_)
    beyond = np.flatnonzero(variance > 0.95)
    means = KMeans(10, n_init=1, random_state=seed).fit(rows)
    return {
        "components": float(beyond[0]) if len(beyond) else 100.0,
        "inertia": means.inertia_ / len(rows),
        "silhouette": silhouette_score(
            rows, means.labels_, metric="sqeuclidean", sample_size=1000, random_state=0
        ),
        "shares": np.bincount(means.labels_, minlength=10) / len(rows),
        "centroids": means.cluster_centers_,
    }


PEERS: dict[str, Alarm] = {
    "alibi-detect KS": alibi_ks,
    "alibi-detect classifier": alibi_classifier,
    "classifier two-sample test": c2st,
    "evidently ratio": evidently("ratio"),
    "evidently distance": evidently("distance"),
    "evidently model": evidently("model"),
    "evidently model, bootstrap": evidently("model, bootstrap"),
    "evidently mmd, bootstrap": evidently("mmd, bootstrap"),
}


def _one(task: tuple[str, int, int]) -> tuple[str, int, dict[str, bool], dict[str, float]]:
    """Return every peer's alarm for a pair of windows, and the blog's statistics."""
    from threadpoolctl import threadpool_limits

    warnings.simplefilter("ignore")
    scenario, seed, rows = task
    _, usual, current = pair(seed, ALL.get(scenario, {}), rows)
    with threadpool_limits(1):
        alarms = (
            {} if scenario == "calibration" else {name: peer(usual, current) for name, peer in PEERS.items()}
        )
        return scenario, seed, alarms, aws_statistics(usual, current)


def power(runs: int, rows: int, workers: int) -> dict[str, dict[str, list[bool]]]:
    """Return alarms by method and scenario, with the given number of runs for each and twice as
    many without drift."""
    tasks = [(name, seed, rows) for name in ALL for seed in range(2 * runs if name in NULLS else runs)]
    tasks += [("calibration", 9000 + number, rows) for number in range(AWS_CALIBRATION)]
    alarms: dict[str, dict[str, list[bool]]] = {}
    statistics: dict[str, list[dict[str, float]]] = {}
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for number, (scenario, _, found, measured) in enumerate(pool.map(_one, tasks), 1):
            for name, alarm in found.items():
                alarms.setdefault(name, {}).setdefault(scenario, []).append(alarm)
            statistics.setdefault(scenario, []).append(measured)
            print(f"\r  peers: {number} of {len(tasks)} pairs", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    calibration = statistics.pop("calibration")
    for name in calibration[0]:
        threshold = np.quantile([measured[name] for measured in calibration], 0.95)
        alarms[f"AWS blog: {name}"] = {
            scenario: [bool(each[name] > threshold) for each in measured]
            for scenario, measured in statistics.items()
        }
    return alarms


def ks_seconds(rows: int) -> float:
    """Return the processor time of alibi-detect's KS test on windows of ``rows`` a side."""
    world, generator = World(1), np.random.default_rng(1)
    usual, current = world.sample(rows, generator), world.sample(rows, generator)
    alibi_ks(usual[:100], current[:100])  # warms up the imports
    began = time.process_time()
    alibi_ks(usual, current)
    return time.process_time() - began


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    os.environ |= {"DO_NOT_TRACK": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command, first, *rest = sys.argv[1:]
    answer: Any = ks_seconds(int(first)) if command == "ks" else power(int(first), int(rest[0]), int(rest[1]))
    print(json.dumps(answer))
