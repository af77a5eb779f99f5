"""How is a store opened, and is it safe to send from?

Writers on SQLite begin IMMEDIATE (an upgrade from read to write fails at once, whatever the busy timeout);
on PostgreSQL they run READ COMMITTED. A store that may forget a commit is refused unless overridden loudly.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, bindparam, create_engine, event, select
from sqlalchemy import Connection as Connection  # the name other rooms use in signatures
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from recall.clock import Clock, Instant, SystemClock
from recall.errors import Misconfigured, StoreBusy
from recall.settings import Settings
from recall.store import schema
from recall.store.turns import Turns
from recall.store.upserts import insert

_BUSY_TIMEOUT_SECONDS = 30
_IDLE_SECONDS = 120  # between two statements of a transaction; reading for a review pauses for seconds
_KEY_FILE = "address.key"


@dataclass(frozen=True)
class Store:
    """An open store: one engine and the key with which addresses are hashed."""

    engine: Engine
    address_key: bytes
    turn: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)  # of SQLite's one writer
    turns: Turns = field(default_factory=Turns, repr=False, compare=False)

    @property
    def is_postgresql(self) -> bool:
        return self.engine.dialect.name == "postgresql"

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One durable transaction; rolls back when the block raises."""
        turn = nullcontext() if self.is_postgresql else self.turns.turn()
        with turn, busy_told(self.engine), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One consistent look; nothing written in it is kept."""
        with busy_told(self.engine), self.engine.connect() as connection:
            if connection.dialect.name == "sqlite":
                connection = connection.execution_options(recall_reading=True)
            yield connection
            connection.rollback()

    def hash_address(self, kind: str, value: str) -> str:
        """What remains of an address after erasure: HMAC-SHA-256 of kind and normalised value."""
        return hmac.new(self.address_key, f"{kind}:{value}".encode(), hashlib.sha256).hexdigest()

    def fact(self, name: str) -> str | None:
        with self.reading() as connection:
            return read_fact(connection, name)

    def close(self) -> None:
        self.engine.dispose()


def read_fact(connection: Connection, name: str) -> str | None:
    """One fact about the store; None when it was never said."""
    return connection.execute(_FACT, {"fact": name}).scalar()


def write_fact(connection: Connection, name: str, value: str) -> None:
    """Say or replace one fact about the store; of two who say it first in the same moment the later one holds."""
    if not connection.execute(_CHANGE_FACT, {"fact": name, "said": value}).rowcount:
        new = _new_fact(connection, name, value).on_conflict_do_update(index_elements=["name"], set_={"value": value})
        connection.execute(new)


def keep_fact(connection: Connection, name: str, value: str) -> str:
    """Say a fact unless it is known already, be it by another process in this moment; returns what is known."""
    connection.execute(_new_fact(connection, name, value).on_conflict_do_nothing())
    return read_fact(connection, name) or value


def _new_fact(connection: Connection, name: str, value: str) -> Any:
    return insert(connection, schema.facts).values(name=name, value=value)


_IS_FACT = schema.facts.c.name == bindparam("fact")
_FACT = select(schema.facts.c.value).where(_IS_FACT)
_CHANGE_FACT = schema.facts.update().where(_IS_FACT).values(value=bindparam("said"))


def open_store(settings: Settings) -> Store:
    """Open the store the settings name; raises Misconfigured for weak durability or a wrong key.

    Does not look at the schema: `recall.store.migrations.check` does.
    """
    engine = open_engine(settings.store_url)
    store = Store(engine, load_address_key(settings))
    if not settings.allow_weak_durability:
        try:
            refuse_weak_durability(store)
        except Misconfigured:
            store.close()
            raise
    return store


def open_engine(url: str) -> Engine:
    """An engine with the settings every recall process uses."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _open_sqlite(url)
    if parsed.get_backend_name() == "postgresql":
        return _open_postgresql(parsed)
    raise Misconfigured(
        f"recall keeps its store in SQLite or PostgreSQL, not in {parsed.get_backend_name()}; "
        "set RECALL_DATABASE_URL to sqlite:///… or postgresql://…"
    )


