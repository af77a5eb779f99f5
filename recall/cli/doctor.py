"""Is this installation fit to send? One line per thing that must hold, and what to do where it does not."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from typing import TYPE_CHECKING

import click

from recall.cli.context import App, pass_app
from recall.cli.output import table
from recall.cli.rooms import find_strangers
from recall.engine.preflight import Finding
from recall.errors import Misconfigured, RecallError

if TYPE_CHECKING:
    from packaging.requirements import Requirement


@click.command()
@click.option("--messages", type=click.IntRange(1), metavar="N", help="How long would N messages take, on each route?")
@pass_app
def doctor(app: App, messages: int | None) -> int:
    """Is this installation fit to send? Exit code 1 when something needs a person.

    Looks at this machine and the store, then at the providers in use: credentials, senders, webhooks, prices, time
    needed. Pulls the providers' own suppression lists. Sends nothing. Live messages want the last answer to be well
    and at most RECALL_PREFLIGHT_DAYS old.

    \b
    Example:
      recall doctor --json
      recall doctor --messages 1000000
    """
    findings = list(examine(app))
    if all(finding.ok for finding in findings if finding.name in ("schema", "address key")):
        findings += preflight(app, findings, messages)
    rows = [["ok" if finding.ok else "PROBLEM", finding.name, finding.detail] for finding in findings]
    fit = all(finding.ok for finding in findings)
    app.output.answer(
        {"ok": fit, "findings": [asdict(finding) for finding in findings]}, table(["", "what", "found"], rows)
    )
    return 0 if fit else 1


def examine(app: App) -> Iterator[Finding]:
    """Every check, in the order in which a person would repair them."""
    for name, look in (
        ("python", _python),
        ("packages", _packages),
        ("rooms", _rooms),
        ("settings", lambda: f"mode {app.settings.mode}, project {app.settings.project_dir.resolve()}"),
        ("durability", lambda: _durability(app)),
        ("schema", lambda: _schema(app)),
        ("address key", lambda: _address_key(app)),
        ("suppressions", lambda: _suppressions(app)),
    ):
        yield _look(name, look)


def preflight(app: App, before: list[Finding], messages: int | None) -> list[Finding]:
    """What the providers in use say; kept in the store, because live mode asks for it."""
    from recall.engine.preflight import Preflight
    from recall.store.fitness import record_fitness

    looking = Preflight(app.store, app.settings, app.clock)
    found = list(looking.examine(messages=messages))
    wrong = [finding.name for finding in [*before, *found] if not finding.ok]
    with app.store.writing() as connection:
        record_fitness(connection, providers=looking.real, wrong=wrong, at=app.clock.now())
    return found


def _look(name: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, look())
    except (Misconfigured, RecallError) as error:
        return Finding(name, False, str(error))


def _python() -> str:
    from packaging.specifiers import SpecifierSet

    found = ".".join(map(str, sys.version_info[:3]))
    needed = metadata("recall")["Requires-Python"]
    if not SpecifierSet(needed).contains(found):
        raise Misconfigured(f"{found}; recall needs {needed}")
    return found


def _packages() -> str:
    """Every requirement is met; SQLAlchemy 2.1, for one, silently keeps Prefect from scheduling anything."""
    from packaging.requirements import Requirement

    needed = [Requirement(text) for text in requires("recall") or []]
    needed = [each for each in needed if each.marker is None or each.marker.evaluate({"extra": ""})]
    wrong = [f"{each} (found {_version(each.name)})" for each in needed if not _is_met(each)]
    if wrong:
        raise Misconfigured(f"{', '.join(wrong)}; install what requirements.lock pins (`make setup`)")
    return f"recall {_version('recall')}, prefect {_version('prefect')}, sqlalchemy {_version('sqlalchemy')}"


def _is_met(requirement: Requirement) -> bool:
    found = _version(requirement.name)
    return found is not None and requirement.specifier.contains(found, prereleases=True)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _rooms() -> str:
    strangers = find_strangers()
    if strangers:
        raise Misconfigured(", ".join(f"{room} comes from {origin}" for room, origin in strangers.items()))
    return "flows, tasks, journeys and providers are recall's own"


def _durability(app: App) -> str:
    store = app.unchecked_store
    kind = "PostgreSQL" if store.is_postgresql else "SQLite"
    weak = app.settings.allow_weak_durability
    return f"{kind}; NOT checked, RECALL_ALLOW_WEAK_DURABILITY is set" if weak else f"{kind} keeps what it committed"


def _schema(app: App) -> str:
    from recall.store.migrations import check, newest_revision

    check(app.unchecked_store.engine)
    return f"revision {newest_revision()}"


def _address_key(app: App) -> str:
    assert app.store
    return "the one this store was made with"


def _suppressions(app: App) -> str:
    from recall.store.suppressions import suppressions_known

    if not suppressions_known(app.store):
        raise Misconfigured(
            "nobody has said yet who must never be messaged, so nothing is sent live; "
            "see `recall import suppressions --help`"
        )
    return "known"
