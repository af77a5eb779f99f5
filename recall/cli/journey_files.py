"""Which files and which published versions does a person mean? Nothing here makes a store that is not there."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from journeys.project import SHIPPED, Project, lint_project, load_project, shipped_project
from recall.cli.context import App
from recall.errors import BadFile, Misconfigured, Problem

if TYPE_CHECKING:
    from journeys.program import Program
    from recall.store.connect import Store

_FOLDERS = ("journeys", "policies", "templates", "segments")


def read_project(app: App, *, shipped: bool = False) -> Project:
    """The project folder of this call, or the catalogue that comes with recall."""
    return shipped_project() if shipped else load_project(project_folder(app))


def project_folder(app: App) -> Path:
    return app.project or app.settings.project_dir


def find_problems(folder: Path) -> list[Problem]:
    """Everything wrong in a project; where files cannot be read, that alone."""
    try:
        return lint_project(shipped_project() if folder == SHIPPED else load_project(folder))
    except BadFile as bad:
        return bad.problems


def problems_of_files(files: Iterable[Path]) -> list[Problem]:
    """What is wrong in these files, checked with the project they lie in.

    Where they cannot be checked because other files of the project are wrong, what is wrong there.
    """
    wanted = {file.resolve() for file in files}
    found = [problem for folder in sorted({_home(file) for file in wanted}) for problem in find_problems(folder)]
    mine = [problem for problem in found if Path(problem.file).resolve() in wanted]
    return mine or [problem for problem in found if problem.severity == "error"]


def _home(file: Path) -> Path:
    """The project folder a file lies in."""
    if file.parent == SHIPPED / "catalogue":
        return SHIPPED
    if file.is_file() and file.parent.name in _FOLDERS:
        return file.parent.parent
    raise click.UsageError(
        f"{file.name} lies in none of the folders {', '.join(_FOLDERS)} of a project; `recall init DIR` makes one"
    )


def opened_store(app: App) -> Store | None:
    """The store, if there is one with tables in it; None where nothing was ever published."""
    url = app.settings.store_url
    if url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).exists():
        return None
    from recall.store.migrations import read_revision

    return app.store if read_revision(app.unchecked_store.engine) is not None else None


def meant_program(app: App, text: str) -> tuple[str, Program]:
    """What `ID` (the file), `ID@3` (version 3) or `ID@published` (the current version) means, with its name."""
    name, at, number = text.partition("@")
    if not at:
        return f"{name} (file)", _from_file(app, name)
    if number != "published" and not number.isdigit():
        raise click.UsageError(f"{text!r}: write ID for the file, ID@2 for version 2, ID@published for the current one")
    store = opened_store(app)
    if store is None:
        raise Misconfigured(f"no journey {name!r} is published; run `recall journey publish {name}`")
    from recall.store.published import numbered_version

    with store.reading() as connection:
        version = numbered_version(connection, name, int(number) if number.isdigit() else None)
    return f"{name} version {version.number}", version.program


def _from_file(app: App, name: str) -> Program:
    from journeys.project import compile_project

    programs = compile_project(read_project(app))
    if name not in programs:
        raise Misconfigured(unknown_journey(name, programs, project_folder(app)))
    return programs[name]


def unknown_journey(name: str, known: Iterable[str], folder: Path) -> str:
    """What to say when a project has no journey of this name."""
    return f"there is no journey {name!r} in {folder / 'journeys'}; there are: {', '.join(sorted(known)) or 'none'}"
