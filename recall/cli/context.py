"""What does a verb work with? Settings, the store, the clock and who asks; each opened when first used."""

from __future__ import annotations

import getpass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import click

from recall.cli.output import Output
from recall.errors import Misconfigured

if TYPE_CHECKING:
    from recall.clock import Clock
    from recall.settings import Settings
    from recall.store.connect import Store


class App:
    """One call of `recall`."""

    def __init__(self) -> None:
        self.output = Output()
        self.project: Path | None = None  # from --project
        self.database: str | None = None  # from --database

    @cached_property
    def settings(self) -> Settings:
        """Settings of the project folder, with what the command line says on top."""
        return load_settings(self.project, self.database)

    @cached_property
    def store(self) -> Store:
        """The store, safe to send from: durable, at our revision, made with our address key."""
        from recall.store.connect import confirm_address_key
        from recall.store.migrations import check

        check(self.unchecked_store.engine)
        confirm_address_key(self.unchecked_store)
        return self.unchecked_store

    @cached_property
    def unchecked_store(self) -> Store:
        """The store as it is, for the verbs that migrate and examine it."""
        from recall.store.connect import open_store

        store = open_store(self.settings)
        click.get_current_context().find_root().call_on_close(store.close)
        return store

    @cached_property
    def clock(self) -> Clock:
        """The wall clock, or the virtual one of a simulated store."""
        from recall.store.connect import clock_of

        return clock_of(self.store)

    @cached_property
    def who(self) -> str:
        """Who asks, for the audit: the operating system's name of the user."""
        try:
            return getpass.getuser()
        except (OSError, KeyError):  # a container may run under a number without a name
            return "unknown"


pass_app = click.make_pass_decorator(App)


def load_settings(project: Path | None, database: str | None) -> Settings:
    """Read the settings; raises Misconfigured that names the variable, never its value."""
    from pydantic import ValidationError

    from recall import settings

    given: dict[str, object] = {}
    if project is not None:
        given = {"project_dir": project, "_env_file": project / ".env"}
    if database is not None:
        given["database_url"] = database
    try:
        return settings.load(**given)
    except ValidationError as error:
        wrong = [f"RECALL_{'.'.join(map(str, part['loc']))}".upper() + f": {part['msg']}" for part in error.errors()]
        raise Misconfigured(f"settings: {'; '.join(wrong)}; correct the environment or the project's .env") from None
