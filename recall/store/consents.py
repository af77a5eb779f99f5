"""Who said yes, to which wording, when? Consents are appended; the one in force per channel is what the gate reads.

The newest decision counts; of two at the same moment the withdrawal does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field

from sqlalchemy import Connection

from recall.clock import Instant
from recall.store.connect import Store
from recall.store.given import Columns, Given, give, is_postgresql

_CHUNK = 10_000  # rows per statement


@dataclass(frozen=True, slots=True)
class NewConsent:
    """One yes, or its withdrawal."""

    user: str  # the host's user id
    channel: str
    purpose: str
    granted: bool
    at: Instant
    expires_at: Instant | None = None
    source: str = ""  # where it was said: form, call, paper
    wording: str = ""  # version of the text the person saw
    brand: str = "default"

    @property
    def key(self) -> str:
        """What makes a consent unique: everything it says."""
        return hashlib.sha256(json.dumps(astuple(self), ensure_ascii=False).encode()).hexdigest()


@dataclass(frozen=True)
class Kept:
    """What became of consents that were told: added + unchanged + refused = told."""

    added: int = 0
    unchanged: int = 0
    refused: Mapping[int, str] = field(default_factory=dict)  # place in the rows -> unknown_user | erased_user

    def __add__(self, other: Kept) -> Kept:
        return Kept(self.added + other.added, self.unchanged + other.unchanged, {**self.refused, **other.refused})


_COLUMNS: Columns = {
    "n": "bigint",
    "key": "text",
    "who": "text",
    "brand": "text",
    "channel": "text",
    "purpose": "text",
    "granted": "boolean",
    "at": "bigint",
    "expires_at": "bigint",
    "source": "text",
    "wording": "text",
}
_SAID = "brand, channel, purpose, granted, at, expires_at, source, wording"


def record_consents(where: Connection | Store, rows: Sequence[NewConsent]) -> Kept:
    """Append the consents that are new, in one transaction (the one `where` is in, or one of its own)."""
    if isinstance(where, Store):
        with where.writing() as connection:
            return record_consents(connection, rows)
    kept = Kept()
    for start in range(0, len(rows), _CHUNK):
        kept += _record(where, rows[start : start + _CHUNK], start)
    return kept


def _record(connection: Connection, rows: Sequence[NewConsent], start: int) -> Kept:
    said = _SAID.split(", ")
    told = [(n, row.key, row.user, *(getattr(row, name) for name in said)) for n, row in enumerate(rows, start)]
    given = give(connection, "consents", _COLUMNS, told)
    refused = _refused(connection, given)
    added = _append(connection, given)
    return Kept(added, len(rows) - added - len(refused), refused)


def _refused(connection: Connection, given: Given) -> dict[int, str]:
    rows = given.run(
        connection,
        "select given.n, users.id from {given} left join users on users.user_id = given.who"
        " where users.id is null or users.erased_at is not null",
    )
    return {row.n: "unknown_user" if row.id is None else "erased_user" for row in rows}


_APPEND = f"""
insert into consents (key, user_id, {_SAID})
select given.key, users.id, {", ".join(f"given.{column}" for column in _SAID.split(", "))}
from {{given}} join users on users.user_id = given.who
where users.erased_at is null
order by given.n
on conflict (key) do nothing
"""

# In key order, so that two writers about the same people wait for each other instead of deadlocking.
_IN_FORCE = """
insert into consent_state (user_id, brand, purpose, channel, consent_id, granted, at, expires_at)
select user_id, brand, purpose, channel, id, granted, at, expires_at from (
    select *, row_number() over (
        partition by user_id, brand, purpose, channel order by at desc, granted, id desc
    ) as place
    from {added}
) as added
where place = 1
order by user_id, brand, purpose, channel
on conflict (user_id, brand, purpose, channel) do update set
    consent_id = excluded.consent_id, granted = excluded.granted, at = excluded.at, expires_at = excluded.expires_at
where excluded.at > consent_state.at
   or (excluded.at = consent_state.at and consent_state.granted and not excluded.granted)
"""

_CHANGED = "insert into changed_users (user_id) select distinct user_id from {added}"


def _append(connection: Connection, given: Given) -> int:
    if is_postgresql(connection):
        return _append_postgresql(connection, given)
    before = connection.exec_driver_sql("select coalesce(max(id), 0) from consents").scalar_one()
    added = given.run(connection, _APPEND).rowcount
    if added:
        for statement in (_IN_FORCE, _CHANGED):
            connection.exec_driver_sql(statement.replace("{added}", f"consents not indexed where id > {int(before)}"))
    return int(added)


def _append_postgresql(connection: Connection, given: Given) -> int:
    in_force, changed = (statement.replace("{added}", "new") for statement in (_IN_FORCE, _CHANGED))
    statement = f"""
        with new as ({_APPEND} returning id, user_id, {_SAID}), state as ({in_force}), changes as ({changed})
        select count(*) from new
    """
    return int(given.run(connection, statement).scalar_one())
