"""What did users do, according to a file?

An event is known by the id its source gives it; where there is none, by everything it says and by how many times the
file said it before. So two equal purchases on one day are two, and the same file again adds nothing. The limit of that:
equal rows that are spread over two files, and a file imported again with another mapping, cannot be recognised without
an id.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from recall.clock import Instant
from recall.intake.loading import ImportReport, Job, Kind, Progress, Written
from recall.intake.mapping import Fields, FileMapping, Plan
from recall.intake.reasons import Reason, Rejected
from recall.intake.sheet import Row
from recall.intake.texts import read_event_name, read_id, read_text
from recall.store.connect import Connection, Store
from recall.store.events import NewEvent, record_events, source_key, written_properties
from recall.store.people import NewUser, ids_of, upsert_users_in
from recall.store.seen import Seen

EVENTS = Kind("events", Fields(required=("user", "name", "at"), optional=("id",), extras="properties"))


def import_events(
    store: Store,
    file: Path,
    mapping: FileMapping,
    *,
    now: Instant,
    rejects: Path,
    as_of: Instant | None = None,
    progress: Progress | None = None,
) -> ImportReport:
    """Append the events of a file that are not known yet. `rejects` is a folder.

    With `create_users` in the mapping, who is not known becomes a user in `default_zone`.
    """
    job: Job[NewEvent] = Job(store, EVENTS, mapping, now, rejects, as_of, progress)
    readers: list[_Events] = []
    with Seen() as seen:

        def make(found: Plan) -> _Events:
            readers.append(_Events(store, mapping, found, seen, now, job.source))
            return readers[0]

        report = job.run(file, make)
    return replace(report, users_created=readers[0].users_created)


class _Events:
    def __init__(self, store: Store, mapping: FileMapping, found: Plan, seen: Seen, now: Instant, source: str) -> None:
        self._store = store
        self._mapping = mapping
        self._plan = found
        self._seen = seen
        self._now = now
        self._source = source
        self._times = mapping.time_reading
        self._user, self._name, self._at = (found.fields[name] for name in ("user", "name", "at"))
        self._id = found.get("id")
        self.users_created = 0

    def read(self, row: Row) -> NewEvent:
        cells = row.cells
        user = read_id(self._user.text(cells), self._user.column)
        name = read_event_name(self._name.text(cells), self._name.column)
        at = self._times.read_past(self._at.text(cells), self._at.column, now=self._now)
        if at is None:
            raise Rejected(Reason.MISSING, self._at.column)
        properties = self._properties(cells) if self._plan.extras else {}
        return NewEvent(self._key(cells, user, name, at, properties), user, name, at, properties or None)

    def _properties(self, cells: Sequence[str]) -> dict[str, str]:
        return {
            name: text
            for name, source in self._plan.extras.items()
            if (text := read_text(source.text(cells), source.column, breaks=self._mapping.multiline))
        }

    def _key(self, cells: Sequence[str], user: str, name: str, at: Instant, properties: dict[str, str]) -> str:
        if self._id is not None:
            return source_key(self._source, read_id(self._id.text(cells), self._id.column))
        said = json.dumps([user, name, at, written_properties(properties)], ensure_ascii=False)
        times = self._seen.count(hashlib.sha256(said.encode()).digest()[:16])
        return "sha256:" + hashlib.sha256(f"{said}{times}".encode()).hexdigest()

    def write(self, items: Sequence[NewEvent]) -> Written:
        with self._store.writing() as connection:
            erased = self._create_users(connection, items) if self._mapping.create_users else set()
            done = record_events(connection, items, self._now)
        why = {n: "erased_user" if items[n].user in erased else reason for n, reason in done.refused.items()}
        return Written(added=done.added, unchanged=done.unchanged, refused=why)

    def _create_users(self, connection: Connection, items: Sequence[NewEvent]) -> set[str]:
        """Make a user of whoever is not known; returns those who asked to be forgotten."""
        names = {item.user for item in items}
        zones = (self._mapping.default_zone,) if self._mapping.default_zone else None
        unknown = sorted(names - ids_of(connection, names).keys())
        new = [NewUser(name, zones=zones, zones_from="default") for name in unknown]
        done = upsert_users_in(connection, self._store, new, self._now)
        self.users_created += done.added
        return {unknown[n] for n in done.refused}

    def newest(self, items: Sequence[NewEvent]) -> Instant | None:
        return max((item.at for item in items), default=None)
