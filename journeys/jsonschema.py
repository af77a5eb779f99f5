"""What may be written where? JSON Schema of the files, for editors, in the spelling of the files.

Built from the nouns, so that it cannot fall behind them; only the short step forms are spelled out here.
Looser than the loader on purpose: it guides while somebody types, the loader and lint decide.
"""

from __future__ import annotations

import types
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import MinLen
from pydantic import BaseModel, StringConstraints
from pydantic.fields import FieldInfo

from journeys.journey import Journey, Message
from journeys.journey_forms import OUTCOME_WORDS
from journeys.policy import DayWindows, Policy
from journeys.rules import Rule
from journeys.scenarios import ScenarioFile
from journeys.segment import NamedSegment
from journeys.spans import Spans
from journeys.templates import Template, ValueField
from journeys.values import (
    AttributeName,
    ClockTime,
    DurationField,
    EventName,
    Flag,
    Identifier,
    Money,
    Percent,
    PositiveDuration,
    ProviderName,
    Share,
    WholeNumber,
    ZoneName,
)
from journeys.words import Channel

Schema = dict[str, Any]

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_SCALAR: Schema = {"type": ["string", "number", "boolean"]}
_SPAN: Schema = {"type": "string", "pattern": r"^\d{1,2}:\d{2} ?- ?\d{1,2}:\d{2}$", "examples": ["09:00-20:00"]}
_SPANS: Schema = {"anyOf": [_SPAN, {"type": "array", "items": _SPAN}]}
_DURATION: Schema = {"type": "string", "pattern": r"^\d{1,4}[dhm]$", "examples": ["3d", "12h", "30m"]}
_STEPS: Schema = {"type": "array", "items": {"$ref": "#/$defs/step"}, "minItems": 1}

_VALUE: Schema = {
    "type": "object",
    "properties": {"default": _SCALAR, "optional": {"enum": [True, False, "true", "false"]}},
    "additionalProperties": False,
}

