"""Who are the users of the host? One row per user; the columns that are not mapped stay as they are known."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from recall.clock import Instant
from recall.intake.emails import read_email
from recall.intake.loading import ImportReport, Job, Kind, Progress, Written
from recall.intake.mapping import Fields, FileMapping, Plan
from recall.intake.phones import Phone, confirm_region, read_phone
from recall.intake.reasons import Reason, Rejected
from recall.intake.sheet import Row
from recall.intake.texts import read_flag, read_id, read_jurisdiction, read_locale, read_text, read_word, read_zones
from recall.store.connect import Store
from recall.store.people import NewAddress, NewUser, upsert_users
from recall.store.seen import Seen

ZonesFrom = Literal["stated", "phone", "default"]

USERS = Kind(
    "users",
    Fields(
        required=("user",),
        optional=(
            *("phone", "email", "push", "push_kind", "zone", "locale", "jurisdiction", "is_test"),
            *("created_at", "updated_at", "proved_at"),
        ),
        extras="attributes",
    ),
)


def import_users(
    store: Store,
    file: Path,
    mapping: FileMapping,
    *,
    now: Instant,
    rejects: Path,
    region: str | None = None,
    as_of: Instant | None = None,
    progress: Progress | None = None,
) -> ImportReport:
    """Add and change users from a file. An empty cell says that the user has none (any more) of what it maps.

    `region` is where phones without a country code are meant, unless the mapping says it; `rejects` is a folder.
    """
    job: Job[NewUser] = Job(store, USERS, mapping, now, rejects, now if as_of is None else as_of, progress)
    country = confirm_region(mapping.region or region)
    with Seen() as seen:
        return job.run(file, lambda found: _Users(store, mapping, found, seen, now, country))


class _Users:
    def __init__(
        self, store: Store, mapping: FileMapping, found: Plan, seen: Seen, now: Instant, region: str | None
    ) -> None:
        self._store = store
        self._mapping = mapping
        self._plan = found
        self._seen = seen
        self._now = now
        self._region = region
        self._times = mapping.time_reading
        self._sources = [*found.fields.values(), *found.extras.values()]

    def read(self, row: Row) -> NewUser:
        cells = row.cells
        phone = self._phone(cells)
        email = read_email(self._text("email", cells), self._plan.column("email"))
        zones, zones_from = self._zones(cells, phone)
        new = NewUser(
            user=read_id(self._text("user", cells), self._plan.column("user")),
            phone=self._address("phone", NewAddress(phone.value, region=phone.region) if phone else None),
            email=self._address("email", NewAddress(email) if email else None),
            push=self._address("push", self._push(cells)),
            zones=zones,
            zones_from=zones_from,
            locale=self._word("locale", cells),
            jurisdiction=self._word("jurisdiction", cells),
            is_test=self._flag("is_test", cells),
            created_at=self._past("created_at", cells),
            proved_at=self._proved_at(cells),
            attributes={
                name: read_text(source.text(cells), source.column, breaks=self._mapping.multiline)
                for name, source in self._plan.extras.items()
            },
        )
        self._refuse_contradiction(new.user, row)
        return new

    def write(self, items: Sequence[NewUser]) -> Written:
        done = upsert_users(self._store, items, self._now, zone=self._times.zone)
        return Written(done.added, done.changed, done.unchanged, done.refused)

    def newest(self, items: Sequence[NewUser]) -> None:
        return None

    def _text(self, name: str, cells: Sequence[str]) -> str:
        source = self._plan.fields.get(name)
        return source.text(cells) if source else ""

    def _phone(self, cells: Sequence[str]) -> Phone | None:
        column = self._plan.column("phone")
        return read_phone(self._text("phone", cells), column, region=self._region, landlines=self._mapping.landlines)

    def _push(self, cells: Sequence[str]) -> NewAddress | None:
        text = self._text("push", cells).strip()
        if not text:
            return None
        if not text.isascii() or not text.isprintable() or " " in text:
            raise Rejected(Reason.CONTROL_CHARACTER, self._plan.column("push"))
        if len(text) > 4096:
            raise Rejected(Reason.TOO_LONG, self._plan.column("push"))
        return NewAddress(text, subkind=read_word(self._text("push_kind", cells), self._plan.column("push_kind")))

    def _address(self, name: str, address: NewAddress | str | None) -> NewAddress | None:
        """None when the file does not speak of it; an empty address when its cell is empty."""
        if isinstance(address, NewAddress):
            return address
        return NewAddress("") if name in self._plan.fields else None

    def _zones(self, cells: Sequence[str], phone: Phone | None) -> tuple[tuple[str, ...] | None, ZonesFrom]:
        stated = read_zones(self._text("zone", cells), self._plan.column("zone"))
        if stated is not None:
            return stated, "stated"
        if phone is not None:
            return phone.zones, "phone"
        default = self._mapping.default_zone
        return ((default,) if default else None), "default"

    def _word(self, name: str, cells: Sequence[str]) -> str | None:
        source = self._plan.fields.get(name)
        if source is None:
            return None
        read = read_locale if name == "locale" else read_jurisdiction
        return read(source.text(cells), source.column)

    def _flag(self, name: str, cells: Sequence[str]) -> bool | None:
        source = self._plan.fields.get(name)
        if source is None or not source.text(cells).strip():
            return None
        return read_flag(source.text(cells), source.column)

    def _past(self, name: str, cells: Sequence[str]) -> Instant | None:
        source = self._plan.fields.get(name)
        return self._times.read_past(source.text(cells), source.column, now=self._now) if source else None

    def _proved_at(self, cells: Sequence[str]) -> Instant | None:
        """The latest stated proof of ownership: said so, else the last change, else the registration."""
        moments = (self._past(name, cells) for name in ("proved_at", "updated_at", "created_at"))
        return next((at for at in moments if at is not None), None)

    def _refuse_contradiction(self, user: str, row: Row) -> None:
        said = "\x1f".join(source.text(row.cells) for source in self._sources)
        digest = hashlib.sha256(said.encode()).digest()[:16]
        key = hashlib.sha256(user.encode()).digest()[:16]
        if self._seen.contradicts(key, digest, row.line) is not None:
            raise Rejected(Reason.CONTRADICTS, self._plan.column("user"))
