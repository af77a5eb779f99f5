"""With what does a verb look at the store, or send, and how does it write a time for people?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from recall.cli.context import App
from recall.clock import Instant, to_datetime

if TYPE_CHECKING:
    from recall.engine.setup import Setup

UTC = ZoneInfo("UTC")


def reading_setup(app: App) -> Setup:
    """What `explain` and `replay` ask the gate with: no provider is opened, so none can be missing."""
    from recall.engine.setup import Setup

    return Setup(app.store, {}, app.clock, app.settings.var_dir / "spool", app.settings.mode)


@contextmanager
def sending_setup(app: App) -> Iterator[Setup]:
    """Everything a run needs, with every provider opened and, at the end, closed."""
    from recall.engine.setup import open_setup

    setup = open_setup(app.settings, store=app.store)
    try:
        yield setup
    finally:
        for provider in setup.providers.values():
            setup.dispatcher.run(provider.close())


def moment(at: Instant, zone: ZoneInfo = UTC) -> str:
    """`2026-03-02 09:00` on the clock of a zone."""
    return f"{to_datetime(at).astimezone(zone):%Y-%m-%d %H:%M}"
