"""Is one message called too often, or one person too often within an hour? Then the kill switch goes on.

The third guard: it holds when our own code is wrong. So it counts by itself, apart from the planner, in a file of its
own in `var_dir`, and before the call: what dies in the middle was counted. Whose bytes certainly never left is taken
off afterwards, which happens in trouble only.

One row per call, in the order of the calls. Addresses have no index: with their random keys it would write a page per
message (docs/decisions.md). A sketch in memory follows the file, whoever writes to it, and only an address that it has
seen too often is looked up, in the rows of the last hours. What is taken off stays in the sketch, and costs a look at
most. Addresses are numbers of 64 bits under the store's key: nobody can be found in the file.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from journeys.words import NO_TURN, Cause, Outcome
from providers.base import Outbound, SendResult
from recall.clock import DAY, HOUR, Instant, elapsed_seconds
from recall.engine.sketch import Sketch
from recall.errors import Misconfigured

TRIPWIRE_FILE = "tripwire.db"
CALLS_PER_REF = 6
REFS_PER_ADDRESS_AND_HOUR = 3
_CALLS_KEPT = 30 * DAY  # no message is called again so long after
_LOCK_SECONDS = 30.0  # others hold the file for milliseconds


class Tripwire:
    """Counts calls; what it finds switches everything off. Many processes may share its file."""

    def __init__(self, path: Path, *, key: bytes, now: Callable[[], Instant], trip: Callable[[str], object]) -> None:
        self._now, self._trip = now, trip
        self._keyed = hashlib.blake2b(digest_size=8, key=key[: hashlib.blake2b.MAX_KEY_SIZE])  # copied for each text
        self._lock = threading.Lock()
        self._lately: _Lately | None = None
        try:
            self._db = _open_counts(path, now())
        except sqlite3.Error as error:
            raise Misconfigured(f"{path.name} cannot be opened ({error}), so no call could be counted") from None

    def close(self) -> None:
        self._db.close()

    def before(self, batch: Sequence[Outbound]) -> str:
        """Count these calls; says what is wrong, after tripping, when one must not be made ("" when all may)."""
        addresses = {message.ref: self._address_of(message) for message in batch}
        if len(addresses) < len(batch):
            why = "one message stands twice in what would be called at once"
        else:
            why = self._count(addresses)
        if why:
            self._trip(f"tripwire: {why}")
        return why

    def _count(self, addresses: Mapping[str, int]) -> str:
        """Count for good, unless something is wrong; a failure leaves nothing half counted, in the file or here."""
        with self._lock:
            lately, self._lately = self._caught_up(), None
            with self._writing() as db:
                now = self._now()  # in here, so that times lie in the order of the rows
                batch = json.dumps(addresses)
                db.execute(_COUNT, {"batch": batch, "now": now})
                why = _called_too_often(db, batch) or lately.messaged_too_often(db, addresses, now - HOUR)
                if not why:  # else these calls are not made
                    db.execute("commit")
                    self._lately = lately
            return why

    def _caught_up(self) -> _Lately:
        """What this process knows of the last hour; reading the file keeps nobody from writing to it."""
        lately, since = self._lately, self._now() - HOUR
        if lately is None or not lately.reaches(since):
            lately = _Lately(self._db, since)
        lately.read_on(self._db)
        return lately

    def after(self, batch: Sequence[Outbound], results: Iterable[SendResult]) -> None:
        """Take off whose bytes never left: they found no connection, or their turn never came.

        An outage tries the same message for hours, and that switches nothing off.
        """
        unsent = [r for r in results if r.outcome is Outcome.NOT_SENT]
        stayed = {r.ref for r in unsent if r.cause is Cause.CONNECT or r.code == NO_TURN}
        if stayed:
            mine = json.dumps({message.ref: self._address_of(message) for message in batch if message.ref in stayed})
            with self._lock, self._writing() as db:
                db.execute(_UNCOUNT, (mine,))
                db.execute("commit")

    def _address_of(self, message: Outbound) -> int:
        """The number of its address; of the user where the channel has no address."""
        hashed = self._keyed.copy()
        hashed.update(f"{message.address.kind}:{message.address.value or message.user}".encode())
        return int.from_bytes(hashed.digest(), signed=True)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction of the one connection; what is not committed in it is undone."""
        try:
            self._db.execute("begin immediate")
            yield self._db
        finally:
            self._db.rollback()


