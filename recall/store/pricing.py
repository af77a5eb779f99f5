"""What will one message cost? Reserved at the gate from the policy's price book; vendors tell the truth later."""

from __future__ import annotations

from dataclasses import dataclass

from journeys.templates import Rendered
from recall.store.gate_reasons import Case

_SURELY_ONE_SEGMENT = 70  # UTF-16 units: fits one segment in either alphabet


@dataclass(frozen=True, slots=True)
class Price:
    micros: int
    currency: str
    segments: int | None = None  # of an SMS


def price_of(of: Case, rendered: Rendered) -> Price:
    """The price of this text on this channel; an unlisted channel costs nothing. A call is priced at one minute."""
    book = of.policy.prices
    segments = count_segments(rendered.body) if of.channel == "sms" else None
    entry = next((price for price in book.prices if price.channel is of.channel), None)
    if entry is None:
        return Price(0, book.currency, segments)
    return Price(entry.amount * (segments or 1 if entry.unit == "segment" else 1), book.currency, segments)


def count_segments(body: str) -> int:
    """SMS segments of a text, by `smsutil` where it could be more than one."""
    if len(body.encode("utf-16-le")) // 2 <= _SURELY_ONE_SEGMENT:
        return 1
    import smsutil

    return len(smsutil.split(body).parts)
