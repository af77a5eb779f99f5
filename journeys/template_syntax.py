"""Which Jinja may a template use? A short list, checked before anything is compiled.

No loops, calls, arithmetic or attribute access, so that a template cannot run away; and the sandbox besides.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from recall.errors import Misconfigured

if TYPE_CHECKING:
    from jinja2 import Environment

BUILT_IN = frozenset({"link", "brand", "opt_out_link"})  # always there; given by the engine, not by attributes
FILTERS = frozenset({"default", "upper", "lower", "capitalize", "trim", "truncate", "amount"})
RESERVED = frozenset({"loop", "self", "super", "caller", "varargs", "kwargs", "true", "false", "none"})
_TEXT_NODES = frozenset({"Template", "Output", "TemplateData", "Name", "Const", "Filter"})
_CONDITION_NODES = frozenset({"If", "CondExpr", "Compare", "Operand", "And", "Or", "Not", "Test"})
_ALLOWED_TESTS = frozenset({"defined", "undefined"})


@lru_cache(maxsize=4096)
def names_in(source: str) -> frozenset[str]:
    """The variables a text uses; raises Misconfigured for a syntax error or syntax that is not allowed."""
    from jinja2 import TemplateSyntaxError, nodes

    try:
        parsed = environment(html=False).parse(source)
    except TemplateSyntaxError as error:
        raise Misconfigured(
            f"the text is not readable as a template ({error.message}); close every {{{{ and {{%"
        ) from None
    for node in parsed.find_all(nodes.Node):
        _allow(node)
    return frozenset(name.name for name in parsed.find_all(nodes.Name))  # nothing allowed here declares a name


def _allow(node: Any) -> None:
    kind = type(node).__name__
    if kind not in _TEXT_NODES | _CONDITION_NODES:
        raise Misconfigured(f"{_PLAIN.get(kind, kind)} may not stand in a template; write only values, filters and if")
    if kind == "Filter" and node.name not in FILTERS:
        raise Misconfigured(f"there is no filter `{node.name}`; use one of: {', '.join(sorted(FILTERS))}")
    if kind == "Test" and node.name not in _ALLOWED_TESTS:
        raise Misconfigured(f"there is no test `{node.name}`; use one of: {', '.join(sorted(_ALLOWED_TESTS))}")
    if kind == "Name" and node.name in RESERVED:
        raise Misconfigured(f"`{node.name}` is a word of Jinja itself; use a value that the template declares")


_PLAIN = {
    "For": "a loop",
    "Call": "a call",
    "Getattr": "access to an attribute",
    "Getitem": "access to an item",
    "Mul": "arithmetic (*)",
    "Pow": "arithmetic (**)",
    "Add": "arithmetic (+)",
    "Mod": "arithmetic (%)",
    "Concat": "joining (~)",
    "Include": "an include",
    "Import": "an import",
    "Assign": "an assignment",
    "Macro": "a macro",
}


@lru_cache(maxsize=2)
def environment(*, html: bool) -> Environment:
    """The sandbox texts are compiled in, with our filters and without anything global; `html` escapes values."""
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    made = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=html, cache_size=0)
    kept = {name: made.filters[name] for name in FILTERS - {"amount"}}
    made.filters.clear()
    made.filters.update(kept, amount=amount)
    made.globals.clear()
    return made


def amount(value: str) -> str:
    """`20000.00` as `20,000.00`; a text that is no plain decimal number stays as it is."""
    whole, point, cents = str(value).partition(".")
    if not (whole.isascii() and whole.isdigit() and (not point or (cents.isascii() and cents.isdigit()))):
        return str(value)
    return f"{int(whole):,}{point}{cents}"
