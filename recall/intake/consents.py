"""Who said yes or no, to which wording, when?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from recall.clock import Instant
from recall.intake.loading import ImportReport, Job, Kind, Progress, Written
from recall.intake.mapping import Fields, FileMapping, Plan
from recall.intake.reasons import Reason, Rejected
from recall.intake.sheet import Row
from recall.intake.texts import read_channel, read_flag, read_id, read_word
from recall.store.connect import Store
from recall.store.consents import NewConsent, record_consents

CONSENTS = Kind(
    "consents",
    Fields(
        required=("user", "channel", "purpose", "granted", "at"),
        optional=("expires_at", "source", "wording", "brand"),
    ),
)


def import_consents(
    store: Store,
    file: Path,
    mapping: FileMapping,
    *,
    now: Instant,
    rejects: Path,
    as_of: Instant | None = None,
    progress: Progress | None = None,
) -> ImportReport:
    """Append the consents and withdrawals of a file that are not known yet. `rejects` is a folder."""
    job: Job[NewConsent] = Job(store, CONSENTS, mapping, now, rejects, as_of, progress)
    return job.run(file, lambda found: _Consents(store, mapping, found, now))


class _Consents:
    def __init__(self, store: Store, mapping: FileMapping, found: Plan, now: Instant) -> None:
        self._store = store
        self._plan = found
        self._now = now
        self._times = mapping.time_reading

    def read(self, row: Row) -> NewConsent:
        fields, cells = self._plan.fields, row.cells
        at = self._times.read_past(fields["at"].text(cells), fields["at"].column, now=self._now)
        purpose = read_word(fields["purpose"].text(cells), fields["purpose"].column)
        for name, value in (("at", at), ("purpose", purpose)):
            if not value:
                raise Rejected(Reason.MISSING, fields[name].column)
        assert at is not None
        expires = self._plan.get("expires_at")
        expires_at = self._times.read(expires.text(cells), expires.column) if expires else None
        if expires_at is not None and expires_at < at:
            raise Rejected(Reason.TIME_ORDER, self._plan.column("expires_at"))
        return NewConsent(
            user=read_id(fields["user"].text(cells), fields["user"].column),
            channel=read_channel(fields["channel"].text(cells), fields["channel"].column).value,
            purpose=purpose,
            granted=read_flag(fields["granted"].text(cells), fields["granted"].column),
            at=at,
            expires_at=expires_at,
            source=self._word("source", cells),
            wording=self._word("wording", cells),
            brand=self._word("brand", cells, default="default"),
        )

    def _word(self, name: str, cells: Sequence[str], *, default: str = "") -> str:
        source = self._plan.get(name)
        return read_word(source.text(cells), source.column, default=default) if source else default

    def write(self, items: Sequence[NewConsent]) -> Written:
        done = record_consents(self._store, items)
        return Written(added=done.added, unchanged=done.unchanged, refused=done.refused)

    def newest(self, items: Sequence[NewConsent]) -> Instant | None:
        return max((item.at for item in items), default=None)
