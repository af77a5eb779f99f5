"""Are our packages really ours? `flows`, `tasks`, `journeys` and `providers` are common names.

Measured: a stray `tasks.py` earlier on the path, or another distribution with a package `tasks`, silently takes
the place of ours. The check costs less than a millisecond.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from recall.errors import Misconfigured

ROOMS = ("flows", "tasks", "journeys", "providers")


def find_strangers() -> dict[str, str]:
    """Rooms that are not siblings of `recall`, and where they come from instead."""
    home = Path(__file__).resolve().parents[2]
    found = {room: _folder(room) for room in ROOMS}
    return {room: str(folder) for room, folder in found.items() if folder != home / room}


def _folder(room: str) -> Path | None:
    """The folder the package is read from; a single file has none, so its own path is told."""
    spec = find_spec(room)
    if spec is None:
        return None
    places = list(spec.submodule_search_locations or [spec.origin or ""])
    return Path(places[0]).resolve()


def check_rooms() -> None:
    """Raise Misconfigured when another package stands where one of ours should be."""
    strangers = find_strangers()
    if strangers:
        raise Misconfigured(
            "; ".join(
                f"`{room}` comes from {origin}, not from recall's own folder" for room, origin in strangers.items()
            )
            + "; start recall from another folder, or take that folder off PYTHONPATH, or reinstall recall in a "
            "virtual environment of its own"
        )