# Types whose spelling in a file differs from what the noun holds.
_SPELLED: list[tuple[Any, Schema]] = [
    (DurationField, _DURATION),
    (PositiveDuration, _DURATION),
    (WholeNumber, {"type": ["integer", "string"], "pattern": r"^\d+$", "minimum": 0}),
    (Percent, {"type": ["integer", "string"], "pattern": r"^\d{1,3}%?$", "minimum": 0, "maximum": 100}),
    (Share, {"type": "string", "pattern": r"^\d{1,3}(\.\d{1,4})?%$"}),
    (Flag, {"enum": [True, False, "true", "false"]}),
    (Money, {"type": ["number", "string"], "pattern": r"^\d+(\.\d{1,6})?$", "minimum": 0}),
    (ClockTime, {"type": "string", "pattern": r"^\d{1,2}:\d{2}$"}),
    (ZoneName, {"type": "string", "examples": ["Asia/Shanghai"]}),
    (Spans, _SPANS),
    (Identifier, {"type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,63}$"}),
    (ProviderName, {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,63}$"}),
    (EventName, {"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_.-]{0,63}$"}),
    (AttributeName, {"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_]{0,63}$"}),
    (ValueField, {"anyOf": [{"enum": ["required", "optional"]}, _VALUE]}),
    (Rule, {"$ref": "#/$defs/rule"}),
    (str, _SCALAR),
]


def journey_schema() -> Schema:
    """JSON Schema of a journey file."""
    build = _Builder()
    build.defs["rule"] = _rule(build)
    build.defs["step"] = _step(build)
    return build.whole(build.model(Journey), "recall.journey/v1")


def policy_schema() -> Schema:
    """JSON Schema of a policy file."""
    build = _Builder()
    return build.whole(build.model(Policy), "recall.policy/v1")


def template_schema() -> Schema:
    """JSON Schema of a template file."""
    build = _Builder()
    return build.whole(build.model(Template), "recall.template/v1")


def segment_schema() -> Schema:
    """JSON Schema of a segment file."""
    build = _Builder()
    build.defs["rule"] = _rule(build)
    return build.whole(build.model(NamedSegment), "recall.segment/v1")


def scenarios_schema() -> Schema:
    """JSON Schema of a scenario file."""
    build = _Builder()
    return build.whole(build.model(ScenarioFile), "recall.scenarios/v1")


_BY_JURISDICTION: Schema = {
    "type": "object",
    "properties": {"by": {"const": "jurisdiction"}, "else": {"type": "string"}},
    "patternProperties": {"^[A-Z]{2}$": {"type": "string"}},
    "required": ["by"],
    "additionalProperties": False,
}

# Keys whose short form in a file is not the noun's own.
_SHORT: dict[tuple[type[BaseModel], str], Schema] = {
    (Journey, "steps"): _STEPS,
    (Journey, "policy"): {"anyOf": [{"type": "string"}, _BY_JURISDICTION]},
    (Message, "else"): {"anyOf": [{"enum": ["skip", "exit"]}, {"$ref": "#/$defs/step"}]},
    (Message, "on_outcome"): {
        "type": "object",
        "additionalProperties": {"anyOf": [{"enum": list(OUTCOME_WORDS)}, _STEPS]},
    },
}


class _Builder:
    """Turns nouns into schema, each model once, under `$defs`."""

    def __init__(self) -> None:
        self.defs: dict[str, Schema] = {}

    def whole(self, root: Schema, name: str) -> Schema:
        return {"$schema": _DRAFT, "title": name, **root, "$defs": self.defs}

    def model(self, noun: type[BaseModel]) -> Schema:
        """The keys of one noun, in the file's spelling."""
        hints = get_type_hints(noun, include_extras=True)
        keys = {
            key: _SHORT.get((noun, key)) or self.of(hints[name], info)
            for name, info in noun.model_fields.items()
            if (key := info.alias or name)
        }
        required = [info.alias or name for name, info in noun.model_fields.items() if info.is_required()]
        schema: Schema = {"type": "object", "properties": keys, "additionalProperties": False}
        if required:
            schema["required"] = required
        if noun.__doc__ and noun.__doc__ != BaseModel.__doc__:
            schema["description"] = noun.__doc__.split("\n")[0]
        return schema

    def of(self, hint: Any, info: FieldInfo | None = None) -> Schema:
        """One value of this type."""
        for known, spelled in _SPELLED:
            if hint == known or _begins_with(hint, known):
                return dict(spelled)
        if hint is DayWindows:
            return {"anyOf": [_SPAN, {"type": "array", "items": _SPAN}, self._reference(hint)]}
        if isinstance(hint, type) and issubclass(hint, BaseModel):
            return self._reference(hint)
        if isinstance(hint, type) and issubclass(hint, Enum):
            return _names(hint)
        return self._compound(hint, info)

    def _reference(self, noun: type[BaseModel]) -> Schema:
        name = noun.__name__.strip("_")
        if name not in self.defs:
            self.defs[name] = {}  # stands in while the noun refers to itself
            self.defs[name] = self.model(noun)
        return {"$ref": f"#/$defs/{name}"}

    def _compound(self, hint: Any, info: FieldInfo | None) -> Schema:
        origin, arguments = get_origin(hint), get_args(hint)
        if origin is Annotated:
            return _narrowed(self.of(arguments[0]), arguments[1:])
        if origin in (Union, types.UnionType):
            members = [self.of(member) for member in arguments if member is not type(None)]
            return members[0] if len(members) == 1 else {"anyOf": members}
        if origin is Literal:
            return {"enum": list(arguments)}
        if origin is tuple:
            return self._list(arguments, info)
        if origin is dict:
            return self._mapping(*arguments)
        raise TypeError(f"no JSON Schema for {hint!r}")

    def _list(self, arguments: tuple[Any, ...], info: FieldInfo | None) -> Schema:
        if Ellipsis not in arguments:
            return {"type": "array", "prefixItems": [self.of(item) for item in arguments], "minItems": len(arguments)}
        least = next((note.min_length for note in (info.metadata if info else ()) if isinstance(note, MinLen)), 0)
        return {"type": "array", "items": self.of(arguments[0]), **({"minItems": least} if least else {})}

    def _mapping(self, key: Any, value: Any) -> Schema:
        return {"type": "object", "propertyNames": self.of(key), "additionalProperties": self.of(value)}


def _begins_with(hint: Any, known: Any) -> bool:
    """Is `hint` a known type with bounds of its own? Annotated flattens the two into one."""
    return get_origin(known) is Annotated and get_args(hint)[: len(get_args(known))] == get_args(known)


def _names(kind: type[Enum]) -> Schema:
    return {"enum": [member.value for member in kind]}


def _narrowed(schema: Schema, notes: tuple[Any, ...]) -> Schema:
    """A text with a pattern is a text, not a number."""
    for note in notes:
        pattern = note.pattern if isinstance(note, StringConstraints) else None
        if isinstance(note, FieldInfo):
            pattern = next((inner.pattern for inner in note.metadata if getattr(inner, "pattern", None)), None)
        if pattern:
            return {"type": "string", "pattern": str(pattern)}
    return schema


def _rule(build: _Builder) -> Schema:
    """Every form of a rule; `#/$defs/rule` refers to it."""
    members = [get_args(member)[0] for member in get_args(get_args(Rule)[0])]
    return {"anyOf": [build.of(member) for member in members]}


def _step(build: _Builder) -> Schema:
    return {
        "anyOf": [
            {"const": "exit"},
            *(_message(build, channel) for channel in Channel),
            _wait(build),
            _ways("split", _arm(build)),
            _ways("branch", _case()),
            {"type": "object", "properties": {"exit": _SCALAR, "id": _SCALAR}, "required": ["exit"], **_CLOSED},
        ]
    }


_CLOSED: Schema = {"additionalProperties": False}


def _message(build: _Builder, channel: Channel) -> Schema:
    """`{push: come-back, …}`: the noun's keys, with the channel in the place of channel and template."""
    schema = build.model(Message)
    keys = {name: value for name, value in schema["properties"].items() if name not in ("channel", "template")}
    if channel not in (Channel.CALL, Channel.TASK):
        del keys["on_outcome"], keys["attempts"], keys["outcome_within"]
    return {
        "type": "object",
        "properties": {channel.value: build.of(Identifier), **keys},
        "required": [channel.value],
        **_CLOSED,
    }


def _wait(build: _Builder) -> Schema:
    reactions = {word: build.of(Identifier) for word in ("delivered", "opened", "clicked", "answered")}
    until = {"type": "object", "properties": {**reactions, "did": build.of(EventName)}, "maxProperties": 1, **_CLOSED}
    forms = {
        "until": until,
        "at_most": _DURATION,
        "until_date": build.of(AttributeName),
        "next": {"type": "string", "pattern": r"^(mon|tue|wed|thu|fri|sat|sun) \d{2}:\d{2}$"},
    }
    wait = {"anyOf": [_DURATION, {"type": "object", "properties": forms, **_CLOSED}]}
    return {"type": "object", "properties": {"wait": wait, "id": build.of(Identifier)}, "required": ["wait"], **_CLOSED}


def _ways(key: str, way: Schema) -> Schema:
    ways = {"type": "array", "items": way, "minItems": 1}
    return {"type": "object", "properties": {key: ways, "id": _SCALAR}, "required": [key], **_CLOSED}


def _arm(build: _Builder) -> Schema:
    keys = {"arm": build.of(Identifier), "percent": build.of(Percent), "steps": _STEPS}
    return {"type": "object", "properties": keys, "required": list(keys), **_CLOSED}


def _case() -> Schema:
    when = {"when": {"$ref": "#/$defs/rule"}, "steps": _STEPS}
    return {
        "anyOf": [
            {"type": "object", "properties": when, "required": list(when), **_CLOSED},
            {"type": "object", "properties": {"else": _STEPS}, "required": ["else"], **_CLOSED},
        ]
    }
