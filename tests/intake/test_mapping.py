"""Does a mapping say what it means, and is a slip told?"""

from __future__ import annotations

from pathlib import Path

import pytest

from recall.errors import BadFile
from recall.intake.mapping import Fields, FileMapping, plan, read_mapping, stated_mapping

FIELDS = Fields(required=("user", "at"), optional=("id",), extras="properties")
FILE = """\
schema: recall.mapping/v1
map: {user: CustomerID, at: InvoiceDate}
set: {name: purchased, flag: no}
properties: {amount: TotalPrice}
zone: Europe/London
header: false
columns: [CustomerID, 0138, TotalPrice]
"""


def test_a_mapping_file_is_read_as_text(tmp_path: Path):
    path = tmp_path / "shop.yaml"
    path.write_text(FILE)
    mapping = read_mapping(path)
    assert mapping.map == {"user": "CustomerID", "at": "InvoiceDate"}
    assert mapping.set == {"name": "purchased", "flag": "no"}
    assert mapping.columns == ("CustomerID", "0138", "TotalPrice")
    assert mapping.header is False
    assert mapping.wanted == ["CustomerID", "InvoiceDate", "TotalPrice"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("zone: Mars/Base", "shop.yaml:1 [zone]: 'Mars/Base' is not a time zone"),
        ("mapp: {user: x}", "shop.yaml:1 [mapp]: `mapp` is not a key here -> did you mean map?"),
        ("map: {user: x}\nmap: {at: y}", "written twice"),
        ("header: maybe", "neither true nor false"),
        ("delimiter: ':'", "is not known here"),
        ("map: {user: ''}", "is empty"),
        ("properties: {a-b: x}", "is not an attribute name"),
        ("- a", "not a list of `key: value` lines"),
    ],
)
def test_a_slip_in_a_mapping_file_is_told_with_its_line(tmp_path: Path, line: str, message: str):
    path = tmp_path / "shop.yaml"
    path.write_text(line + "\n")
    with pytest.raises(BadFile) as caught:
        read_mapping(path)
    assert message in str(caught.value)


def test_a_mapping_file_that_is_not_there_is_told(tmp_path: Path):
    with pytest.raises(BadFile, match="cannot be read"):
        read_mapping(tmp_path / "shop.yaml")


def test_fields_are_found_by_mapping_by_constant_or_by_name():
    mapping = FileMapping(map={"user": "uid"}, set={"at": "2026-01-01"}, properties={"sum": "total"})
    found = plan(mapping, FIELDS, ("id", "uid", "total", "rest"), file="f.csv")
    row = ["7", "ann", "1.10", "x"]
    assert {name: source.text(row) for name, source in found.fields.items()} == {
        "id": "7",
        "user": "ann",
        "at": "2026-01-01",
    }
    assert found.extras["sum"].text(row) == "1.10"
    assert found.ignored == ("rest",)


def test_a_star_takes_every_column_that_is_left():
    mapping = FileMapping(map={"user": "uid"}, properties={"*": "*", "sum": "total"})
    found = plan(mapping, FIELDS, ("uid", "at", "total", "rest"), file="f.csv")
    assert {name: source.column for name, source in found.extras.items()} == {"sum": "total", "rest": "rest"}


def test_the_command_line_stands_on_top_of_the_file():
    base = FileMapping(
        map={"user": "uid", "name": "event"}, set={"at": "2026-01-01"}, zone="Europe/London", properties={"a": "b"}
    )
    merged = stated_mapping(
        base,
        {"map": {"at": "when"}, "set": {"name": "visited"}, "zone": None, "header": False, "properties": {"c": "d"}},
    )
    assert merged.map == {"user": "uid", "at": "when"}
    assert merged.set == {"name": "visited"}
    assert merged.properties == {"a": "b", "c": "d"}
    assert (merged.zone, merged.header) == ("Europe/London", False)
    assert stated_mapping(base, {"header": None, "multiline": False, "columns": ()}) == base


def test_a_slip_on_the_command_line_is_told():
    with pytest.raises(BadFile, match=r"command line.*is not a time zone"):
        stated_mapping(FileMapping(), {"zone": "Mars/Base"})
