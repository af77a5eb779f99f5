"""Does ten times the work cost ten times as much? The exponent between two sizes; 1 is proportional, 2 quadratic."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

Runs = Sequence[dict[str, Any]]


def exponent(small: Runs, big: Runs, measure: str = "cpu") -> float:
    """Between the medians of two sizes; `measure` is cpu or wall."""
    times = median(big, measure) / median(small, measure)
    return round(math.log(times) / math.log(median(big, "users") / median(small, "users")), 3)


def median(runs: Runs, measure: str) -> float:
    """Of the runs of one size."""
    return statistics.median(float(run[measure]) for run in runs)
