"""Which column means what? Said once per kind of file, in a small YAML file or on the command line.

    schema: recall.mapping/v1
    map: {user: CustomerID, at: InvoiceDate, id: InvoiceNo}    # our field: their column
    set: {name: purchased}                                     # our field: the same in every row
    properties: {amount: TotalPrice}                           # of events; of users: attributes
    zone: Europe/London

A field that is not named is taken from the column of the same name, where there is one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import Field as ModelField
from pydantic import StringConstraints

from journeys.problems import Check, did_you_mean
from journeys.values import AttributeName, Flag, Model, ZoneName
from journeys.written import read_keys
from recall.errors import BadFile, Problem
from recall.intake.sheet import REJECTS_HEADER, Layout
from recall.intake.times import Times

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}", re.ASCII)  # as journeys.values.AttributeName
EVERY_OTHER = "*"  # every column that is not mapped, under its own name

Column = Annotated[str, StringConstraints(min_length=1, max_length=500)]
SourceName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]


class FileMapping(Model):
    """How one kind of file is written, and what its columns mean."""

    schema_: Literal["recall.mapping/v1"] = ModelField("recall.mapping/v1", alias="schema")
    map: dict[str, Column] = ModelField(default_factory=dict)
    set: dict[str, str] = ModelField(default_factory=dict)
    properties: dict[AttributeName | Literal["*"], Column] = ModelField(default_factory=dict)
    attributes: dict[AttributeName | Literal["*"], Column] = ModelField(default_factory=dict)
    source: SourceName | None = None  # whose ids these are; events of one source never repeat an id
    # how values are read
    zone: ZoneName | None = None  # of times without a zone
    times: Literal["iso", "epoch_s", "epoch_ms"] = "iso"
    region: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")] | None = None  # of phones without country code
    landlines: Flag = False
    default_zone: ZoneName | None = None  # of users without a zone and without a phone
    create_users: Flag = False  # make a user of whoever did an event
    # how the file is written
    encoding: str = "auto"
    delimiter: Literal["auto", ",", ";", "|", "tab", "whitespace"] = "auto"
    header: Flag = True
    columns: tuple[Column, ...] = ()
    multiline: Flag = False

    model_config = Model.model_config | {"populate_by_name": True, "serialize_by_alias": True}

    @property
    def layout(self) -> Layout:
        return Layout(self.encoding, self.delimiter, self.header, self.columns, self.multiline)

    @property
    def time_reading(self) -> Times:
        return Times(ZoneInfo(self.zone) if self.zone else None, "" if self.times == "iso" else self.times)

    @property
    def wanted(self) -> list[str]:
        """The columns that must be there."""
        extras = [column for name, column in (self.properties | self.attributes).items() if name != EVERY_OTHER]
        return list(dict.fromkeys([*self.map.values(), *extras]))


def read_mapping(path: Path) -> FileMapping:
    """Read a mapping file; raises BadFile with line and what to write instead."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadFile([Problem(path.name, None, f"cannot be read ({error.strerror})", "check the path")]) from None
    keys, problems = read_keys(data, path.name)
    check = Check(path.name, list(problems))
    mapping: FileMapping | None = check.noun(FileMapping, keys)
    if mapping is None or check.problems:
        raise BadFile(check.problems)
    return mapping


def stated_mapping(base: FileMapping, stated: Mapping[str, Any]) -> FileMapping:
    """`base` with what the command line says on top; what is empty or false there says nothing (but header=False).

    Pairs are added to those of the base; a field that is set is no longer mapped, and the other way round. Raises
    BadFile.
    """
    said: dict[str, Any] = {
        name: value for name, value in stated.items() if value or (name == "header" and value is False)
    }
    mapped: dict[str, str] = said.get("map", {})
    fixed: dict[str, str] = said.get("set", {})
    pairs = {
        "map": {name: column for name, column in base.map.items() if name not in fixed} | mapped,
        "set": {name: text for name, text in base.set.items() if name not in mapped} | fixed,
        "properties": {**base.properties, **said.get("properties", {})},
        "attributes": {**base.attributes, **said.get("attributes", {})},
    }
    check = Check("command line", [])
    merged: FileMapping | None = check.noun(FileMapping, {**base.model_dump(by_alias=True), **said, **pairs})
    if merged is None:
        raise BadFile(check.problems)
    return merged


