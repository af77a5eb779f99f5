"""How many people are there, and how many of them did each journey find? What `recall journey lint` asks.

It answers within half a second, which importing SQLAlchemy alone would take; so these two questions, and no others,
go to the driver directly. Nothing here makes a store that is not there.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recall.clock import DAY
from recall.errors import StoreBusy

_BUSY_SECONDS = 30
_PEOPLE = "select count(*) from users where erased_at is null"
# Who was let in within 90 days of the last look, and who was left over then.
_OF_A_QUARTER = f"""
with looks as (
    select journeys.name, counts.at, counts.reason, counts.users,
           max(counts.at) over (partition by counts.journey_id) as last
    from entry_counts counts join journeys on journeys.id = counts.journey_id
    where counts.reason in ('candidates', 'enrolled')
)
select name, sum(case when reason = 'enrolled' and at > last - {90 * DAY} then users else 0 end)
           + sum(case when at < last then 0 when reason = 'candidates' then users else -users end)
from looks group by name
"""
_Ask = Callable[[str], list[tuple[Any, ...]]]


@dataclass(frozen=True)
class Headcount:
    people: int  # known and not erased
    of_a_quarter: Mapping[str, int]  # journey -> people it found; nothing of a journey that never looked


def count_heads(url: str) -> Headcount | None:
    """The headcount of the store at this URL; None where there is no store, or none with tables yet."""
    opened = _sqlite if url.startswith("sqlite") else _postgresql
    with opened(url) as ask:
        if ask is None:
            return None
        [(people,)] = ask(_PEOPLE)
        return Headcount(int(people), {name: int(users) for name, users in ask(_OF_A_QUARTER)})


@contextmanager
def _sqlite(url: str) -> Iterator[_Ask | None]:
    path = Path(url.partition(":///")[2].partition("?")[0])
    if not path.is_file():
        yield None
        return
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", _BUSY_SECONDS, uri=True)) as connection:

            def ask(question: str) -> list[tuple[Any, ...]]:
                return connection.execute(question).fetchall()

            [(has_tables,)] = ask("select count(*) from sqlite_master where name = 'entry_counts'")
            yield ask if has_tables else None
    except sqlite3.OperationalError as error:
        raise _busy(error) from None


@contextmanager
def _postgresql(url: str) -> Iterator[_Ask | None]:
    import psycopg

    try:
        with psycopg.connect(f"postgresql://{url.partition('://')[2]}") as connection:

            def ask(question: str) -> list[tuple[Any, ...]]:
                return connection.execute(question.encode()).fetchall()

            [(has_tables,)] = ask("select to_regclass('entry_counts') is not null")
            yield ask if has_tables else None
    except psycopg.OperationalError as error:
        raise _busy(error) from None


def _busy(error: Exception) -> StoreBusy:
    return StoreBusy(f"the store is locked or unreachable ({type(error).__name__})")
