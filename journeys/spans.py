"""How are hours of a day written? `09:00-20:00`: half-open, local; an end before its start means overnight."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, PlainSerializer

from journeys.values import clock_minutes, clock_text, single

Span = tuple[int, int]  # local minutes; end < start means overnight


def _spans(value: Any) -> tuple[Span, ...]:
    items = (value,) if isinstance(value, (str, dict)) else value
    return tuple(item if isinstance(item, tuple) else _span(str(single(item))) for item in items)


def _span(text: str) -> Span:
    start, dash, end = text.partition("-")
    if not dash:
        raise ValueError(f"{text!r} is not a span; write two clock times, such as 09:00-20:00")
    return clock_minutes(start.strip()), clock_minutes(end.strip())


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
