"""What were users sent before recall came? So that caps and the unresponsive rule do not start from nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from recall.clock import Instant
from recall.intake.loading import ImportReport, Job, Kind, Progress, Written
from recall.intake.mapping import Fields, FileMapping, Plan
from recall.intake.reasons import Reason, Rejected
from recall.intake.sheet import Row
from recall.intake.texts import read_channel, read_id, read_word
from recall.store.connect import Store
from recall.store.history import PastSend, warm_contact_state

HISTORY = Kind("history", Fields(required=("user", "channel", "at"), optional=("responded_at", "brand")))


def import_history(
    store: Store,
    file: Path,
    mapping: FileMapping,
    *,
    now: Instant,
    rejects: Path,
    as_of: Instant | None = None,
    progress: Progress | None = None,
) -> ImportReport:
    """Remember the past sends of a file: the last few of each user count. `rejects` is a folder."""
    job: Job[PastSend] = Job(store, HISTORY, mapping, now, rejects, as_of, progress)
    return job.run(file, lambda found: _History(store, mapping, found, now))


class _History:
    def __init__(self, store: Store, mapping: FileMapping, found: Plan, now: Instant) -> None:
        self._store = store
        self._plan = found
        self._now = now
        self._times = mapping.time_reading

    def read(self, row: Row) -> PastSend:
        fields, cells = self._plan.fields, row.cells
        at = self._past("at", cells)
        if at is None:
            raise Rejected(Reason.MISSING, fields["at"].column)
        responded_at = self._past("responded_at", cells)
        if responded_at is not None and responded_at < at:
            raise Rejected(Reason.TIME_ORDER, self._plan.column("responded_at"))
        brand = self._plan.get("brand")
        return PastSend(
            user=read_id(fields["user"].text(cells), fields["user"].column),
            channel=read_channel(fields["channel"].text(cells), fields["channel"].column).value,
            at=at,
            responded_at=responded_at,
            brand=read_word(brand.text(cells), brand.column, default="default") if brand else "default",
        )

    def _past(self, name: str, cells: Sequence[str]) -> Instant | None:
        source = self._plan.get(name)
        return self._times.read_past(source.text(cells), source.column, now=self._now) if source else None

    def write(self, items: Sequence[PastSend]) -> Written:
        done = warm_contact_state(self._store, items)
        return Written(added=done.added, unchanged=done.unchanged, refused=done.refused)

    def newest(self, items: Sequence[PastSend]) -> Instant | None:
        return None
