"""How is chance drawn so that it never depends on who asks first? Each draw is a hash of what it is about.

The same person, purpose and number give the same draw in any process, any batch and any order.
"""

from __future__ import annotations

import hashlib
from math import cos, log, pi


def uniform(*about: object) -> float:
    """A number strictly between 0 and 1."""
    digest = hashlib.blake2b("\x1f".join(map(str, about)).encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") + 0.5) / 2**64


def happens(probability: float, *about: object) -> bool:
    return uniform(*about) < probability


def exponential(*about: object) -> float:
    """Mean 1."""
    return -log(uniform(*about))


def gamma_one_and_a_half(*about: object) -> float:
    """Gamma with shape 1.5 and mean 1: an exponential plus half the square of a normal, over 1.5."""
    normal_squared = 2 * exponential(*about, "r") * cos(2 * pi * uniform(*about, "phi")) ** 2
    return (exponential(*about, "e") + normal_squared / 2) / 1.5


def between(low: float, high: float, *about: object) -> float:
    return low + (high - low) * uniform(*about)
