"""Does the store have the tables this program knows, and how does it get them?

Migrations are numbered files in `versions/`, applied in one transaction, and never edited after release.
Alembic is imported only to migrate: a check happens at every start and must cost nothing.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from recall.errors import Misconfigured
from recall.store.connect import busy_told

_HERE = Path(__file__).parent
_ADVISORY_LOCK = 0x7265_6361_6C6C  # "recall": two processes that migrate at once wait for each other


def known_revisions() -> list[str]:
    """Every revision this program knows, oldest first: the number a file in `versions/` begins with."""
    return sorted(path.name.split("_")[0] for path in (_HERE / "versions").glob("[0-9]*_*.py"))


def newest_revision() -> str:
    """The revision this program works with."""
    return known_revisions()[-1]


def read_revision(engine: Engine) -> str | None:
    """The revision the store is at; None when it holds no tables of ours yet."""
    with busy_told(engine), engine.connect().execution_options(recall_reading=True) as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        revision = connection.execute(text("select version_num from alembic_version")).scalar()
        return None if revision is None else str(revision)


def is_current(engine: Engine) -> bool:
    """Is the store at exactly the revision this program works with?"""
    return read_revision(engine) == newest_revision()


def check(engine: Engine) -> None:
    """Raise Misconfigured unless the store is at exactly the revision this program works with."""
    revision = read_revision(engine)
    if revision == newest_revision():
        return
    if revision is None:
        raise Misconfigured("the store has no tables yet; run `recall db migrate`")
    if revision in known_revisions():
        raise Misconfigured(
            f"the store is at revision {revision}, this recall needs {newest_revision()}; stop the workers, "
            "take a backup (`recall db backup`) and run `recall db migrate`"
        )
    raise Misconfigured(
        f"the store is at revision {revision}, which this recall (up to {newest_revision()}) does not know; "
        "upgrade recall to the version that migrated it"
    )


def migrate(engine: Engine) -> tuple[str | None, str]:
    """Bring the store to the newest revision, in one transaction; returns the revision before and after."""
    before = read_revision(engine)
    if before is not None and before not in known_revisions():
        check(engine)
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
        _upgrade(connection)
    return before, newest_revision()


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_HERE).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
