"""What does a JSON body say, without surprises? Numbers stay as written, nothing is said twice, nothing is too deep."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from recall.web.context import refuse

MAX_ITEMS = 10_000


class NotTaken(Exception):
    """One item of a body is not taken; `reason` is a word for programs."""

    def __init__(self, reason: str, field: str = "") -> None:
        super().__init__(f"{reason} [{field}]")
        self.reason = reason
        self.field = field


def read_json(body: bytes) -> Any:
    """The value of a body; raises HTTPException 400 (with what is wrong) for anything but clean JSON in UTF-8."""
    try:
        return json.loads(
            body.decode("utf-8"),
            parse_int=str,  # 19-digit ids and 1.10 stay what they are
            parse_float=str,
            parse_constant=_no_constant,
            object_pairs_hook=_once,
        )
    except UnicodeDecodeError:
        raise refuse(400, "the body is not UTF-8") from None
    except RecursionError:
        raise refuse(400, "the JSON is nested too deeply") from None
    except ValueError as error:
        raise refuse(400, f"the body is not JSON that can be taken: {_harmless(error)}") from None


def _no_constant(name: str) -> None:
    raise ValueError("NaN and Infinity are no numbers")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _harmless(error: ValueError) -> str:
    """Where it goes wrong, without a piece of the body."""
    if isinstance(error, json.JSONDecodeError):
        return f"line {error.lineno}, column {error.colno}"
    return str(error)


def items_of(body: Any, *names: str) -> list[Any]:
    """The list in a body: the body itself, under one of these names, or one object alone."""
    items: Any = body
    if isinstance(body, dict):
        named = next((name for name in names if name in body), None)
        items = body[named] if named else [body]
    if not isinstance(items, list):
        raise refuse(400, f"write a list, or an object with a list under {' or '.join(names)}")
    if len(items) > MAX_ITEMS:
        raise refuse(413, f"at most {MAX_ITEMS} items are taken at once")
    return items


def field_of(item: Mapping[str, Any], *names: str) -> str:
    """The text under the first of these names that is there; "" for none and null. Raises NotTaken for no text."""
    for name in names:
        value = item.get(name)
        if value is None:
            continue
        return as_text(value, name)
    return ""


def as_text(value: Any, name: str) -> str:
    """A scalar as text. Numbers come as they were written; half of a surrogate pair and NUL are refused."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        raise NotTaken("not_text", name)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise NotTaken("control_character", name) from None
    return value
