"""How is the store copied while recall works? SQLite copies itself online; PostgreSQL has pg_dump for that.

A copy holds phones and e-mails: only its owner may read it.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from psycopg.conninfo import make_conninfo

from recall.errors import Misconfigured
from recall.store.connect import Store


def back_up(store: Store, target: Path) -> None:
    """Write a consistent copy of the store to a new file; raises Misconfigured when it cannot, and leaves none."""
    _make_private(target)
    try:
        if store.is_postgresql:
            _dump_postgresql(store, target)
        else:
            _copy_sqlite(store, target)
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _make_private(target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        raise Misconfigured(f"{target} is there already; name a new file, so that no backup is lost") from None


def _copy_sqlite(store: Store, target: Path) -> None:
    with closing(store.engine.raw_connection()) as source, closing(sqlite3.connect(target)) as copy:
        driver = source.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        driver.backup(copy)
        verdict = copy.execute("PRAGMA quick_check").fetchone()[0]
    if verdict != "ok":
        raise Misconfigured(f"the copy is damaged ({verdict}); run `recall db check` on the store itself")


def _dump_postgresql(store: Store, target: Path) -> None:
    program = shutil.which("pg_dump")
    if program is None:
        raise Misconfigured(
            "pg_dump is not installed; install PostgreSQL's client programs (at least the server's version), "
            "or use the backup of your database service"
        )
    with _connection_without_password(store) as connection:
        dump = subprocess.run(
            [program, "--format=custom", "--no-password", f"--file={target}", f"--dbname={connection}"],
            capture_output=True,
            text=True,
            check=False,
        )
    if dump.returncode:
        raise Misconfigured(f"pg_dump gave up: {dump.stderr.strip()}")


@contextmanager
def _connection_without_password(store: Store) -> Iterator[str]:
    """A connection string for the command line, where everybody can read it; the password stays in a private file."""
    url = store.engine.url
    options: dict[str, Any] = {"dbname": url.database, "user": url.username, "host": url.host, "port": url.port}
    password = str(url.password or "")
    with tempfile.NamedTemporaryFile("w", prefix="recall-", suffix=".pgpass") as file:
        file.write("*:*:*:*:" + password.replace("\\", "\\\\").replace(":", "\\:") + "\n")
        file.flush()
        yield make_conninfo("", **options | dict(url.query), passfile=file.name)
