"""Which rules have a name of their own? Files in `segments/`, replaced by their rule when a journey is published."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from journeys.rules import Rule
from journeys.values import Identifier, Model, Text


class NamedSegment(Model):
    """One segment file."""

    schema_: Literal["recall.segment/v1"] = Field(alias="schema")
    id: Identifier
    title: Text | None = None
    rule: Rule

    model_config = Model.model_config | {"populate_by_name": True, "serialize_by_alias": True}
