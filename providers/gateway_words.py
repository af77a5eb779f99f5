"""How do values become a request, and where in an answer stands what we ask for? Templates, signatures, paths.

Templates are Jinja2 in its sandbox over a fixed set of names; no loops, calls or attributes but `account.x` and
`field.x`. In JSON every value is written as JSON, so no text can break out of its place.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from recall.errors import Misconfigured

if TYPE_CHECKING:
    from jinja2 import Environment

Recipe = Literal["md5", "sha1", "sha256", "hmac-md5", "hmac-sha1", "hmac-sha256", "basic"]

MESSAGE_NAMES = {
    "ref", "ref_uuid", "phone", "phone_digits", "phone_national", "address", "user", "title", "text", "html", "link",
    "sender", "callback", "journey", "step", "locale", "now", "now_ms", "now_text", "ttl_seconds", "expires",
    "phones", "phones_national", "items", "count", "ticket", "account",
}  # fmt: skip
HOOK_NAMES = {"timestamp", "body", "account", "field"}
_OPEN = {"account", "field"}  # names with parts
_NODES = {
    "Template", "Output", "TemplateData", "Name", "Const", "Filter", "Getattr", "Concat",
    "If", "CondExpr", "Compare", "Operand", "And", "Or", "Not",
}  # fmt: skip
_FILTERS = {"default", "upper", "lower", "trim", "truncate", "replace", "urlencode", "base64", "md5"}


class Raw(str):
    """Text that is JSON already."""


class Written:
    """One template, compiled."""

    def __init__(self, source: str, *, as_json: bool = False) -> None:
        self._template = _environment(as_json=as_json).from_string(source) if source else None

    def render(self, values: Mapping[str, object]) -> str:
        """Raises Misconfigured for a value that is not there."""
        from jinja2 import TemplateError

        try:
            return self._template.render(values) if self._template is not None else ""
        except TemplateError as error:
            raise Misconfigured(f"a template of the gateway cannot be filled in: {error.message}") from None

    @staticmethod
    def names_in(source: str) -> set[str]:
        """The names a template uses; raises Misconfigured for syntax that is not allowed."""
        from jinja2 import nodes

        return {name.name for name in _parse(source).find_all(nodes.Name)}

    @staticmethod
    def account_names_in(source: str) -> set[str]:
        from jinja2 import nodes

        found = _parse(source).find_all(nodes.Getattr)
        return {each.attr for each in found if isinstance(each.node, nodes.Name) and each.node.name == "account"}


@lru_cache(maxsize=512)
def _parse(source: str) -> Any:
    from jinja2 import TemplateSyntaxError, nodes

    try:
        parsed = _environment(as_json=False).parse(source)
    except TemplateSyntaxError as error:
        raise Misconfigured(f"the text is not readable as a template ({error.message}); close every {{{{") from None
    for node in parsed.find_all(nodes.Node):
        kind = type(node).__name__
        if kind not in _NODES:
            raise Misconfigured(f"{kind} may not stand in a gateway; write only values, filters, ~ and if")
        if isinstance(node, nodes.Filter) and node.name not in _FILTERS:
            raise Misconfigured(f"there is no filter `{node.name}`; use one of: {', '.join(sorted(_FILTERS))}")
        if isinstance(node, nodes.Getattr) and not (isinstance(node.node, nodes.Name) and node.node.name in _OPEN):
            raise Misconfigured("only account and field have parts; write account.name")
    return parsed


@lru_cache(maxsize=2)
def _environment(*, as_json: bool) -> Environment:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    finalize = _to_json if as_json else None
    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, finalize=finalize, keep_trailing_newline=False
    )
    kept = {name: environment.filters[name] for name in _FILTERS & set(environment.filters)}
    environment.filters.clear()
    environment.filters.update(
        kept,
        base64=lambda text: b64encode(str(text).encode()).decode(),
        md5=lambda text: hashlib.md5(str(text).encode(), usedforsecurity=False).hexdigest(),
    )
    environment.globals.clear()
    return environment


def _to_json(value: object) -> object:
    """Values become JSON; what the template itself says, and what is JSON already, stays."""
    from jinja2 import Undefined

    if isinstance(value, Raw | Undefined):
        return value
    return Raw(json.dumps(value, ensure_ascii=False)) if isinstance(value, str | int) else value


class Part(dict[str, str]):
    """`account.name` for templates; its repr shows no value."""

    def __getattr__(self, name: str) -> str:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __repr__(self) -> str:
        return f"Part({', '.join(sorted(self))})"


def sample_values(account: Iterable[str], signs: Iterable[str]) -> dict[str, object]:
    """A value for every name, with what is dangerous in JSON."""
    nasty = '"}\\\n{{'
    numbers = {"now", "now_ms", "ttl_seconds", "expires", "count"}
    values: dict[str, object] = {name: 1 if name in numbers else nasty for name in MESSAGE_NAMES}
    values.update(dict.fromkeys(signs, nasty), account=Part.fromkeys(account, nasty), items=Raw(""))
    return values


# --- signatures ----------------------------------------------------------------------------------------------


def sign(recipe: Recipe, data: bytes, key: bytes, write: str) -> str:
    """A signature as the vendor writes it."""
    if recipe == "basic":
        return b64encode(data).decode()
    name = recipe.removeprefix("hmac-")
    if recipe.startswith("hmac-"):
        made = hmac.new(key, data, name).digest()
    else:
        made = hashlib.new(name, data, usedforsecurity=False).digest()
    if write == "base64":
        return b64encode(made).decode()
    return made.hex().upper() if write == "HEX" else made.hex()


def sorted_fields(fields: Mapping[str, str]) -> str:
    """`a=1&b=2`, by name, unescaped, without empty ones: how most vendors sign a form."""
    return "&".join(f"{name}={fields[name]}" for name in sorted(fields) if fields[name] != "")


# --- paths ---------------------------------------------------------------------------------------------------

_STEP = re.compile(r"([^.\[\]]+)|\[(\d{0,4})\]")


@lru_cache(maxsize=512)
def parse_path(path: str) -> tuple[str | int | None, ...]:
    """`data.list[0].code` as steps; `[]` (None) goes on with each element of a list. Raises ValueError."""
    steps: list[str | int | None] = []
    at = 0
    while at < len(path):
        if path[at] == "." and steps and at + 1 < len(path):
            at += 1
        found = _STEP.match(path, at)
        if not found:
            raise ValueError(f"{path!r} is not a path; write such as data.list[0].code, or data.list[] for each")
        steps.append(found[1] if found[1] is not None else int(found[2]) if found[2] else None)
        at = found.end()
    return tuple(steps)


def all_at(tree: object, path: str) -> list[Any]:
    """Everything that stands at a path; a list at its end counts as its elements."""
    here: list[Any] = [tree]
    for step in parse_path(path):
        here = [found for each in here for found in _below(each, step)]
    return here[0] if len(here) == 1 and isinstance(here[0], list) else here


def _below(tree: object, step: str | int | None) -> list[Any]:
    if isinstance(tree, list):
        return tree if step is None else [tree[step]] if isinstance(step, int) and step < len(tree) else []
    return [tree[step]] if isinstance(tree, dict) and step in tree else []


def text_at(tree: object, path: str) -> str:
    """The one value at a path as text; "" for none, for several and for what has parts."""
    if not path:
        return ""
    found = all_at(tree, path)
    value = found[0] if len(found) == 1 else None
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)[:2000] if isinstance(value, str | int | float) else ""