class _Lately:
    """To whom calls went since `since`, as far as the file was read."""

    def __init__(self, db: sqlite3.Connection, since: Instant) -> None:
        self._since = since
        self._before = self._read = int(db.execute(_LAST_BEFORE, (since,)).fetchone()[0])
        self._sketch = Sketch(limit=REFS_PER_ADDRESS_AND_HOUR)

    def reaches(self, since: Instant) -> bool:
        """Back to there, and not so far beyond that many would be looked up for nothing."""
        return self._since <= since <= self._since + HOUR

    def read_on(self, db: sqlite3.Connection) -> set[int]:
        """To the end of the file; returns addresses which may have too many, of those in what was read."""
        return self._sketch.add(self._unread(db))

    def messaged_too_often(self, db: sqlite3.Connection, addresses: Mapping[str, int], since: Instant) -> str:
        """Read on, past these calls; says which message is one too many to its address ("" for none)."""
        suspects = self.read_on(db).intersection(addresses.values())
        if not suspects:
            return ""
        found = db.execute(_MESSAGED, (self._before, since, json.dumps(list(suspects)))).fetchone()
        if found is None:
            return ""
        address, messages = found
        ref = next(ref for ref, number in addresses.items() if number == address)
        return f"message {ref} would be number {messages} to one address within an hour"

    def _unread(self, db: sqlite3.Connection) -> Iterator[int]:
        for number, address in db.execute("select id, address from calls where id > ? order by id", (self._read,)):
            self._read = number
            yield address


def _called_too_often(db: sqlite3.Connection, batch: str) -> str:
    found = db.execute(_CALLED, (batch,)).fetchone()
    return "" if found is None else f"message {found[0]} was called {found[1] - 1} times"


def _open_counts(path: Path, now: Instant) -> sqlite3.Connection:
    """The tripwire's own file, made where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    opened = sqlite3.connect(path, timeout=_LOCK_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        _prepare(opened, now)
    except BaseException:
        opened.close()  # else its lock would outlive the failure
        raise
    return opened


def _prepare(opened: sqlite3.Connection, now: Instant) -> None:
    """Settings and tables; what is too old to count goes."""
    _keep_journal(opened)
    for pragma in ("synchronous=normal", "temp_store=memory"):
        opened.execute(f"pragma {pragma}")
    opened.execute("begin immediate")
    if opened.execute("pragma user_version").fetchone()[0] < _LAYOUT:
        for statement in _TABLES:
            opened.execute(statement)
    opened.execute(_FORGET, (now - _CALLS_KEPT,))
    opened.execute("commit")


def _keep_journal(opened: sqlite3.Connection) -> None:
    """Write ahead; SQLite does not wait for another process that makes the same new file, so we do."""
    until = elapsed_seconds() + _LOCK_SECONDS
    while True:
        try:
            opened.execute("pragma journal_mode=wal")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or elapsed_seconds() > until:
                raise
            time.sleep(0.01)


_LAYOUT = 3
_TABLES = (
    "drop table if exists calls",
    "drop table if exists gone",
    # Autoincrement: no number is given twice, so who read up to one has missed nothing. `latest` is the latest time of
    # this row and all before it: it never goes back, though a clock may.
    "create table calls (id integer primary key autoincrement, at integer not null, latest integer not null,"
    " ref text not null, address integer not null)",
    "create index calls_by_ref on calls (ref)",
    f"pragma user_version = {_LAYOUT}",
)
# Both walk from one end of the file and stop at the first row on the other side.
_LAST_BEFORE = "select coalesce((select id from calls where latest <= ? order by id desc limit 1), 0)"
_FORGET = "delete from calls where id < coalesce((select id from calls where latest >= ? order by id limit 1), 1 << 62)"
_COUNT = (
    "insert into calls (at, latest, ref, address)"
    " select :now, max(:now, coalesce((select latest from calls order by id desc limit 1), 0)), key, value"
    " from json_each(:batch)"
)
_CALLED = (
    "select b.key, (select count(*) from calls where ref = b.key) as called from json_each(?) as b"
    f" where called > {CALLS_PER_REF} limit 1"
)
_MESSAGED = (
    "select address, count(distinct ref) as messages from calls"
    " where id > ? and at > ? and address in (select value from json_each(?))"
    f" group by address having messages > {REFS_PER_ADDRESS_AND_HOUR} limit 1"
)
_UNCOUNT = (
    "delete from calls where id in"
    " (select max(calls.id) from json_each(?) as b cross join calls on calls.ref = b.key and calls.address = b.value"
    " group by b.key)"
)
