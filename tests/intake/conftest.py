"""What does a test of intake start from? A store, a folder, and files written on the spot."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from recall import intake
from recall.clock import Instant
from recall.intake import FileMapping, ImportReport
from recall.store.connect import Store

Bytes = bytes | str
DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture
def data() -> Callable[[str], Path]:
    """A public data set by file name; skips where there is none."""

    def find(name: str) -> Path:
        if not (DATA / name).exists():
            pytest.skip(f"the public data set {name} is not on this machine (../shared/data)")
        return DATA / name

    return find


@dataclass
class Desk:
    """Somebody who imports files into one store."""

    store: Store
    folder: Path
    now: Instant

    def file(self, content: Bytes, name: str = "file.csv") -> Path:
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def take(
        self, kind: str, content: Bytes | Path, mapping: dict[str, Any] | None = None, **more: Any
    ) -> ImportReport:
        """Import `content` as users, events, consents, suppressions or history."""
        file = content if isinstance(content, Path) else self.file(content)
        verb = getattr(intake, f"import_{kind}")
        said = FileMapping(**(mapping or {}))
        report: ImportReport = verb(
            self.store, file, said, **{"now": self.now, "rejects": self.folder / "rejects", **more}
        )
        assert report.read == report.added + report.changed + report.unchanged + report.rejected
        assert report.rejected == sum(report.reasons.values()) == len(self.rejects(report))
        return report

    def rejects(self, report: ImportReport) -> list[dict[str, str]]:
        """The rows of the rejects file."""
        if report.rejects_path is None:
            return []
        with report.rejects_path.open(encoding="utf-8-sig", newline="") as file:
            return list(csv.DictReader(file))

    def complaints(self, report: ImportReport) -> list[tuple[int, str, str]]:
        """(line, column, reason) of every rejected row."""
        rows = self.rejects(report)
        return [(int(row["recall_line"]), row["recall_column"], row["recall_reason"]) for row in rows]

    def rows(self, sql: str) -> list[tuple]:
        with self.store.reading() as connection:
            return [tuple(row) for row in connection.execute(text(sql))]


@pytest.fixture
def desk(sqlite_store: Store, tmp_path: Path, now: Instant) -> Iterator[Desk]:
    """Imports into a SQLite store: what differs between the stores is tested where they are."""
    yield Desk(sqlite_store, tmp_path, now)


@pytest.fixture
def both(store: Store, tmp_path: Path, now: Instant) -> Iterator[Desk]:
    """Imports into a store of each kind."""
    yield Desk(store, tmp_path, now)
