"""With what do tasks work? The setup of this process, opened at first use; it never travels as a parameter."""

from __future__ import annotations

from threading import Lock

from recall.engine.setup import Setup, open_setup
from recall.settings import Settings, load

_lock = Lock()
_opened: list[Setup] = []


def setup() -> Setup:
    """The one setup of this process: store, providers, clock."""
    with _lock:
        if not _opened:
            _opened.append(open_setup(project_settings()))
        return _opened[0]


def use(opened: Setup) -> None:
    """Work with this setup instead of opening one (tests, benchmarks)."""
    forget()
    _opened.append(opened)


def forget() -> None:
    """Close the setup; the next use opens a new one, by the settings of that moment."""
    with _lock:
        for opened in _opened:
            opened.store.close()
        _opened.clear()


def project_settings() -> Settings:
    """Settings of the project folder that `RECALL_PROJECT_DIR` names (here, if nothing does) and of its `.env`."""
    folder = load().project_dir
    return load(project_dir=folder, _env_file=folder / ".env")
