"""Is this channel open now where the person lives, and if not, when does it open?

Spans are half-open [start, end) in local minutes; an overnight span belongs to the day on which it starts.
Where a person's zone is a set of candidates, only what is open in all of them is open; an empty set is never open.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, PlainSerializer

from journeys.values import _clock_minutes, clock_text

Span = tuple[int, int]  # local minutes; end < start means overnight


def _spans(value: Any) -> tuple[Span, ...]:
    items = (value,) if isinstance(value, str) else value
    return tuple(item if isinstance(item, tuple) else _span(item) for item in items)


def _span(text: str) -> Span:
    start, dash, end = text.partition("-")
    if not dash:
        raise ValueError(f"{text!r} is not a span; write two clock times, such as 09:00-20:00")
    return _clock_minutes(start.strip()), _clock_minutes(end.strip())


def _not_empty(spans: tuple[Span, ...]) -> tuple[Span, ...]:
    for start, end in spans:
        if start == end:
            raise ValueError(f"{clock_text(start)}-{clock_text(end)} is empty; write 00:00-24:00 for the whole day")
    return spans


Spans = Annotated[
    tuple[Span, ...],
    AfterValidator(_not_empty),
    BeforeValidator(_spans),
    PlainSerializer(lambda spans: [f"{clock_text(a)}-{clock_text(b)}" for a, b in spans], return_type=list[str]),
]
