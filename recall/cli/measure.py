"""Did it work? Arms of any table, the effect of one more contact, and the splits of a journey."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from recall.cli.context import App, pass_app
from recall.cli.measured import arms_table, caps_table, contacts_table, hazard_data, judged, ratio_line
from recall.errors import BadFile, Misconfigured, Problem

if TYPE_CHECKING:
    from recall.measure.sides import Side

PERSON_NEEDED = 1
_file = click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
_delimiter = click.option(
    "--delimiter",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", ",", ";", "|", "tab", "whitespace"]),
    help="What stands between two cells.",
)
_encoding = click.option(
    "--encoding", default="auto", show_default=True, type=click.Choice(["auto", "utf-8", "gb18030", "utf-16"])
)


@click.group()
def measure() -> None:
    """Compare arms, see what one more contact brings, judge a split.

    \b
    Example:
      recall measure arms results.csv --arm arm --control holdout --goal came_back
    """


@measure.command()
@_file
@click.option("--arm", required=True, metavar="COL", help="Column that says to which arm a person was assigned.")
@click.option("--control", required=True, metavar="VALUE", help="The arm that got nothing, or the usual.")
@click.option("--goal", required=True, metavar="COL", help="Column with yes or no (true/false, 1/0).")
@click.option("--value", metavar="COL", help="Column with what the return was worth; empty counts as 0.")
@click.option("--cost", metavar="COL", help="Column with what was spent on the person; empty counts as 0.")
@click.option("--expected", multiple=True, metavar="ARM=SHARE", help="How large an arm was meant to be; name each arm.")
@click.option("--looks", default=1, show_default=True, type=click.IntRange(1, 100), help="Looks declared beforehand.")
@click.option("--look", type=click.IntRange(1), help="Which of them this is [the last].")
@_delimiter
@_encoding
@pass_app
def arms(
    app: App,
    file: Path,
    arm: str,
    control: str,
    goal: str,
    value: str | None,
    cost: str | None,
    expected: tuple[str, ...],
    looks: int,
    look: int | None,
    delimiter: str,
    encoding: str,
) -> int:
    """Compare the arms of FILE, one row per person, with the control: everybody assigned counts.

    Lift with Newcombe's interval, two-sided p, sample ratio, power. Exit code 1 when the sample ratio is blocked:
    then somebody got lost, and no number can be trusted.

    \b
    Example:
      recall measure arms results.csv --arm arm --control holdout --goal back --expected test=90 --expected holdout=10
    """
    from recall.measure.experiment import Plan, compare_arms
    from recall.measure.experiment_data import comparison_data, ratio_data
    from recall.measure.people import read_sides
    from recall.measure.ratio import Ratio

    if look is not None and look > looks:
        raise click.UsageError(f"look {look} is beyond the {looks} declared; say --looks")
    shares = _shares(expected)
    wanted = [arm, goal, *(name for name in (value, cost) if name)]
    with _rows(file, wanted, delimiter, encoding) as rows:
        sides = read_sides(rows, file=file.name, arm=arm, goal=goal, value=value, cost=cost)
    _check_arms(sides, file=file, arm=arm, control=control, shares=shares)
    plan = Plan(looks=looks, look=look or looks)
    ratio, found = compare_arms(sides, control, expected=shares, plan=plan)
    base = sides[control]
    data = {
        "file": file.name,
        "rows": sum(side.people for side in sides.values()),
        "control": {"arm": control, "people": base.people, "goals": base.goals, "rate": base.rate},
        "sample_ratio": ratio_data(ratio),
        "arms": [comparison_data(each) for each in found],
    }
    app.output.answer(data, ratio_line(ratio), arms_table(control, found), *map(judged, found))
    return PERSON_NEEDED if ratio.state is Ratio.BLOCKED else 0


@measure.command()
@_file
@click.option("--contacts", required=True, metavar="COL", help="Column with the number of contacts.")
@click.option("--goal", required=True, metavar="COL", help="Column with yes or no (true/false, 1/0).")
@click.option("--most", default=10, show_default=True, type=click.IntRange(1), help="Contact numbers shown to people.")
@_delimiter
@_encoding
@pass_app
def hazard(app: App, file: Path, contacts: str, goal: str, most: int, delimiter: str, encoding: str) -> None:
    """What did contact k bring? Successes at contact k over people who reached it, and what each cap would cost.

    \b
    Example:
      recall measure hazard bank.csv --contacts campaign --goal y --delimiter ';'
    """
    from recall.measure.people import read_hazards

    with _rows(file, [contacts, goal], delimiter, encoding) as rows:
        found = read_hazards(rows, file=file.name, contacts=contacts, goal=goal)
    head = f"{found.people:,} people, {found.successes:,} successes, {found.contacts:,} contacts."
    shown = contacts_table(found.by_contact[:most]), caps_table(found.caps[:most])
    app.output.answer({"file": file.name, **hazard_data(found)}, head, *shown)


@measure.command()
@click.argument("journey")
@click.argument("name", metavar="SPLIT")
@pass_app
def split(app: App, journey: str, name: str) -> int:
    """Which arm of SPLIT in JOURNEY is better? Treated people whose window is closed, against the first arm written.

    A winner is promoted by a person: write its steps in place of the split and publish a new version.

    \b
    Example:
      recall measure split settled-30d split-1
    """
    from recall.measure.experiment_data import comparison_data, ratio_data
    from recall.measure.ratio import Ratio
    from recall.measure.splits import read_split
    from recall.store.figures import Asked

    with app.store.reading() as connection:
        found = read_split(Asked(connection, now=app.clock.now()), journey, name)
    data = {
        "journey": journey,
        "split": name,
        "control": found.control,
        "sample_ratio": ratio_data(found.ratio),
        "open_windows": found.open_people,
        "arms": [comparison_data(each) for each in found.arms],
        "winner": found.winner,
    }
    waiting = f"{found.open_people:,} people are left out: their time to come back is not over."
    won = (
        f"Winner: {found.winner}. To promote it, write its steps in place of the split and publish."
        if found.winner
        else "No winner yet."
    )
    lines = [ratio_line(found.ratio), arms_table(found.control, list(found.arms)), *map(judged, found.arms)]
    app.output.answer(data, *lines, waiting, won)
    return PERSON_NEEDED if found.ratio.state is Ratio.BLOCKED else 0


@measure.command()
@click.argument("journey")
@click.option("--looks", required=True, type=click.IntRange(1, 100), help="Weekly looks until the test ends.")
@click.option("--split", "name", help="A split of the journey instead of its holdout.")
@pass_app
def horizon(app: App, journey: str, looks: int, name: str | None) -> None:
    """Declare, before looking, at how many weekly looks a test is judged; JOURNEY may be `programme`.

    Without a declaration it is 13, a quarter. The boundary at each look follows from it. The declaration is noted
    with your name; change it only before the first look.

    \b
    Example:
      recall measure horizon settled-30d --looks 8
    """
    from recall.measure.horizon import PROGRAMME, declare_looks
    from recall.measure.splits import splits_of
    from recall.store.controls import record_action
    from recall.store.versions import current_version

    subject = journey if name is None else f"{journey}/{name}"
    with app.store.writing() as connection:
        if journey != PROGRAMME:
            there = splits_of(current_version(connection, journey))
            if name is not None and name not in there:
                raise Misconfigured(f"{journey} has no split {name!r}; its splits are: {', '.join(there) or 'none'}")
        declare_looks(connection, subject, looks)
        why = f"{looks} weekly looks"
        record_action(connection, "declare horizon", subject, who=app.who, why=why, at=app.clock.now())
    app.output.answer({"subject": subject, "looks": looks}, f"{subject}: judged at {looks} weekly looks.")


# --- reading the table ------------------------------------------------------------------------------------


def _check_arms(sides: Mapping[str, Side], *, file: Path, arm: str, control: str, shares: Mapping[str, float]) -> None:
    """Is there a control, somebody to compare with it, and a share for each arm or for none?"""
    if not sides:
        raise Misconfigured(f"{file.name} has no rows below its header")
    if control not in sides:
        raise Misconfigured(f"no row has {control!r} in column {arm}; its arms are: {', '.join(list(sides)[:30])}")
    if len(sides) == 1:
        raise Misconfigured(f"everybody in {file.name} is in the arm {control!r}; there is nobody to compare with")
    if shares and shares.keys() != sides.keys():
        raise click.UsageError(f"name every arm with --expected, and no other; they are: {', '.join(sides)}")


def _shares(expected: tuple[str, ...]) -> dict[str, float]:
    shares = {}
    for text in expected:
        name, _, share = text.rpartition("=")
        try:
            shares[name] = float(share)
        except ValueError:
            shares[name] = -1.0
        if not name or not 0 < shares[name] < float("inf"):
            raise click.UsageError(f"--expected {text!r} is not ARM=SHARE, such as holdout=10")
    return shares


@contextmanager
def _rows(
    file: Path, wanted: list[str], delimiter: str, encoding: str
) -> Iterator[Iterator[tuple[int, Mapping[str, str]]]]:
    """The rows of a CSV file, text only; a row that cannot be read is an error here, since a missing one misleads."""
    from recall.intake.sheet import Layout, open_sheet

    with open_sheet(file, Layout(encoding=encoding, delimiter=delimiter), wanted=wanted) as sheet:

        def read() -> Iterator[tuple[int, Mapping[str, str]]]:
            places = [(name, sheet.columns.index(name)) for name in dict.fromkeys(wanted)]
            for row in sheet.rows():
                if row.fault is not None:
                    message = f"this row cannot be read ({row.fault.value})"
                    raise BadFile([Problem(file.name, row.line, message, "mend it or take it out", row.column or None)])
                yield row.line, {name: row.cells[place] for name, place in places}

        yield read()
