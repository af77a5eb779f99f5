"""What does an event's property say? Properties are kept as JSON text of text values, read in each store's own way.

A number is an optional minus, digits, and optionally a point and digits, 31 characters at most: what both stores
read alike and can hold. Other text has no number (NULL); comparing it never raises.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Double, Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

NUMERIC = ("above", "below", "at_least", "at_most")  # operators of `journeys.rules.Comparison`
_LONGEST_NUMBER = 31


class property_text(FunctionElement[str]):
    """`property_text(events.c.properties, "amount")`: NULL when the event has no such property."""

    type = Text()
    inherit_cache = True


@compiles(property_text, "sqlite")
def _text_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    document, name = (compiler.process(clause, **options) for clause in element.clauses)
    return f"json_extract({document}, '$.' || {name})"


@compiles(property_text, "postgresql")
def _text_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    document, name = (compiler.process(clause, **options) for clause in element.clauses)
    return f"(CAST({document} AS JSONB) ->> {name})"


class number_in(FunctionElement[float]):
    """The number a text spells, else NULL."""

    type = Double()
    inherit_cache = True


@compiles(number_in, "sqlite")
def _number_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    text = compiler.process(element.clauses, **options)
    return (
        f"(SELECT CASE WHEN length(t) <= {_LONGEST_NUMBER} AND (t GLOB '[0-9]*' OR t GLOB '-[0-9]*')"
        " AND t GLOB '*[0-9]' AND substr(t, 2) NOT GLOB '*[^0-9.]*' AND t NOT GLOB '*.*.*'"
        f" THEN CAST(t AS REAL) END FROM (SELECT {text} AS t))"
    )


@compiles(number_in, "postgresql")
def _number_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    text = compiler.process(element.clauses, **options)
    return (
        f"(SELECT CASE WHEN length(t) <= {_LONGEST_NUMBER} AND t ~ '^-?[0-9]+([.][0-9]+)?$'"
        f" THEN CAST(t AS DOUBLE PRECISION) END FROM (SELECT {text} AS t) AS written)"
    )


def compare_text(value: ColumnElement[str], operator: str, given: str | tuple[str, ...]) -> ColumnElement[bool]:
    """A text (or NULL) under one of is, is_not, one_of, none_of."""
    several = (given,) if isinstance(given, str) else given
    return value.in_(several) if operator in ("equals", "one_of") else value.not_in(several)


def compare_number(value: ColumnElement[float], operator: str, given: str) -> ColumnElement[bool]:
    """A number (or NULL) under one of above, below, at_least, at_most."""
    bound = float(given)
    match operator:
        case "above":
            return value > bound
        case "below":
            return value < bound
        case "at_least":
            return value >= bound
        case _:
            return value <= bound
