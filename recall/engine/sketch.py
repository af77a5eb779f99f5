"""Which of very many numbers may have come more often than a limit? In constant memory; never told too rarely.

A count-min sketch with conservative update (Cormode and Muthukrishnan 2005; Estan and Varghese 2002): two rows of
counters, each number has one in each, and the lower of both is at least how often it came, or the limit.
"""

from __future__ import annotations

from collections.abc import Iterable

_BITS = 23  # 16 MiB for both rows: of eight million numbers that came once, about one in a million is told for nothing
_MASK = (1 << _BITS) - 1


class Sketch:
    """Counts numbers of 64 evenly spread bits, up to a limit."""

    def __init__(self, *, limit: int) -> None:
        """`limit` is at most 255."""
        self._limit = limit
        self._first, self._second = bytearray(1 << _BITS), bytearray(1 << _BITS)

    def add(self, numbers: Iterable[int]) -> set[int]:
        """Count each of these once more; returns those which now may be above the limit."""
        first, second, limit = self._first, self._second, self._limit
        above = set()
        for number in numbers:
            i, j = number & _MASK, (number >> 32) & _MASK
            low = min(first[i], second[j])
            if low >= limit:
                above.add(number)
                continue
            if first[i] == low:
                first[i] = low + 1
            if second[j] == low:
                second[j] = low + 1
        return above
