"""Where does a drawn world live? In a SQLite file or a PostgreSQL database of its own, both copied from a template.

One engine of each kind serves all worlds of a process, so that a statement is compiled once and not once per world.
"""

from __future__ import annotations

import atexit
import gc
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import Engine, event
from sqlalchemy.engine import make_url

from recall.store.connect import open_engine
from recall.store.migrations import migrate
from tests.conftest import _beside, _new_database, _start_server


@contextmanager
def new_engine(folder: Path, *, is_postgresql: bool) -> Iterator[Engine]:
    """An engine on a migrated, empty store; nothing of it is left afterwards."""
    if is_postgresql:
        with _new_database(_server()) as url:
            yield from _lent(_postgresql(), make_url(url).database or "")
    else:
        shutil.copy(_template(), folder / "recall.db")
        yield from _lent(_sqlite(), str(folder / "recall.db"))


def _lent(shared: _Shared, place: str) -> Iterator[Engine]:
    shared.place = place
    gc.disable()  # a world leaves its garbage to its end
    try:
        yield shared.engine
    finally:
        shared.engine.dispose()
        gc.enable()
        gc.collect(1)


class _Shared:
    """An engine whose next connections lead to `place`."""

    def __init__(self, engine: Engine, name: str) -> None:
        self.engine, self.place = engine, ""

        @event.listens_for(engine, "do_connect")
        def _lead(_dialect: Any, _record: Any, arguments: list[Any], named: dict[str, Any]) -> None:
            if name:
                named[name] = self.place
            else:
                arguments[0] = self.place


@cache
def _sqlite() -> _Shared:
    """Crashes here are of processes, not of power: nothing is synced."""
    shared = _Shared(open_engine(f"sqlite:///{_template()}"), "")
    event.listen(shared.engine, "connect", lambda raw, _record: raw.execute("pragma synchronous=off") and None)
    return shared


@cache
def _postgresql() -> _Shared:
    return _Shared(open_engine(_beside(_server(), "migrated")), "dbname")


@cache
def _template() -> Path:
    """An empty migrated file, made once per process."""
    path = Path(tempfile.mkdtemp(prefix="recall-faults-")) / "recall.db"
    atexit.register(shutil.rmtree, path.parent, ignore_errors=True)
    engine = open_engine(f"sqlite:///{path}")
    migrate(engine)
    engine.dispose()
    return path


@cache
def _server() -> str:
    """URL of a PostgreSQL server of this process, with the template `migrated`; started when a world first needs it."""
    folder = Path(tempfile.mkdtemp(prefix="recall-postgresql-"))
    folder.chmod(0o755)
    try:
        server = _start_server(folder / "data")
    except subprocess.SubprocessError:  # once per machine, as root: two processes race to add the server's user
        server = _start_server(folder / "data-2")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(server.cleanup)
    url: str = server.get_uri()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("alter system set autovacuum = off")  # the order of rows is part of a world's history
        connection.execute("select pg_reload_conf()")
        connection.execute("create database migrated")
    engine = open_engine(_beside(url, "migrated"))
    migrate(engine)
    engine.dispose()
    return url