# --- a mapping held against a file ------------------------------------------------------------------------


class Source(NamedTuple):
    """Where the text of one field comes from."""

    place: int  # of the column; -1: the same text in every row
    constant: str
    column: str  # name in the file, for complaints

    def text(self, cells: Sequence[str]) -> str:
        return cells[self.place] if self.place >= 0 else self.constant


@dataclass(frozen=True)
class Fields:
    """What one kind of import can take."""

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    extras: Literal["", "properties", "attributes"] = ""

    @property
    def names(self) -> tuple[str, ...]:
        return self.required + self.optional


@dataclass(frozen=True)
class Plan:
    """Where each field and each extra of a row is found; what is not mapped is not in it."""

    fields: Mapping[str, Source]
    extras: Mapping[str, Source]
    ignored: tuple[str, ...]  # columns nobody asked for

    def get(self, name: str) -> Source | None:
        return self.fields.get(name)

    def column(self, name: str) -> str:
        source = self.fields.get(name)
        return source.column if source else name


def refuse_unknown_fields(mapping: FileMapping, fields: Fields, *, file: str) -> None:
    """Raise BadFile for fields this kind of import does not have; needs no look at the file."""
    problems = [
        Problem(file, None, f"`{name}` is not a field here", did_you_mean(name, fields.names), column=name)
        for name in dict.fromkeys([*mapping.map, *mapping.set])
        if name not in fields.names
    ]
    twice = mapping.map.keys() & mapping.set.keys()
    problems += [
        Problem(file, None, f"`{name}` is both mapped and set", "keep one of the two") for name in sorted(twice)
    ]
    for extras in {"properties", "attributes"} - {fields.extras}:
        if getattr(mapping, extras):
            problems.append(Problem(file, None, f"{extras} cannot be imported here", "leave them out"))
    if problems:
        raise BadFile(problems)


def plan(mapping: FileMapping, fields: Fields, columns: Sequence[str], *, file: str) -> Plan:
    """Find every field among the columns of a file; raises BadFile when one that is needed has none."""
    place = {name: n for n, name in enumerate(columns)}
    stated = {name: Source(place[column], "", column) for name, column in mapping.map.items()}
    fixed = {name: Source(-1, text, name) for name, text in mapping.set.items()}
    by_name = {name: Source(place[name], "", name) for name in fields.names if name in place}
    found = {**by_name, **fixed, **stated}
    _refuse_missing(fields, found, columns, file)
    used = {source.column for source in found.values()}.union(REJECTS_HEADER)
    extras = _extras(mapping, fields, place, used, file)
    taken = used | {source.column for source in extras.values()}
    return Plan(found, extras, tuple(column for column in columns if column not in taken))


def _refuse_missing(fields: Fields, found: Mapping[str, Source], columns: Iterable[str], file: str) -> None:
    missing = [name for name in fields.required if name not in found]
    if missing:
        there = ", ".join(list(columns)[:30])
        raise BadFile(
            [
                Problem(
                    file,
                    None,
                    f"which column is `{name}`?",
                    f"say --map {name}=COLUMN, or --set {name}=VALUE for the same in every row; columns: {there}",
                )
                for name in missing
            ]
        )


def _extras(
    mapping: FileMapping, fields: Fields, place: Mapping[str, int], used: set[str], file: str
) -> dict[str, Source]:
    if not fields.extras:
        return {}
    asked: dict[str, str] = dict(getattr(mapping, fields.extras))
    if asked.pop(EVERY_OTHER, None) is not None:
        rest = [column for column in place if column not in used and column not in asked.values()]
        asked |= {_as_name(column, fields.extras, file): column for column in rest}
    return {name: Source(place[column], "", column) for name, column in asked.items()}


def _as_name(column: str, extras: str, file: str) -> str:
    if not _NAME.fullmatch(column):
        option = {"properties": "--property", "attributes": "--attribute"}[extras]
        hint = f'name it, such as {option} "my_name={column}"'
        raise BadFile([Problem(file, None, f"the column {column!r} cannot be a name in rules", hint, column=column)])
    return column
