"""How does a file somebody put into the project folder become rows?"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from recall import intake as rooms
from recall.errors import Misconfigured
from recall.intake import FileMapping, ImportReport, read_mapping
from tasks.edge import edge
from tasks.retrying import piece
from tasks.setup import project_settings, setup

Kind = Literal["users", "events", "consents", "suppressions", "history"]


@piece("intake", "intake {kind}")
def intake(kind: Kind, path: str, mapping: str) -> dict[str, int]:
    """Read one file of the project folder; counts. Rows that cannot be taken go to a rejects file there."""
    with edge(f"intake of {kind}"):
        report = _read(kind, _inside(path), _mapping(mapping))
    counts = ("read", "added", "changed", "unchanged", "rejected", "users_created")
    return {name: getattr(report, name) for name in counts}


def _read(kind: Kind, file: Path, mapping: FileMapping) -> ImportReport:
    settings, store, now = project_settings(), setup().store, setup().clock.now()
    rejects = settings.var_dir / "rejects"
    match kind:
        case "users":
            return rooms.import_users(store, file, mapping, now=now, rejects=rejects, region=settings.default_region)
        case "events":
            return rooms.import_events(store, file, mapping, now=now, rejects=rejects)
        case "consents":
            return rooms.import_consents(store, file, mapping, now=now, rejects=rejects)
        case "suppressions":
            region = settings.default_region
            return rooms.import_suppressions(store, file, mapping, now=now, rejects=rejects, region=region)
        case "history":
            return rooms.import_history(store, file, mapping, now=now, rejects=rejects)


def _mapping(name: str) -> FileMapping:
    return read_mapping(_inside(f"mappings/{name}.yaml")) if name else FileMapping()


def _inside(path: str) -> Path:
    """A file below the project folder; whoever fills in a form may not read the rest of the machine."""
    folder = project_settings().project_dir.resolve()
    file = (folder / path).resolve()
    if not file.is_relative_to(folder):
        raise Misconfigured("the path leads out of the project folder; put the file there and write its path from it")
    if not file.is_file():
        raise Misconfigured("there is no such file in the project folder of the worker; write the path from there")
    return file
