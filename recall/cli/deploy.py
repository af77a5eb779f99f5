"""How do the journeys' schedules get to Prefect? As prefect.yaml, shown as a difference before anything changes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from recall.cli.context import App, pass_app
from recall.cli.output import table

if TYPE_CHECKING:
    from journeys.journey import Journey
    from journeys.project import Project

FILE = "prefect.yaml"


@click.command()
@click.option("--files", is_flag=True, help="Take the journeys of the project's files, published or not.")
@click.option("--dry-run", is_flag=True, help="Show what would change on the server; write nothing.")
@click.option("--write-only", is_flag=True, help="Write prefect.yaml and stop; needs no server.")
@click.option("--limit", type=click.IntRange(1), help="Flow runs at once in the work pool [as it is].")
@pass_app
def deploy(app: App, files: bool, dry_run: bool, write_only: bool, limit: int | None) -> None:
    """Hand the journeys' schedules to Prefect: one deployment to run and one to enrol for each published journey.

    Touches only deployments tagged `recall`, removes those no journey stands behind any more, and leaves what
    somebody paused in Prefect paused. Makes the work pool and the automations where they are missing.

    \b
    Example:
      recall deploy --dry-run
    """
    if dry_run and write_only:
        raise click.UsageError("--dry-run writes nothing and --write-only only writes; choose one")
    from flows.deployments import to_yaml, wanted

    entries = wanted(_from_files(app) if files else _published(app))
    file = app.settings.project_dir / FILE
    written = to_yaml(entries)
    data: dict[str, Any] = {"file": str(file), "deployments": len(entries)}
    if not dry_run:
        data["file_changed"] = _write(file, written)
    if write_only:
        app.output.answer(data, f"{len(entries)} deployments are in {file}.")
        return
    import asyncio

    from flows.server import apply, compare

    done = asyncio.run(compare(entries) if dry_run else apply(entries, limit=limit))
    _tell(app, data | {"dry_run": dry_run} | done, dry_run=dry_run)


def project_of(folder: Path) -> Project:
    """The journeys of a project folder; of a folder without any, the shipped catalogue."""
    from journeys.project import load_project, shipped_project

    return load_project(folder) if any((folder / "journeys").glob("*.yaml")) else shipped_project()


def _from_files(app: App) -> list[Journey]:
    return [journey.noun for journey in project_of(app.settings.project_dir).journeys.values()]


def _published(app: App) -> list[Journey]:
    from recall.errors import Misconfigured
    from recall.store.versions import published_journeys

    with app.store.reading() as connection:
        found = [version.program.journey for version in published_journeys(connection)]
    if not found:
        raise Misconfigured("no journey is published, so there is nothing to deploy; run `recall journey publish`")
    return found


def _write(file: Path, text: str) -> bool:
    """Write the file if it says something else; raises Misconfigured rather than overwrite somebody's own."""
    from recall.errors import Misconfigured

    before = file.read_text("utf-8") if file.exists() else ""
    if before == text:
        return False
    if before and before.splitlines()[0] != text.splitlines()[0]:
        raise Misconfigured(f"{file} was not written by `recall deploy` and is left as it is; move it, or its content")
    file.write_text(text, "utf-8")
    return True


def _tell(app: App, data: dict[str, Any], *, dry_run: bool) -> None:
    rows = [["new", name, ""] for name in data["new"]]
    rows += [["changed", name, "; ".join(what)] for name, what in data["changed"].items()]
    rows += [["removed", name, "no journey stands behind it"] for name in data["removed"]]
    rows += [["new automation", name, ""] for name in data["automations"]]
    same = f"{data['unchanged']} deployments stay as they are."
    shown = [table(["", "deployment", "what"], rows)] if rows else []
    last = "Nothing was changed: leave out --dry-run to deploy." if dry_run and rows else same
    app.output.answer(data, *shown, last)
