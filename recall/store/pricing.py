"""What will one message cost? Reserved at the gate from the policy's price book; vendors tell the truth later."""

from __future__ import annotations

from typing import NamedTuple

from recall.store.gate_reasons import Case

_SURELY_ONE_SEGMENT = 70  # UTF-16 units: fits one segment in either alphabet


class Price(NamedTuple):
    micros: int
    currency: str
    segments: int | None = None  # of an SMS


class Pricer:
    """The price of texts on one channel; an unlisted channel costs nothing. A call is priced at one minute."""

    def __init__(self, of: Case) -> None:
        book = of.policy.prices
        self._counts_segments = of.channel == "sms"
        self._currency = book.currency
        self._entry = next((price for price in book.prices if price.channel is of.channel), None)
        self._prices: dict[int | None, Price] = {}

    def price(self, body: str) -> Price:
        segments = count_segments(body) if self._counts_segments else None
        if segments not in self._prices:
            self._prices[segments] = Price(self._amount(segments), self._currency, segments)
        return self._prices[segments]

    def _amount(self, segments: int | None) -> int:
        if self._entry is None:
            return 0
        return self._entry.amount * (segments or 1 if self._entry.unit == "segment" else 1)


def count_segments(body: str) -> int:
    """SMS segments of a text, by `smsutil` where it could be more than one."""
    if len(body.encode("utf-16-le")) // 2 <= _SURELY_ONE_SEGMENT:
        return 1
    import smsutil

    return len(smsutil.split(body).parts)
