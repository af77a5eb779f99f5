"""Who is due, and what does the gate need to know of each? Part 1: one SELECT, locks and reasons included."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Connection, Select, and_, bindparam, func, literal, null, select, tuple_

from recall.clock import Instant
from recall.store import schema
from recall.store.audience import Cutoffs
from recall.store.bulk import among, ids_parameter
from recall.store.gate_reasons import NOW, A, C, Case, E, S, U, frees_at, has_address, reason_column


class Row(NamedTuple):
    """One due enrolment with the facts the gate needs."""

    id: int
    user_id: int
    host_id: str  # the host's user id
    zone_id: int
    locale: str
    is_test: bool
    due_at: int
    first_due_at: int
    base_at: int
    grp: int
    holdout: str
    retry_send_id: int | None
    replay_of: int | None
    last_reason: str | None
    address_id: int
    address: str | None
    consent_id: int | None
    reason: str | None
    frees_at: int
    streak: int

    def __repr__(self) -> str:
        """Ids only: a row that ends up in a log or an error names nobody."""
        return f"Row(enrolment {self.id}, user {self.user_id}, reason {self.reason})"


@dataclass(frozen=True)
class Page:
    """Which rows: due ones after a place in the index, or named enrolments as if they stood due on the step."""

    due_before: Instant
    limit: int = 1000
    after: tuple[Instant, int] = (-1, -1)  # (due_at, user_id) of the last row seen
    enrolments: tuple[int, ...] | None = None


def pick(of: Case, cutoffs: Cutoffs, *, lock: bool) -> Select[Any]:
    address = (A.c.id, A.c.value) if has_address(of) else (literal(0, BigInteger), null())
    statement = (
        select(
            E.c.id,
            E.c.user_id,
            U.c.user_id.label("host_id"),
            U.c.zone_id,
            U.c.locale,
            U.c.is_test,
            E.c.due_at,
            E.c.first_due_at,
            E.c.base_at,
            E.c.grp,
            E.c.holdout,
            E.c.retry_send_id,
            E.c.replay_of,
            E.c.reason.label("last_reason"),
            address[0].label("address_id"),
            address[1].label("address"),
            C.c.consent_id,
            reason_column(of, cutoffs),
            frees_at(of),
            S.c.streak,
        )
        .select_from(_tables(of))
        .where(
            E.c.version_id == of.version.id,
            schema.is_active(E),
            ~_has_open_send(of),
        )
        .order_by(E.c.due_at, E.c.user_id)
    )
    locked = [E, S, A] if has_address(of) else [E, S]
    return statement.with_for_update(of=locked, skip_locked=True) if lock else statement


def _tables(of: Case) -> Any:
    joined = E.join(U, U.c.id == E.c.user_id)
    joined = joined.join(S, and_(S.c.user_id == E.c.user_id, S.c.brand == of.version.brand))
    if has_address(of):
        joined = joined.join(A, A.c.id == U.c[f"{of.address_kind}_id"])
    mine = and_(
        C.c.user_id == E.c.user_id,
        C.c.brand == of.version.brand,
        C.c.purpose == of.policy.consent.purpose,
        C.c.channel == of.channel.value,
    )
    return joined.outerjoin(C, mine)


def _has_open_send(of: Case) -> Any:
    """An earlier message is still being called, or in doubt for less than `doubt_hold`.

    Asked as a value, not as EXISTS: as a join, PostgreSQL would read every open send for every row.
    """
    latest = select(func.max(schema.sends.c.gate_at)).where(schema.sends.c.enrolment_id == E.c.id, schema.SENDS_OPEN)
    return func.coalesce(latest.correlate(E).scalar_subquery(), 0) > NOW - of.policy.doubt_hold.micros


@contextmanager
def steered(connection: Connection) -> Iterator[None]:
    """Keep PostgreSQL on the due index, whatever its statistics say of tables that grow fast.

    A plan made while `sends` was empty would read the whole of it for each row. Plans may be kept again after the
    block: else the check of a foreign key is planned anew for each row that is written.
    """
    if connection.dialect.name != "postgresql":
        yield
        return
    connection.exec_driver_sql(_STEER)
    yield
    connection.exec_driver_sql(_KEEP_PLANS)


_STEER = "select " + ", ".join(
    f"set_config('{name}', '{value}', true)"
    for name, value in (
        ("enable_seqscan", "off"),
        ("enable_hashjoin", "off"),
        ("enable_mergejoin", "off"),
        ("jit", "off"),
        ("plan_cache_mode", "force_custom_plan"),
    )
)
_KEEP_PLANS = "set local plan_cache_mode to default"


def in_pages(statement: Select[Any], step_id: int) -> Select[Any]:
    """What is due on one step, from a place in the index on; built once, so that it is compiled once."""
    place = tuple_(bindparam("after_due", type_=BigInteger), bindparam("after_user", type_=BigInteger))
    return statement.where(
        E.c.step_id == step_id,
        E.c.due_at <= bindparam("due_before", type_=BigInteger),
        tuple_(E.c.due_at, E.c.user_id) > place,
    ).limit(bindparam("chunk", type_=BigInteger))


def read_page(connection: Connection, statement: Select[Any], page: Page, facts: dict[str, Any]) -> list[Row]:
    """The rows of one page, each with its reason; locked if the statement (of `in_pages`) locks."""
    place = {"after_due": page.after[0], "after_user": page.after[1]}
    values = {**facts, **place, "due_before": page.due_before, "chunk": page.limit}
    return _fetch(connection, statement, values)


def read_named(
    connection: Connection, statement: Select[Any], enrolments: Sequence[int], facts: dict[str, Any]
) -> list[Row]:
    """These enrolments (of `pick`) as if they stood due on the step."""
    values = {**facts, "ids": ids_parameter(connection, enrolments)}
    return _fetch(connection, statement.where(among(connection, E.c.id, "ids")), values)


def _fetch(connection: Connection, statement: Select[Any], values: dict[str, Any]) -> list[Row]:
    """Straight from the driver: no column of a Row wants converting, and SQLAlchemy's own rows cost as much again."""
    found = connection.execute(statement, values)
    assert found.cursor is not None  # a SELECT has one until it was read
    rows = list(map(Row._make, found.cursor.fetchall()))
    found.close()
    return rows


def first_per_address(rows: Sequence[Row]) -> list[Row]:
    """A chunk keeps each address once, or two messages would pass the same cap; the others stay due."""
    seen: set[int] = set()
    kept = []
    for row in rows:
        if row.address_id and row.reason is None:
            if row.address_id in seen:
                continue
            seen.add(row.address_id)
        kept.append(row)
    return kept