def _open_postgresql(url: URL) -> Engine:
    driver = url.set(drivername="postgresql+psycopg")
    # The connection used last knows its statements and its pages best: 3 % of a run.
    engine = create_engine(driver, pool_size=8, pool_use_lifo=True, pool_pre_ping=True, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        """Behind a cut cable the server would keep our locks for hours, and every run would pass these people by.

        Nor are helpers started for a statement: to look into an index takes less time than to start them, and an idle
        run among a million enrolled took three times as long.
        """
        connection.execute(f"set idle_in_transaction_session_timeout = '{_IDLE_SECONDS}s'")
        connection.execute("set max_parallel_workers_per_gather = 0")
        connection.commit()

    return engine


def _open_sqlite(url: str) -> Engine:
    database = make_url(url).database
    if database:
        Path(database).parent.mkdir(parents=True, exist_ok=True)
        Path(database).touch(mode=0o600)  # it holds phones and e-mails
    engine = create_engine(url, connect_args={"timeout": _BUSY_TIMEOUT_SECONDS}, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we begin transactions ourselves
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "temp_store=MEMORY",
            "cache_size=-64000",  # of each connection; three times as much made nothing quicker (docs/performance.md)
            "mmap_size=268435456",  # the rest of a large file is read, so that memory does not grow with the store
            "wal_autocheckpoint=20000",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        reading = connection.get_execution_options().get("recall_reading")
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


@contextmanager
def busy_told(engine: Engine) -> Iterator[None]:
    """Tell a locked or lost store from a wrong statement; never passes row values on.

    What fails in the driver beneath SQLAlchemy (`recall.store.bulk`) comes as the driver's own error.
    """
    driver: Any = engine.dialect.loaded_dbapi
    try:
        yield
    except (OperationalError, driver.OperationalError) as error:
        name = type(error.orig if isinstance(error, OperationalError) else error).__name__
        raise StoreBusy(f"the store is locked or unreachable ({name})") from None


def refuse_weak_durability(store: Store) -> None:
    """Raise Misconfigured when a commit could be forgotten: a forgotten gate row is a second message."""
    with busy_told(store.engine), store.engine.connect() as connection:
        if store.is_postgresql:
            weak = {
                name: value
                for name in ("fsync", "synchronous_commit", "full_page_writes")
                if (value := connection.exec_driver_sql(f"show {name}").scalar()) == "off"
            }
        else:
            level = connection.exec_driver_sql("PRAGMA synchronous").scalar()
            weak = {} if level is not None and int(level) >= 2 else {"synchronous": level}
        connection.rollback()
    if weak:
        raise Misconfigured(
            f"the store may forget a commit ({', '.join(f'{k}={v}' for k, v in weak.items())}), and then a message "
            "would go out twice; switch durability on, or set RECALL_ALLOW_WEAK_DURABILITY=true for a test store"
        )


def load_address_key(settings: Settings) -> bytes:
    """The HMAC key from the settings, else from (or into) a private key file beside the store."""
    if settings.address_key is not None:
        return settings.address_key.get_secret_value().encode()
    path = settings.var_dir / _KEY_FILE
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(32))
    return path.read_text().strip().encode()


def confirm_address_key(store: Store) -> None:
    """Keep the key's fingerprint at first use, refuse another key ever after: suppressions would stop matching."""
    fingerprint = hashlib.sha256(b"recall address key:" + store.address_key).hexdigest()[:16]
    known = store.fact("address_key")
    if known is None:
        with store.writing() as connection:
            known = keep_fact(connection, "address_key", fingerprint)
    if known != fingerprint:
        raise Misconfigured(
            "the address key is not the one this store was made with, so opt-outs would not be recognised; "
            "set RECALL_ADDRESS_KEY (or restore address.key) to the original key"
        )


class StoreClock:
    """The virtual clock of a store marked `simulated`; its time is a row of that store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def now(self) -> Instant:
        value = self._store.fact("virtual_now")
        if value is None:
            raise Misconfigured("this simulated store has no time yet; start the simulation with `recall simulate`")
        return int(value)


def clock_of(store: Store) -> Clock:
    """The wall clock, or the virtual one of a simulated store."""
    return StoreClock(store) if store.fact("simulated") == "true" else SystemClock()
