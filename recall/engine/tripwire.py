"""Is one message called too often, or one person too often within an hour? Then the kill switch goes on.

The third guard: it holds when our own code is wrong. So it counts by itself, apart from the planner, in a file of its
own in `var_dir`, and before the call: what dies in the middle was counted. Whose bytes certainly never left is taken
off afterwards, which happens in trouble only.

One row per message and address, both as numbers of 64 bits under the store's key: nobody can be found in the file. It
is written by one statement a chunk, during which other threads go on, and has no second index: with random keys, each
index costs as much again (docs/decisions.md). So a message whose address changed between two calls counts anew.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from journeys.words import NO_TURN, Cause, Outcome
from providers.base import Outbound, SendResult
from recall.clock import DAY, HOUR, Instant
from recall.errors import Misconfigured

TRIPWIRE_FILE = "tripwire.db"
CALLS_PER_REF = 6
REFS_PER_ADDRESS_AND_HOUR = 3
_CALLS_KEPT = 30 * DAY  # no message is called again so long after


class Tripwire:
    """Counts calls; what it finds switches everything off. Many processes may share its file."""

    def __init__(self, path: Path, *, key: bytes, now: Callable[[], Instant], trip: Callable[[str], object]) -> None:
        self._now, self._trip = now, trip
        self._keyed = hashlib.blake2b(digest_size=8, key=key[: hashlib.blake2b.MAX_KEY_SIZE])  # copied for each text
        self._lock = threading.Lock()
        try:
            self._db = _open_counts(path, now())
        except sqlite3.Error as error:
            raise Misconfigured(f"{path.name} cannot be opened ({error}), so no call could be counted") from None

    def close(self) -> None:
        self._db.close()

    def before(self, batch: Sequence[Outbound]) -> str:
        """Count these calls; says what is wrong, after tripping, when one must not be made ("" when all may)."""
        numbers = self._numbers(batch)
        now = self._now()
        given = {"batch": json.dumps(numbers), "now": now, "since": now - HOUR}
        with self._writing() as db:
            db.execute(_COUNT, given)
            why = self._too_often(batch, list(numbers), given)
            if why:
                db.rollback()  # these calls are not made
        if why:
            self._trip(f"tripwire: {why}")
        return why

    def _too_often(self, batch: Sequence[Outbound], refs: Sequence[int], given: dict[str, object]) -> str:
        if len(refs) < len(batch):
            return "one message stands twice in what would be called at once"
        found = self._db.execute(_TOO_OFTEN, given).fetchone()
        if found is None:
            return ""
        number, calls, messages = found
        ref = batch[refs.index(number)].ref
        if calls > CALLS_PER_REF:
            return f"message {ref} was called {calls - 1} times"
        return f"message {ref} would be number {messages} to one address within an hour"

    def after(self, batch: Sequence[Outbound], results: Iterable[SendResult]) -> None:
        """Take off whose bytes never left: they found no connection, or their turn never came.

        An outage tries the same message for hours, and that switches nothing off.
        """
        unsent = [r for r in results if r.outcome is Outcome.NOT_SENT]
        stayed = {r.ref for r in unsent if r.cause is Cause.CONNECT or r.code == NO_TURN}
        if stayed:
            given = {"batch": json.dumps(self._numbers([message for message in batch if message.ref in stayed]))}
            with self._writing() as db:
                db.execute(_UNCOUNT, given)

    def _numbers(self, batch: Sequence[Outbound]) -> dict[int, int]:
        """By the number of a message that of its address; of the user where the channel has no address."""
        return {
            self._number(message.ref): self._number(f"{message.address.kind}:{message.address.value or message.user}")
            for message in batch
        }

    def _number(self, text: str) -> int:
        hashed = self._keyed.copy()
        hashed.update(text.encode())
        return int.from_bytes(hashed.digest(), signed=True)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction of the one connection; whatever fails in it leaves the next one its own."""
        with self._lock:
            try:
                self._db.execute("begin immediate")
                yield self._db
                if self._db.in_transaction:
                    self._db.execute("commit")
            finally:
                self._db.rollback()


def _open_counts(path: Path, now: Instant) -> sqlite3.Connection:
    """The tripwire's own file, made where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    opened = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
    try:
        _prepare(opened, now)
    except BaseException:
        opened.close()  # else its lock would outlive the failure
        raise
    return opened


def _prepare(opened: sqlite3.Connection, now: Instant) -> None:
    """Settings and tables; what is too old to count goes, while nobody waits."""
    for pragma in ("journal_mode=wal", "synchronous=normal", "wal_autocheckpoint=20000", "cache_size=-32000"):
        opened.execute(f"pragma {pragma}")  # random keys touch many pages: the log grows before it is written back
    opened.execute("begin immediate")
    if opened.execute("pragma user_version").fetchone()[0] < _LAYOUT:
        for statement in _TABLES:
            opened.execute(statement)
    opened.execute("delete from calls where at < ?", (now - _CALLS_KEPT,))
    opened.execute("commit")


_LAYOUT = 2
_TABLES = (
    "drop table if exists calls",
    "drop table if exists gone",
    "create table calls (address integer, ref integer, count integer not null, at integer not null,"
    " primary key (address, ref)) without rowid",
    f"pragma user_version = {_LAYOUT}",
)
# The batch is a JSON object: {number of the message: number of its address, …}
_REF, _EACH = "cast(b.key as integer)", "json_each(:batch) as b"
_COUNT = (
    f"insert into calls (address, ref, count, at) select b.value, {_REF}, 1, :now from {_EACH} where true"
    " on conflict do update set count = count + 1, at = excluded.at"
)
_CALLS, _MESSAGES = f"max(calls.count * (calls.ref = {_REF}))", "sum(calls.at > :since and calls.count > 0)"
_TOO_OFTEN = (
    f"select {_REF}, {_CALLS}, {_MESSAGES} from {_EACH} cross join calls on calls.address = b.value"
    f" group by b.key having {_CALLS} > {CALLS_PER_REF} or {_MESSAGES} > {REFS_PER_ADDRESS_AND_HOUR} limit 1"
)
_UNCOUNT = f"update calls set count = count - 1 from {_EACH} where calls.address = b.value and calls.ref = {_REF}"
