"""Does a bigger run need more memory? Peaks of the process that sends, at two sizes.

`peak_mib` is what the system counts, pages of a mapped SQLite file included, which it takes back whenever it wants;
`peak_own_mib` is what the process asked for itself.
"""

from __future__ import annotations

from benchmarks.growth import Runs, median


def times_more(small: Runs, big: Runs, *, own: bool = False) -> float:
    """Peak of the big run over that of the small one."""
    name = "peak_own_mib" if own else "peak_mib"
    return round(median(big, name) / median(small, name), 3)
