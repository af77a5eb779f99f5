"""Which arm, goal, value and contacts does each row of a table tell? Text in, counts out; nothing is guessed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from math import isfinite

from recall.errors import BadFile, Problem
from recall.measure.hazard import Hazards, hazards_of
from recall.measure.sides import Side

Row = tuple[int, Mapping[str, str]]  # line, column -> text
MOST_CONTACTS = 1_000  # nobody had more; an id or an amount has
_YES = {"1", "1.0", "true", "yes", "y", "t"}
_NO = {"0", "0.0", "false", "no", "n", "f"}


def read_sides(
    rows: Iterable[Row],
    *,
    file: str,
    arm: str,
    goal: str,
    value: str | None = None,
    cost: str | None = None,
) -> dict[str, Side]:
    """One side per arm, in the order of their names; raises BadFile at the first cell that cannot be read."""
    people: Counter[str] = Counter()
    goals: Counter[str] = Counter()
    values: dict[str, float] = {}
    squares: dict[str, float] = {}
    costs: dict[str, float] = {}
    for line, cells in rows:
        name = cells[arm]
        if not name:
            raise _bad(file, line, arm, "is empty", "every row needs an arm")
        people[name] += 1
        goals[name] += _yes(file, line, goal, cells[goal])
        if value is not None:
            worth = _number(file, line, value, cells[value])
            values[name] = values.get(name, 0.0) + worth
            squares[name] = squares.get(name, 0.0) + worth * worth
        if cost is not None:
            costs[name] = costs.get(name, 0.0) + _number(file, line, cost, cells[cost])
    return {
        name: Side(people[name], goals[name], values.get(name, 0.0), squares.get(name, 0.0), costs.get(name, 0.0))
        for name in sorted(people)
    }


def read_hazards(rows: Iterable[Row], *, file: str, contacts: str, goal: str) -> Hazards:
    """Contacts are whole numbers from 0 up."""
    people: Counter[int] = Counter()
    successes: Counter[int] = Counter()
    for line, cells in rows:
        text = cells[contacts].strip()
        if not (text.isascii() and text.isdigit() and len(text) <= 9):
            raise _bad(file, line, contacts, "the value is not a number of contacts", "write 0, 1, 2 …")
        if int(text) > MOST_CONTACTS:
            raise _bad(
                file, line, contacts, f"the value is above {MOST_CONTACTS:,}", "name the column of contact numbers"
            )
        people[int(text)] += 1
        successes[int(text)] += _yes(file, line, goal, cells[goal])
    return hazards_of(people, successes)


def _yes(file: str, line: int, column: str, text: str) -> int:
    word = text.strip().lower()
    if word in _YES:
        return 1
    if word in _NO:
        return 0
    raise _bad(file, line, column, "the value is neither yes nor no", "write yes or no, true or false, 1 or 0")


def _number(file: str, line: int, column: str, text: str) -> float:
    try:
        number = float(text) if text.strip() else 0.0
    except ValueError:
        number = float("nan")
    if not isfinite(number):
        raise _bad(file, line, column, "the value is not a number", "write such as 12.50, or leave it empty")
    return number


def _bad(file: str, line: int, column: str, message: str, hint: str) -> BadFile:
    return BadFile([Problem(file, line, message, hint, column)])
