"""Which journeys do project and store know, and do they agree?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from journeys.compile import compile_journey
from journeys.project import Project
from recall.cli.context import App
from recall.cli.journey_files import opened_store, read_project
from recall.errors import Misconfigured

if TYPE_CHECKING:
    from recall.store.versions import Version


def list_journeys(app: App, *, shipped: bool) -> list[dict[str, Any]]:
    """One row per journey of the files, then those that are only in the store."""
    project = read_project(app, shipped=shipped)
    published = {} if shipped else _published(app)
    rows = [_row(project, name, published.get(name)) for name in sorted(project.journeys)]
    gone = sorted(set(published) - set(project.journeys))
    return rows + [_only_published(published[name]) for name in gone]


def _published(app: App) -> dict[str, Version]:
    store = opened_store(app)
    if store is None:
        return {}
    from recall.store.versions import published_journeys

    with store.reading() as connection:
        return {version.name: version for version in published_journeys(connection)}


def _row(project: Project, name: str, version: Version | None) -> dict[str, Any]:
    scenarios = project.scenarios.get(name)
    return {
        "journey": name,
        "title": project.journeys[name].noun.title,
        "published": _state(project, name, version),
        "scenarios": len(scenarios.noun.scenarios) if scenarios else 0,
    }


def _state(project: Project, name: str, version: Version | None) -> str:
    if version is None:
        return "no"
    from recall.engine.publish import is_published

    templates = {each: template.noun for each, template in project.templates.items()}
    try:
        same = is_published(compile_journey(project.journeys[name].noun, project.rules, templates), version)
    except Misconfigured:  # a file that cannot be compiled is another matter: `journey lint` tells it
        same = False
    return f"version {version.number}" + ("" if same else ", the file differs")


def _only_published(version: Version) -> dict[str, Any]:
    title = version.program.journey.title
    return {"journey": version.name, "title": title, "published": f"version {version.number}, no file", "scenarios": 0}
