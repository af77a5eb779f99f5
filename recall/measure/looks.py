"""When may one stop early without fooling oneself? O'Brien and Fleming's boundary for a declared number of looks.

At a look that has seen the share t of all information, a test ends only when |z| > c / sqrt(t); c is chosen so that
over all looks together an experiment without effect ends in 5 of 100 cases. Looking each week at p < .05 instead
ends in 21 of 100 (13 looks).
"""

from __future__ import annotations

from functools import cache
from math import sqrt

from journeys.sample_size import ALPHA

_NODES = 160


@cache
def constant(looks: int, alpha: float = ALPHA) -> float:
    """c for so many equally spaced looks; 1.96 for one look, 2.10 for thirteen."""
    if looks < 1:
        raise ValueError("an experiment has at least one look")
    low, high = 1.0, 8.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if _crossing(middle, looks) > alpha else (low, middle)
    return (low + high) / 2


def boundary(look: int, looks: int, alpha: float = ALPHA) -> float:
    """What |z| must exceed at this look (1 = the first)."""
    return constant(looks, alpha) / sqrt(min(max(look, 1), looks) / looks)


def _crossing(c: float, looks: int) -> float:
    """The chance that chance alone crosses at any look.

    z at look k is S/sqrt(k) of a random walk S with standard normal steps, so the boundary c/sqrt(k/K) is the
    constant |S| = c·sqrt(K); what stays inside is integrated look by look (Armitage, McPherson and Rowe 1969).
    """
    import numpy as np
    from scipy.stats import norm

    edge = c * sqrt(looks)
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    nodes, weights = nodes * edge, weights * edge
    density = norm.pdf(nodes)
    step = norm.pdf(nodes[:, None] - nodes[None, :]) * weights[None, :]
    for _ in range(looks - 1):
        density = step @ density
    return float(1 - density @ weights)
