"""What would the next migration be? `python -m recall.store.migrations.draft` prints the operations that are missing.

Until the first release, `--first` writes them into 0001_first_tables.py instead of a new file.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from textwrap import indent

from alembic.autogenerate import produce_migrations, render_python_code
from alembic.migration import MigrationContext
from sqlalchemy import Engine

from recall.store import connect, schema
from recall.store.migrations import migrate

_FIRST = Path(__file__).parent / "versions" / "0001_first_tables.py"
_BETWEEN = re.compile(r"(?<=    # drafted from the schema\n).*(?=    # end of draft\n)", re.DOTALL)


def draft(engine: Engine) -> str:
    """The operations that bring this store to `schema.metadata`, as the body of an `upgrade` function."""
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        operations = produce_migrations(context, schema.metadata).upgrade_ops
    assert operations is not None
    return str(render_python_code(operations))


def main(arguments: list[str]) -> None:
    """Print what is missing, or with `--first` rewrite the first migration."""
    engine = connect.open_engine("sqlite://")
    if "--first" not in arguments:
        migrate(engine)
        sys.stdout.write(draft(engine) + "\n")
        return
    lines = [line for line in draft(engine).splitlines() if not line.lstrip().startswith("# ###")]
    body = "\n".join(line.removeprefix("    ") for line in lines)
    _FIRST.write_text(_BETWEEN.sub(lambda _: indent(body, "    ") + "\n", _FIRST.read_text()))


if __name__ == "__main__":
    main(sys.argv[1:])
