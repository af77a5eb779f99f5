"""Has a journey enough people to show what it brings? What lint can say before anything is sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from journeys.sample_size import BASE, RELATIVE, people_needed
from recall.errors import Problem

if TYPE_CHECKING:
    from journeys.journey import Journey
    from recall.cli.context import App


def needed_by(journeys: Iterable[Journey]) -> dict[str, int]:
    """Journey -> people in all to see a fifth more than the tenth assumed to come anyway, its holdout as written."""
    found = {}
    for journey in journeys:
        share = journey.holdout.percent / 100 if journey.holdout else 0.0
        needed = people_needed(BASE, BASE * (1 + RELATIVE), share)
        if needed is not None:
            found[journey.id] = needed
    return found


def power_lines(needed: Mapping[str, int]) -> list[str]:
    """In words, for people."""
    return [
        f"{name}: to see {RELATIVE:.0%} more than {BASE:.0%} who would come anyway takes {people:,} people in all."
        for name, people in needed.items()
    ]


def power_warnings(app: App, needed: Mapping[str, int]) -> list[Problem]:
    """Journeys with fewer people than that: found within a quarter, or in the whole store where nobody looked yet."""
    from recall.store.headcount import count_heads

    heads = count_heads(app.settings.store_url) if needed else None
    if heads is None:
        return []
    warnings = []
    for name, people in needed.items():
        there, where = heads.of_a_quarter.get(name), "in a quarter there were"
        if there is None:
            there, where = heads.people, "the store knows"
        if 0 < there < people:  # nobody at all: nothing was imported, or no look found anybody yet
            message = f"{where} {there:,} people, {people:,} are needed to see what it brings"
            hint = "hold out 20 to 50 %, pool it with another journey, or collect for longer"
            warnings.append(Problem(f"{name}.yaml", None, message, hint, "holdout", "warning"))
    return warnings
