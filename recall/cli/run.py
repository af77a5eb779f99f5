"""Send what is due now, once, by hand; the same pass that Prefect's schedules start."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from recall.cli.context import App, pass_app
from recall.cli.output import table
from recall.errors import Misconfigured, RecallError
from recall.settings import Mode

if TYPE_CHECKING:
    from recall.engine.enrol import EnrolResult
    from recall.engine.preview import Preview
    from recall.engine.run import RunResult
    from recall.engine.setup import Setup
    from recall.store.versions import Version

PERSON_NEEDED = 1


@click.command()
@click.argument("journey", required=False)
@click.option("--enrol", "with_enrol", is_flag=True, help="Let in first whoever may enter now.")
@click.option("--dry-run", is_flag=True, help="Ask the gate about everybody due; send and write nothing.")
@pass_app
def run(app: App, journey: str | None, with_enrol: bool, dry_run: bool) -> int:
    """Send what is due now in one JOURNEY, or in all that are published. Running twice sends nothing twice.

    Exit code 1 when a step failed, or when messages are in doubt: then see `recall reconcile`.

    \b
    Example:
      recall run settled-30d --enrol
    """
    dry_run = dry_run or app.settings.mode is Mode.DRY_RUN
    if dry_run and with_enrol:
        raise click.UsageError("a dry run lets nobody in; leave out --enrol or --dry-run")
    versions = _versions(app, journey)
    if not versions:
        app.output.answer({"journeys": {}}, "No journey is published yet; `recall journey publish --all` does it.")
        return 0
    return _preview(app, versions) if dry_run else _run(app, versions, with_enrol=with_enrol)


def _versions(app: App, journey: str | None) -> list[Version]:
    from recall.store.controls import refuse_unknown_journey
    from recall.store.versions import current_version, published_journeys

    with app.store.reading() as connection:
        if journey is None:
            return published_journeys(connection)
        refuse_unknown_journey(connection, journey)
        return [current_version(connection, journey)]


# --- a dry run -------------------------------------------------------------------------------------------


def _preview(app: App, versions: list[Version]) -> int:
    from recall.cli.desk import reading_setup
    from recall.engine.preview import preview_run

    setup = reading_setup(app)
    with app.output.progress("journeys", len(versions)) as advance:
        found: dict[str, Preview] = {}
        for version in versions:
            found[version.name] = preview_run(setup, version.name)
            advance(1)
    rows = [row for name, preview in found.items() for row in _step_rows(name, preview.steps)]
    rows += [[name, "", "due on a branch, split or wait", p.turns] for name, p in found.items() if p.turns]
    data = {name: {"steps": preview.steps, "turns": preview.turns} for name, preview in found.items()}
    shown = table(["journey", "step", "the gate would say", "people"], rows) if rows else "Nobody is due."
    app.output.answer({"dry_run": True, "journeys": data}, shown, "A dry run: nothing was sent or written.")
    return 0


def _step_rows(name: str, steps: dict[str, dict[str, int]]) -> Iterator[list[object]]:
    for step, counts in steps.items():
        for word, people in sorted(counts.items()):
            yield [name, step, word, people]


# --- a run ------------------------------------------------------------------------------------------------


def _run(app: App, versions: list[Version], *, with_enrol: bool) -> int:
    from recall.cli.desk import sending_setup
    from recall.engine.run import run_journey
    from recall.engine.spool import replay as replay_spool

    results: dict[str, RunResult] = {}
    wrong: dict[str, str] = {}
    with sending_setup(app) as setup:
        replay_spool(setup.store, setup.spool_dir, now=setup.clock.now())  # answers kept while the store was away
        entered = _enrol(app, setup, versions) if with_enrol else {}
        with app.output.progress("journeys", len(versions)) as advance:
            for version in versions:
                try:
                    results[version.name] = run_journey(setup, version.name)
                except (Misconfigured, RecallError) as error:  # one journey does not stop the others
                    wrong[version.name] = str(error)
                advance(1)
        return _tell(app, setup, entered, results, wrong)


def _enrol(app: App, setup: Setup, versions: list[Version]) -> dict[str, EnrolResult]:
    from recall.engine.enrol import enrol

    entered: dict[str, EnrolResult] = {}
    with app.output.progress("who may enter", len(versions)) as advance:
        for version in versions:
            entered[version.name] = enrol(setup.store, version, now=setup.clock.now())
            advance(1)
    return entered


def _tell(
    app: App, setup: Setup, entered: dict[str, EnrolResult], results: dict[str, RunResult], wrong: dict[str, str]
) -> int:
    from recall.store.ledger import open_doubts

    with setup.store.reading() as connection:
        doubts = len(open_doubts(connection))
    failed = wrong | {f"{name}/{step}": why for name, done in results.items() for step, why in done.failed.items()}
    rows: list[list[object]] = []
    for name, each in entered.items():
        rows += [[name, "(entering)", word, people] for word, people in each.counts().items() if people]
    for name, result in results.items():
        rows += _result_rows(name, result)
    lines: list[Any] = [table(["journey", "step", "what", "people"], rows)] if rows else []
    lines += [f"{what} failed: {why}" for what, why in failed.items()]
    if doubts:
        lines.append(f"{doubts} messages are in doubt, none is sent again: see `recall reconcile`.")
    data = {name: _result_data(result, entered.get(name)) for name, result in results.items()}
    answer = {"dry_run": False, "journeys": data, "failed": failed, "doubts": doubts}
    app.output.answer(answer, *(lines or ["Nobody is due."]))
    return PERSON_NEEDED if failed or doubts else 0


def _result_rows(name: str, result: RunResult) -> Iterator[list[object]]:
    if result.converged.recalled:
        yield [name, "(came back)", "goal", result.converged.recalled]
    for reason, people in result.converged.ended.items():
        yield [name, "(left)", reason.value, people]
    if result.turned:
        yield [name, "(branch, split, wait)", "went on", result.turned]
    yield from _step_rows(name, result.steps)


def _result_data(result: RunResult, entered: EnrolResult | None) -> dict[str, Any]:
    return {
        **({} if entered is None else {"entered": entered.counts()}),
        "came_back": result.converged.recalled,
        "left": {reason.value: people for reason, people in result.converged.ended.items()},
        "turned": result.turned,
        "steps": result.steps,
    }
