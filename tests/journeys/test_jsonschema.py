"""Do editors accept what the loader accepts, and mark what it refuses?"""

from __future__ import annotations

import re
from typing import ClassVar

import pytest
import yaml
from jsonschema import Draft202012Validator

from journeys.jsonschema import journey_schema, policy_schema, scenarios_schema, segment_schema, template_schema
from journeys.project import SHIPPED

SCHEMAS = {
    "catalogue": journey_schema(),
    "policies": policy_schema(),
    "templates": template_schema(),
    "scenarios": scenarios_schema(),
    "segments": segment_schema(),
}
FILES = [
    ("scenarios" if path.name.endswith(".scenarios.yaml") else folder, path)
    for folder in ("catalogue", "policies", "templates")
    for path in sorted((SHIPPED / folder).glob("*.yaml"))
]


class EditorLoader(yaml.SafeLoader):
    """Reads numbers and booleans as YAML 1.2 does: `10` and `true`, but neither `9:30` nor `no` nor dates."""

    yaml_implicit_resolvers: ClassVar[dict] = {}


EditorLoader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^-?\d+$"), list("-0123456789"))
EditorLoader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"^\d+\.\d+$"), list("0123456789"))
EditorLoader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(true|false)$"), list("tf"))


def complaints(kind: str, document) -> list[str]:
    return [
        f"{error.json_path}: {error.message}" for error in Draft202012Validator(SCHEMAS[kind]).iter_errors(document)
    ]


@pytest.mark.parametrize("kind", SCHEMAS)
def test_each_schema_is_one(kind):
    Draft202012Validator.check_schema(SCHEMAS[kind])


@pytest.mark.parametrize(("kind", "path"), FILES, ids=[path.name for _, path in FILES])
@pytest.mark.parametrize("loader", [yaml.BaseLoader, EditorLoader])
def test_every_shipped_file_is_accepted(kind, path, loader):
    assert complaints(kind, yaml.load(path.read_text(), Loader=loader)) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("goal:", "gaol:"),
        ("{wait: 3d}", "{wait: three days}"),
        ("{push: come-back}", "{pusch: come-back}"),
        ("{push: come-back}", "{push: come-back, attempts: {max: 1, gap: 1h}}"),
        ("percent: 10", "percent: 101"),
        ("between:", "betwen:"),
        ("did_not:", "didnot:"),
        ("anchor: loan_settled", "anchor: {date: x}"),
        ("holdout:", "window: {fax: 09:00-20:00}\nholdout:"),
    ],
)
def test_what_the_loader_refuses_is_marked(old, new):
    text = (SHIPPED / "catalogue" / "settled-30d.yaml").read_text()
    assert old in text
    assert complaints("catalogue", yaml.load(text.replace(old, new, 1), Loader=EditorLoader))


def test_policies_and_templates_are_marked_too():
    policy = yaml.load((SHIPPED / "policies" / "us-strict.yaml").read_text(), Loader=EditorLoader)
    assert complaints("policies", policy | {"quite_hours": "x"})
    assert complaints("policies", policy | {"windows": {"sms": "9-20"}})
    template = yaml.load((SHIPPED / "templates" / "come-back.yaml").read_text(), Loader=EditorLoader)
    assert complaints("templates", template | {"smss": {}})
    assert complaints("templates", template | {"values": {"name": "needed"}})
