"""Is there a database beside the store for somebody else, such as Prefect's server?"""

from __future__ import annotations

from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import OperationalError, ProgrammingError

from recall.errors import Misconfigured

_HAS_DATABASE = text("select 1 from pg_database where datname = :name")
_HAS_EXTENSION = text("select 1 from pg_available_extensions where name = :name")


def ensure_database(url: str, name: str, *, driver: str, extension: str) -> str:
    """The URL, for this driver, of the database `name` on the server of a PostgreSQL store; made if it is missing.

    "" where the server does not have an extension the database needs.
    """
    known = make_url(url).set(drivername="postgresql+psycopg")
    engine = create_engine(known, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            if not connection.execute(_HAS_EXTENSION, {"name": extension}).scalar():
                return ""
            if not connection.execute(_HAS_DATABASE, {"name": name}).scalar():
                quoted = connection.dialect.identifier_preparer.quote(name)
                connection.execute(text(f"create database {quoted}"))
    except (OperationalError, ProgrammingError) as error:  # not there, or the role may not
        what = type(error.orig).__name__
        raise Misconfigured(f"no database {name!r} can be made beside the store ({what})") from None
    finally:
        engine.dispose()
    return known.set(drivername=driver, database=name).render_as_string(hide_password=False)
