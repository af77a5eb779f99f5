"""Why did, or didn't, this person get a message? One line per decision, by the person's own clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click

from recall.cli.context import App, pass_app
from recall.cli.desk import UTC, moment
from recall.cli.output import table
from recall.clock import DAY

if TYPE_CHECKING:
    from recall.engine.explain import Explanation, Line

_INSTANTS = 365 * DAY  # facts are counts, ids and instants; a number beyond this is an instant
_MONEY = "_micros"


@click.command()
@click.argument("user")
@click.option("--journey", help="Only this journey.")
@pass_app
def explain(app: App, user: str, journey: str | None) -> None:
    """Everything decided about one USER (your own id of them): when, at which step, what, and why.

    The last line of a passage that goes on is what the gate would say now.

    \b
    Example:
      recall explain u-1001 --journey settled-30d
    """
    from recall.cli.desk import reading_setup
    from recall.engine.explain import explain as explain_user
    from recall.store.controls import refuse_unknown_journey

    if journey is not None:
        with app.store.reading() as connection:
            refuse_unknown_journey(connection, journey)
    found = explain_user(reading_setup(app), user, journey=journey)
    zone = ZoneInfo(found.zone) if found.zone else UTC
    data = {"user": found.user, "zone": found.zone or None, "lines": [_as_data(line, zone) for line in found.lines]}
    if not found.lines:
        where = journey or "any journey"
        app.output.answer(data, f"{user} was never in {where}; `recall run --enrol` counts why people do not enter.")
        return
    app.output.answer(data, _shown(found, zone))


def _shown(found: Explanation, zone: ZoneInfo) -> Any:
    clock = found.zone or "UTC, as the zone is not known"
    rows = [
        [moment(line.at, zone), line.journey, line.step, line.outcome, line.reason, _facts(line, zone)]
        for line in found.lines
    ]
    return table(["when", "journey", "step", "outcome", "reason", "facts"], rows, title=f"{found.user} ({clock})")


def _facts(line: Line, zone: ZoneInfo) -> str:
    return ", ".join(f"{name} {value}" for name, value in _readable(line, zone).items())


def _readable(line: Line, zone: ZoneInfo) -> dict[str, Any]:
    """Facts with times by the person's clock and money as decimal text."""
    from recall.cli.journey_outline import money

    said: dict[str, Any] = {}
    for name, value in line.facts.items():
        if name.endswith(_MONEY) and isinstance(value, int):
            said[name.removesuffix(_MONEY)] = money(value)
        elif isinstance(value, int) and value > _INSTANTS:
            said[name] = moment(value, zone)
        else:
            said[name] = value
    return said


def _as_data(line: Line, zone: ZoneInfo) -> dict[str, Any]:
    from recall.clock import to_datetime

    return {
        "at": to_datetime(line.at).astimezone(zone).isoformat(timespec="seconds"),
        "journey": line.journey,
        "step": line.step,
        "outcome": line.outcome,
        "reason": line.reason,
        "facts": _readable(line, zone),
    }
