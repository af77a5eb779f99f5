"""Is it safe to send at all? Three guards that hold when the store, the clock or our own code is wrong.

    restore   the store forgot messages that were sent (a backup came back, a replica took over): nothing is sent
              until `recall recover` has read the provider's own log
    clock     the wall clock went back by more than a minute: nothing is sent until it is right again
    tripwire  one message called too often, one address too often within an hour: the kill switch goes on

What they remember stands outside the store, in `var_dir`, so that no store can make them forget. Written at most
once a second, never per message. One host: a second machine has marks of its own; so has a second store that shares
`var_dir`, in a file named after it.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from journeys.words import NO_TURN, Cause, Outcome
from providers.base import Outbound, SendResult
from recall.clock import DAY, HOUR, SECOND, Instant, to_datetime
from recall.errors import Misconfigured
from recall.store.connect import Store
from recall.store.guards import knows_ref, store_epoch

MARK_FILE, TRIPWIRE_FILE = "epoch.json", "tripwire.db"
BACKWARDS_AT_MOST = 60 * SECOND
CALLS_PER_REF = 6
REFS_PER_ADDRESS_AND_HOUR = 3
_CALLS_KEPT = 30 * DAY  # no message is called again so long after


# --- restore and clock ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mark:
    """What is known outside the store: the last message that passed its gate, and how late it was by then."""

    ref: str = ""
    gate_at: Instant = 0
    seen_at: Instant = 0  # the latest time the wall clock ever showed


class Marker:
    """Keeps the mark of one store, durably, beside it: for `var/epoch.json`, in `var/epoch-<its name>.json`."""

    def __init__(self, store: Store, path: Path) -> None:
        self._store = store
        self.path = path.with_name(f"{path.stem}-{store_epoch(store)}{path.suffix}")
        self._written = Mark()
        self._lock = threading.Lock()

    def check(self, now: Instant) -> None:
        """Raise Misconfigured when the store is older than the mark, or the clock went back."""
        mark = self._read()
        if now < mark.seen_at - BACKWARDS_AT_MOST:
            raise Misconfigured(
                f"the clock of this machine went back: it shows {_told(now)} and showed {_told(mark.seen_at)} before; "
                "nothing is sent until it is right (look at its time service)"
            )
        if mark.ref and not knows_ref(self._store, mark.ref):
            raise Misconfigured(
                f"the store is older than what was sent: the message {mark.ref} of {_told(mark.gate_at)} is not in "
                "it (a backup was restored, or another server took over); nothing is sent until `recall recover` "
                "has read the provider's own log"
            )

    def passed(self, refs: Sequence[str], now: Instant) -> None:
        """These messages passed their gate and are committed; called before the provider is."""
        with self._lock:
            if refs and now - self._written.seen_at >= SECOND:
                self._write(Mark(refs[-1], now, max(now, self._read().seen_at)))

    def trust_store(self, now: Instant) -> None:
        """A person recovered the store: it counts as it is, and so does the clock."""
        with self._lock:
            self._write(Mark(seen_at=now))

    def _read(self) -> Mark:
        try:
            return Mark(**json.loads(self.path.read_text()))
        except FileNotFoundError:
            return Mark()
        except (ValueError, TypeError):
            raise Misconfigured(
                f"{self.path.name} cannot be read, so nobody knows what was sent last; `recall recover` writes it anew"
            ) from None

    def _write(self, mark: Mark) -> None:
        """Whole or not at all: a new file, synced, takes the place of the old one."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_name(f"{self.path.name}.{secrets.token_hex(4)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(descriptor, json.dumps(vars(mark)).encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        draft.replace(self.path)
        self._written = mark


def _told(at: Instant) -> str:
    return f"{to_datetime(at):%Y-%m-%d %H:%M:%S} UTC"


# --- tripwire ---------------------------------------------------------------------------------------------


class Tripwire:
    """Counts calls by itself, apart from the planner; what it finds switches everything off."""

    def __init__(self, path: Path, *, now: Callable[[], Instant], trip: Callable[[str], object]) -> None:
        self._now, self._trip = now, trip
        self._lock = threading.Lock()
        try:
            self._db = _open_counts(path)
        except sqlite3.Error as error:
            raise Misconfigured(f"{path.name} cannot be opened ({error}), so no call could be counted") from None

    def close(self) -> None:
        self._db.close()

    def before(self, batch: Sequence[Outbound]) -> str:
        """Count these calls; says what is wrong, after tripping, when one must not be made ("" when all may)."""
        now = self._now()
        with self._writing():
            why = self._too_often(batch, now)
            if not why:
                self._db.executemany(
                    "insert into calls (ref, count, at) values (?, 1, ?)"
                    " on conflict (ref) do update set count = count + 1, at = excluded.at",
                    [(message.ref, now) for message in batch],
                )
        if why:
            self._trip(f"tripwire: {why}")
        return why

    def _too_often(self, batch: Sequence[Outbound], now: Instant) -> str:
        pairs = json.dumps([(message.ref, _hash(message)) for message in batch])
        called = self._db.execute(_CALLED, (pairs, CALLS_PER_REF)).fetchone()
        if called is not None:
            return f"message {called[0]} was called {called[1]} times"
        gone = self._db.execute(_GONE, (pairs, now - HOUR, REFS_PER_ADDRESS_AND_HOUR)).fetchone()
        if gone is not None:
            return f"message {gone[0]} would be number {gone[1] + 1} to one address within an hour"
        return ""

    def after(self, batch: Sequence[Outbound], results: Iterable[SendResult]) -> None:
        """Note whose bytes left: everything but what is known not to have found a connection."""
        unsent = [r for r in results if r.outcome is Outcome.NOT_SENT]
        stayed = {r.ref for r in unsent if r.cause is Cause.CONNECT or r.code == NO_TURN}
        now = self._now()
        with self._writing():
            self._db.executemany(
                "insert into gone (address, ref, at) values (?, ?, ?) on conflict do update set at = excluded.at",
                [(_hash(message), message.ref, now) for message in batch if message.ref not in stayed],
            )
            # An outage tries the same message for hours: what never left is no call, and switches nothing off.
            self._db.executemany("update calls set count = count - 1 where ref = ?", [(ref,) for ref in sorted(stayed)])
            self._db.execute("delete from gone where at < ?", (now - 2 * HOUR,))
            self._db.execute("delete from calls where at < ?", (now - _CALLS_KEPT,))

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One transaction of the one connection; whatever fails in it leaves the next one its own."""
        with self._lock:
            try:
                self._db.execute("begin immediate")
                yield
                self._db.execute("commit")
            finally:
                self._db.rollback()


def _open_counts(path: Path) -> sqlite3.Connection:
    """The tripwire's own file, made where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    opened = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
    for statement in (
        "pragma journal_mode=wal",
        "pragma synchronous=normal",
        "create table if not exists calls (ref text primary key, count integer not null, at integer not null)",
        "create table if not exists gone (address text, ref text, at integer, primary key (address, ref))",
        "create index if not exists calls_at on calls (at)",
        "create index if not exists gone_at on gone (at)",
    ):
        opened.execute(statement)
    return opened


# The batch as JSON: [[ref, hash of the address], …]
_CALLED = (
    "select calls.ref, calls.count from json_each(?) as b cross join calls on calls.ref = json_extract(b.value, '$[0]')"
    " where calls.count >= ? limit 1"
)
_GONE = (
    "select json_extract(b.value, '$[0]'), count(*) from json_each(?) as b"
    " cross join gone on gone.address = json_extract(b.value, '$[1]') and gone.at > ?"
    " and gone.ref <> json_extract(b.value, '$[0]')"
    " group by 1 having count(*) >= ? limit 1"
)


def _hash(message: Outbound) -> str:
    """An address as the tripwire keeps it; the user where the channel has no address."""
    return hashlib.sha256(f"{message.address.kind}:{message.address.value or message.user}".encode()).hexdigest()[:32]
