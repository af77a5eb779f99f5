"""Are the journeys right, what do they say, and which version is in force? Files are read, published, compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from recall.cli.context import App, pass_app
from recall.cli.output import table
from recall.errors import Misconfigured, Problem

if TYPE_CHECKING:
    from journeys.program import Program
    from journeys.project import Project
    from recall.engine.publish import Published
    from recall.engine.scenarios import Played
    from recall.store.published import PublishedVersion

PERSON_NEEDED = 1
_shipped = click.option("--shipped", is_flag=True, help="The catalogue that comes with recall, not this project.")


@click.group()
def journey() -> None:
    """Check, show, test and publish journeys.

    \b
    Example:
      recall journey lint && recall journey test && recall journey publish --all
    """


@journey.command()
@click.argument("files", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--all", "everything", is_flag=True, help="Every file of the project (as without FILES).")
@click.option("--strict", is_flag=True, help="Warnings count as problems.")
@_shipped
@pass_app
def lint(app: App, files: tuple[Path, ...], everything: bool, strict: bool, shipped: bool) -> int:
    """Check FILES, or every file of the project: journeys, policies, templates, segments, scenarios.

    Exit code 1 when something is wrong; warnings alone leave it 0, unless --strict.

    \b
    Example:
      recall journey lint journeys/settled-30d.yaml
    """
    from journeys.project import SHIPPED
    from recall.cli.journey_files import find_problems, problems_of_files, project_folder, read_project
    from recall.cli.journey_gateways import gateway_problems
    from recall.cli.journey_power import needed_by, power_lines, power_warnings

    if files and (everything or shipped):
        raise click.UsageError("name FILES, or check everything with --all or --shipped, not both")
    found = problems_of_files(files) if files else find_problems(SHIPPED if shipped else project_folder(app))
    broken = any(problem.severity == "error" for problem in found)
    project = None if files or broken else read_project(app, shipped=shipped)
    needed = needed_by(each.noun for each in project.journeys.values()) if project else {}
    if project and not shipped:
        found = [*found, *power_warnings(app, needed), *gateway_problems(app, project)]
    wrong = [problem for problem in found if strict or problem.severity == "error"]
    lines = [*power_lines(needed), *(_told(problem) for problem in found)]
    data = {"ok": not wrong, "problems": [_as_data(each) for each in found], "people_needed": needed}
    app.output.answer(data, *lines, _verdict(found))
    return PERSON_NEEDED if wrong else 0


def _told(problem: Problem) -> str:
    text = str(problem)
    return f"warning: {text}" if problem.severity == "warning" else text


def _as_data(problem: Problem) -> dict[str, Any]:
    return {
        "file": problem.file,
        "line": problem.line,
        "where": problem.column,
        "message": problem.message,
        "hint": problem.hint,
        "severity": problem.severity,
    }


def _verdict(found: list[Problem]) -> str:
    warnings = sum(problem.severity == "warning" for problem in found)
    if not found:
        return "Nothing is wrong."
    return f"{_count(len(found) - warnings, 'problem')}, {_count(warnings, 'warning')}.".capitalize()


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


@journey.command()
@click.argument("id")
@_shipped
@pass_app
def show(app: App, id: str, shipped: bool) -> None:
    """Read a journey aloud: who enters, what is sent when, and which versions are published.

    ID is the journey's file in the project; ID@2 is its version 2, ID@published the current one.

    \b
    Example:
      recall journey show settled-30d
    """
    from recall.cli.journey_files import meant_program, opened_store, project_folder, read_project, unknown_journey
    from recall.cli.journey_outline import outline

    if "@" in id:
        noun = meant_program(app, id)[1].journey
    else:
        journeys = read_project(app, shipped=shipped).journeys
        if id not in journeys:
            raise Misconfigured(unknown_journey(id, journeys, project_folder(app)))
        noun = journeys[id].noun
    versions: list[PublishedVersion] = []
    store = None if shipped else opened_store(app)
    if store is not None:
        from recall.store.published import published_versions

        with store.reading() as connection:
            versions = published_versions(connection, noun.id)
    data = {"journey": noun.model_dump(mode="json", exclude_none=True), "versions": [_version(v) for v in versions]}
    rows = [list(_version(version).values()) for version in versions]
    columns = ["version", "published", "by", "hash", "current"]
    shown = table(columns, rows, title="published") if rows else "" if shipped else "Not published yet."
    app.output.answer(data, *outline(noun), shown)


def _version(version: PublishedVersion) -> dict[str, Any]:
    from recall.clock import to_datetime

    return {
        "version": version.number,
        "published": f"{to_datetime(version.at):%Y-%m-%d %H:%M} UTC",
        "by": version.who,
        "hash": version.hash[:12],
        "current": "current" if version.is_current else "",
    }


@journey.command()
@click.argument("a")
@click.argument("b", required=False)
@pass_app
def diff(app: App, a: str, b: str | None) -> None:
    """What differs between A and B: steps, limits and texts, in words. With A alone: published against the file.

    A and B are ID (the file), ID@2 (version 2) or ID@published (the current version).

    \b
    Example:
      recall journey diff settled-30d@1 settled-30d@2
    """
    from recall.cli.journey_files import meant_program

    old, new = (a, b) if b is not None else (a if "@" in a else f"{a}@published", a.partition("@")[0])
    (old_name, old_program), (new_name, new_program) = meant_program(app, old), meant_program(app, new)
    lines = _differences(old_program, new_program, old_name, new_name)
    data = {"a": old_name, "b": new_name, "equal": not lines, "differences": lines}
    app.output.answer(data, *(lines or [f"{old_name} and {new_name} say the same."]))


def _differences(old: Program, new: Program, old_name: str, new_name: str) -> list[str]:
    """A unified diff of how both read; without the marks of where, as the lines tell that themselves."""
    from difflib import unified_diff

    from recall.cli.journey_outline import outline, outline_texts

    a, b = ([*outline(each.journey), *outline_texts(each)] for each in (old, new))
    return [line for line in unified_diff(a, b, old_name, new_name, lineterm="", n=1) if not line.startswith("@@")]


@journey.command()
@click.argument("id", required=False)
@_shipped
@pass_app
def test(app: App, id: str | None, shipped: bool) -> int:
    """Play the scenario files beside the journeys on a virtual clock; nothing is sent, no store is touched.

    Exit code 1 when anything happens otherwise than expected. How to write them: docs/scenarios.md

    \b
    Example:
      recall journey test settled-30d
    """
    from recall.cli.journey_files import read_project
    from recall.engine.scenarios import cases_of, empty_store

    cases = cases_of(read_project(app, shipped=shipped), id)
    if not cases:
        raise Misconfigured("there are no scenarios yet; write journeys/ID.scenarios.yaml (docs/scenarios.md)")
    played: list[Played] = []
    with app.output.progress("scenarios", len(cases)) as advance, empty_store() as empty:
        for case in cases:
            played.append(case.play(empty))
            advance(1)
    failed = [each for each in played if not each.is_as_expected]
    data = {"ok": not failed, "scenarios": [_played(each) for each in played]}
    app.output.answer(data, *(line for each in played for line in _play_lines(each)), _play_verdict(played, failed))
    return PERSON_NEEDED if failed else 0


def _played(each: Played) -> dict[str, Any]:
    return {
        "journey": each.journey,
        "scenario": each.scenario,
        "ok": each.is_as_expected,
        "differences": each.differences,
        "happened": [str(happening) for happening in each.actual.happenings],
        "not_entered": dict(each.actual.not_entered),
    }


def _play_lines(each: Played) -> list[str]:
    mark = "ok  " if each.is_as_expected else "FAIL"
    return [f"{mark} {each.journey}: {each.scenario}", *(f"       {line}" for line in each.differences)]


def _play_verdict(played: list[Played], failed: list[Played]) -> str:
    return f"{_count(len(played), 'scenario')}: {_count(len(failed), 'surprise')}."


@journey.command()
@click.argument("ids", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every journey and policy of the project.")
@click.option("--why", default="", help="The reason, kept with your name for the audit.")
@pass_app
def publish(app: App, ids: tuple[str, ...], everything: bool, why: str) -> None:
    """Publish journeys IDS (with the policies they name), or everything, in one transaction.

    Workers execute published versions only. People already inside go on in the version they entered; policies are
    in force at once for everybody. Publishing the same content again changes nothing; one lint error stops it all.

    \b
    Example:
      recall journey publish settled-30d
    """
    from recall.cli.journey_files import read_project
    from recall.engine.publish import publish_project

    if bool(ids) == everything:
        raise click.UsageError("name the journeys to publish, or publish all: recall journey publish --all")
    project = read_project(app)
    done = publish_project(app.store, project, now=app.clock.now(), who=app.who, why=why, only=ids or None)
    data = {
        "new": [{"journey": version.name, "version": version.number} for version in done.new],
        "unchanged": [version.name for version in done.unchanged],
        "policies": done.policies,
        "left": done.left,
    }
    app.output.answer(data, *_published_lines(done, project))


def _published_lines(done: Published, project: Project) -> list[str]:
    lines = [f"{version.name} is published as version {version.number}." for version in done.new]
    lines += [f"{version.name} is published already (version {version.number})." for version in done.unchanged]
    lines += [f"Policy {name} is in force now, for everybody under it." for name in done.policies]
    lines += [f"{name} is not in this project and goes on as published." for name in done.left]
    asks = [version.name for version in done.new if project.journeys[version.name].noun.approval]
    lines += [f"{name} sends nothing until a person approves this version." for name in asks]
    return lines or ["There is nothing to publish: this project has no journeys."]


@journey.command()
@click.argument("kind", type=click.Choice(["journey", "policy", "template", "segment", "scenarios"]), default="journey")
def schema(kind: str) -> None:
    """Print the JSON Schema of a kind of file, for editors that complete and check while you type.

    \b
    Example:
      recall journey schema journey > .vscode/recall-journey.json
    """
    from journeys import jsonschema

    print(json.dumps(getattr(jsonschema, f"{kind}_schema")(), ensure_ascii=False, indent=2))


@journey.command("list")
@_shipped
@pass_app
def list_(app: App, shipped: bool) -> None:
    """Which journeys are there, and which of them are published as they stand in the files?

    \b
    Example:
      recall journey list --shipped
    """
    from recall.cli.journey_list import list_journeys

    rows = list_journeys(app, shipped=shipped)
    columns = ["journey", "title", "published", "scenarios"]
    empty = "There are no journeys yet; copy one from `recall journey list --shipped`, or run `recall init DIR`."
    shown = table(columns, [list(row.values()) for row in rows]) if rows else empty
    app.output.answer({"journeys": rows}, shown)
