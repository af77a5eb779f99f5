"""How is a value that does not fit told to the person who wrote it? What is wrong, where, what to write instead."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, Tag, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from journeys.written import Items, Keys, path_text
from recall.errors import Problem

Place = tuple[str | int, ...]


def did_you_mean(word: str, known: Mapping[str, Any] | list[str] | tuple[str, ...]) -> str:
    """The nearest known word as a hint, else the list of known words."""
    words = list(known)
    near = get_close_matches(word.lower(), words, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]}?"
    return f"use one of: {', '.join(words[:30])}" if words else "leave it out"


# What to add when a key is missing.
_EXAMPLES: dict[str, str] = {
    "schema": "schema: recall.journey/v1",
    "id": "id: settled-30d",
    "title": "title: Loan settled, not borrowed again in 30 days",
    "policy": "policy: cn-consumer-finance",
    "entry": "entry: {anchor: loan_settled, audience: {did: loan_settled, between: [30d, 60d]}}",
    "anchor": "anchor: loan_settled",
    "audience": "audience: {did: loan_settled, between: [30d, 60d]}",
    "goal": "goal: {event: loan_drawn, window: 28d}",
    "window": "window: 28d",
    "steps": "steps: [{push: come-back}]",
    "percent": "percent: 10",
    "gap": "gap: 2h",
    "max": "max: 3",
    "stock": "stock: 1000",
    "name": "name: spring-coupon",
    "currency": "currency: CNY",
    "after": "after: 90d",
    "per_day": "per_day: 1000",
    "arm": "arm: short-text",
    "windows": "windows: {sms: 09:00-20:00}",
    "routes": "routes: {sms: {providers: [outbox]}}",
    "prices": "prices: {currency: CNY, prices: [{channel: sms, amount: 0.045, unit: segment}]}",
    "opt_out": "opt_out: {stop: [STOP, T]}",
    "counts": "counts: [sms, email, call]",
    "consent": "consent: {purpose: marketing, basis: explicit consent}",
    "jurisdiction": "jurisdiction: CN",
    "purpose": "purpose: marketing",
    "basis": "basis: explicit consent",
    "stop": "stop: [STOP, T]",
    "providers": "providers: [outbox]",
    "within": "within: 7d",
    "sends": "sends: 3",
    "rest": "rest: 90d",
    "body": "body: Welcome back.",
    "rule": "rule: {did: visited, within: 30d}",
    "with_no": "with_no: [clicked, visited]",
    "amount": "amount: 0.045",
    "channel": "channel: sms",
    "stage": "stage: visited again",
    "event": "event: visited",
    "read_at": "read_at: 2026-11-02",
    "source": "source: 47 CFR 64.1200",
}

# What a pattern asks for, in words: pattern -> (what it is called, what to write).
_PATTERNS: dict[str, tuple[str, str]] = {
    r"^[a-z0-9][a-z0-9-]{0,63}$": ("an id", "write small letters, digits and -, such as settled-30d"),
    r"^[a-z0-9][a-z0-9_-]{0,63}$": (
        "the name of a provider",
        "write small letters, digits, _ and -, such as twilio_sms",
    ),
    r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$": ("an event name", "write letters, digits and _, such as loan_settled"),
    r"^[A-Za-z][A-Za-z0-9_]{0,63}$": ("an attribute name", "write letters, digits and _, such as overdue_days"),
    r"^[A-Z]{3}$": ("a currency", "write its three capital letters, such as CNY"),
    r"^[A-Z]{2}$": ("a country code", "write its two capital letters, such as CN"),
    r"^\d{4}-\d{2}-\d{2}$": ("a date", "write year-month-day, such as 2027-01-01"),
    r"^\S+( \S+){4}$": ("a cron line", "write five fields, such as 30 8 * * *"),
    r"^(mon|tue|wed|thu|fri|sat|sun) ([01]\d|2[0-3]):[0-5]\d$": ("a weekday and clock time", "write such as thu 11:00"),
    r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$": ("a locale", "write such as zh-CN or en"),
}


@dataclass
class Check:
    """Gathers what is wrong in one file while its parts become nouns."""

    file: str
    problems: list[Problem] = field(default_factory=list)

    def complain(self, line: int | None, message: str, hint: str, path: Place = ()) -> None:
        self.problems.append(Problem(self.file, line, message, hint, path_text(path) or None))

    def noun(self, kind: Any, tree: Any, path: Place = ()) -> Any:
        """`tree` as a noun of this kind; None when it is not one, and then the problems say why."""
        try:
            return _adapter(kind).validate_python(tree)
        except ValidationError as error:
            self.problems.extend(self._tell(kind, tree, detail, path) for detail in error.errors(include_url=False))
            return None

    def _tell(self, kind: Any, tree: Any, detail: ErrorDetails, path: Place) -> Problem:
        detail["loc"] = tuple(part for part in detail["loc"] if part != "[key]")
        line, where = locate(tree, detail["loc"])
        message, hint = _words(kind, detail, str(path[-1]) if path else "")
        return Problem(self.file, line, message, hint, path_text((*path, *where)) or None)


_ADAPTERS: dict[Any, TypeAdapter[Any]] = {}


def _adapter(kind: Any) -> TypeAdapter[Any]:
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


def locate(tree: Any, loc: Place) -> tuple[int | None, Place]:
    """Line and path, in the file's spelling, that a pydantic location means; union tags are passed over."""
    line: int | None = getattr(tree, "line", None)
    where: list[str | int] = []
    here = tree
    for n, part in enumerate(loc):
        following = loc[n + 1] if n + 1 < len(loc) else None
        if isinstance(here, Keys):
            if part in here and not _is_tag(here, str(part), following):
                where.append(here.spelled.get(str(part), part))
                line = here.lines.get(str(part), line)
                here = here[str(part)]
            elif following is None:
                where.append(here.spelled.get(str(part), part))
        elif isinstance(here, Items) and isinstance(part, int) and part < len(here):
            where.append(part)
            here = here[part]
            line = getattr(here, "line", line)
    return line, tuple(where)


