"""What does the week look like? Everything the page tells, read once; then the page itself.

write_review(store, path, now=clock.now(), lang="en")     one HTML file, CSVs of its tables beside it
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from journeys.policy import Policy
from recall.clock import DAY, Instant
from recall.measure.holdouts import Holdouts
from recall.measure.outcomes import Outcome, read_outcome, read_programme
from recall.measure.passage import Passage, policy_of, read_passage
from recall.measure.splits import SplitResult, read_splits
from recall.store.connect import Store
from recall.store.figures import Asked
from recall.store.figures_days import (
    Freshness,
    LifeWeek,
    count_unapplied_receipts,
    every_version,
    latest_event,
    read_freshness,
    read_lifecycle,
)
from recall.store.figures_messages import SenderLine, Trouble, read_senders, read_troubles
from recall.store.versions import published_journeys

LATELY = 7 * DAY


@dataclass(frozen=True)
class Told:
    """One journey of the week."""

    outcome: Outcome
    passage: Passage
    splits: Sequence[SplitResult]
    policy: Policy | None


@dataclass(frozen=True)
class Review:
    """Everything the weekly page tells."""

    now: Instant
    programme: Outcome | None
    journeys: Sequence[Told]
    freshness: Sequence[Freshness]
    latest_event: Instant | None
    troubles: Sequence[Trouble]
    receipts_waiting: int
    senders: Sequence[SenderLine]
    lifecycle: Sequence[LifeWeek]
    queries: Mapping[str, str]

    @property
    def outcomes(self) -> list[Outcome]:
        """The programme first."""
        return [*([self.programme] if self.programme else []), *(told.outcome for told in self.journeys)]

    @property
    def blocked(self) -> list[str]:
        return [outcome.name for outcome in self.outcomes if outcome.is_blocked]

    @property
    def in_doubt(self) -> int:
        return sum(trouble.messages for trouble in self.troubles if trouble.state == "in_doubt")


def read_review(store: Store, *, now: Instant) -> Review:
    """One consistent look at the store."""
    with store.reading() as connection:
        asked = Asked(connection, now=now)
        versions = {version.id: version for version in every_version(connection)}
        holdouts = Holdouts(asked, versions.values())
        journeys = []
        for version in published_journeys(connection):
            policy = policy_of(version.program.journey, holdouts.policies)
            told = Told(
                read_outcome(asked, version, holdouts),
                read_passage(asked, version, versions, policy),
                read_splits(asked, version),
                policy,
            )
            journeys.append(told)
        return Review(
            now=now,
            programme=read_programme(asked, holdouts),
            journeys=journeys,
            freshness=read_freshness(asked),
            latest_event=latest_event(asked),
            troubles=read_troubles(asked, now - LATELY),
            receipts_waiting=count_unapplied_receipts(asked),
            senders=read_senders(asked, now - LATELY),
            lifecycle=read_lifecycle(asked),
            queries=asked.queries,
        )


def write_review(store: Store, path: Path, *, now: Instant, lang: str = "en") -> Path:
    """The weekly page at `path`, its tables as CSV in a folder beside it; returns `path`."""
    return write_read(read_review(store, now=now), path, lang=lang)


def write_read(review: Review, path: Path, *, lang: str) -> Path:
    """The same, of what was read already."""
    from recall.measure.page import write_page
    from recall.measure.weekly import page_of
    from recall.measure.words import Words

    return write_page(page_of(review, Words(lang)), path)