def _is_tag(here: Keys, part: str, following: str | int | None) -> bool:
    """Is `part` the name of a union member (whose key `following` comes next) rather than a key?"""
    if following is None:
        return False
    inside = here[part]
    reachable = (isinstance(inside, Keys) and following in inside) or isinstance(inside, Items)
    return not reachable and (following in here or not isinstance(inside, (Keys, Items)))


def _words(kind: Any, detail: ErrorDetails, name: str) -> tuple[str, str]:
    """What is wrong and what to write instead; never the validator's own prose."""
    found, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    key = str(detail["loc"][-1]) if detail["loc"] else name
    if found == "missing" and key.isdigit():
        return "the list is too short", "write both values, such as [30d, 60d]"
    if found == "missing":
        return f"`{key}` is missing", f"add {_EXAMPLES.get(key, key + ': …')}"
    if found == "extra_forbidden":
        return f"`{key}` is not a key here", did_you_mean(key, _keys_at(kind, detail["loc"][:-1]))
    if found == "unknown_rule":
        return _unknown_rule(value)
    if isinstance(value, (Items, Keys)) and found in ("string_type", "enum", "literal_error"):
        return (
            f"`{key}` needs a single value, not a {'list' if isinstance(value, Items) else 'mapping'}",
            "write one value",
        )
    if found == "value_error":
        return _split(str(context.get("error", detail["msg"])))
    if found == "string_pattern_mismatch":
        name, hint = _PATTERNS.get(
            str(context.get("pattern")), ("readable here", "write it as docs/adding-a-journey.md shows")
        )
        return f"{_shown(value)} is not {name}", hint
    if found in ("enum", "literal_error"):
        known = [word.strip("'") for word in str(context["expected"]).replace(" or ", ", ").split(", ")]
        return f"{_shown(value)} is not known here", did_you_mean(str(value), known)
    return _by_type(found, key, value, context)


def _by_type(found: str, key: str, value: Any, context: Mapping[str, Any]) -> tuple[str, str]:
    if found in ("tuple_type", "list_type"):
        return f"`{key}` needs a list", f"write [{value}]" if isinstance(value, str) else "write [a, b]"
    if found in ("model_type", "dict_type", "model_attributes_type"):
        return f"`{key}` needs keys and values" if key else "keys and values are needed here", "write {key: value}"
    if found == "string_type":
        return f"`{key}` needs a text", "write one text"
    if found in ("too_short", "string_too_short"):
        return f"`{key}` is empty", "write at least one"
    if found in ("too_long", "string_too_long"):
        return f"`{key}` is too long", f"the most is {context.get('max_length')}"
    if found in ("greater_than_equal", "less_than_equal"):
        low = "ge" in context
        return f"{value} is too {'small' if low else 'large'} for `{key}`", (
            f"the least is {context['ge']}" if low else f"the most is {context['le']}"
        )
    return f"{_shown(value)} cannot stand here", "see docs/adding-a-journey.md for what can"


def _unknown_rule(value: Any) -> tuple[str, str]:
    forms = ("all", "any", "none", "did", "did_not", "attribute", "segment", "journey", "reachable")
    if not isinstance(value, Keys) or not value:
        return f"{_shown(value)} is not a rule", "write such as {did: visited, within: 30d}"
    first = next(iter(value))
    return f"`{first}` does not begin a rule", did_you_mean(
        first, (*forms, "delivered", "opened", "clicked", "answered")
    )


def _split(text: str) -> tuple[str, str]:
    """Our own validators write `what is wrong; what to write`."""
    message, _, hint = text.partition("; ")
    return message, hint or "see docs/adding-a-journey.md for what can stand here"


def _shown(value: Any) -> str:
    if isinstance(value, (Items, Keys)):
        return "a list" if isinstance(value, Items) else "a mapping"
    text = str(value)
    return repr(text if len(text) <= 60 else text[:57] + "…")


def _keys_at(kind: Any, loc: Place) -> list[str]:
    """Which keys may stand in the mapping at `loc` of a noun of this kind."""
    places = list(_members(kind))
    for part in loc:
        tagged = [inner for tag, inner in places if tag == part]
        stepped = [step for _, inner in places for step in _step(inner, part)]
        places = [(None, inner) for inner in tagged] or stepped or places
    keys = [key for _, inner in places if _is_model(inner) for key in _file_keys(inner)]
    return list(dict.fromkeys(keys))


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _file_keys(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _members(kind: Any, tag: str | None = None) -> Iterator[tuple[str | None, Any]]:
    """The plain types inside Annotated, Optional and unions, each with its union tag."""
    if get_origin(kind) is Annotated:
        inner, *notes = get_args(kind)
        yield from _members(inner, next((note.tag for note in notes if isinstance(note, Tag)), tag))
    elif get_origin(kind) in (Union, types.UnionType):
        for member in get_args(kind):
            yield from _members(member, tag)
    else:
        yield tag, kind


def _step(kind: Any, part: str | int) -> Iterator[tuple[str | None, Any]]:
    """Where one key or index leads from a plain type."""
    if _is_model(kind):
        for name, info in kind.model_fields.items():
            if part in (name, info.alias):
                yield from _members(info.annotation)
    elif get_origin(kind) is dict:
        yield from _members(get_args(kind)[1])
    elif get_origin(kind) is tuple and isinstance(part, int):
        arguments = get_args(kind)
        yield from _members(arguments[0] if Ellipsis in arguments else arguments[min(part, len(arguments) - 1)])
