"""Which words does a person get? Template files, and rendering a chunk of people at once.

Jinja2 in its sandbox, with a short list of syntax that is checked before anything is compiled: no loops,
calls, arithmetic or attribute access, so that a template cannot run away. Values are data and are rendered
once; a missing or empty value is a refusal of that person's message, never an empty place in a text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from journeys.loader import Loaded, check_schema, finish, read_file
from journeys.problems import Check
from journeys.program import Program
from journeys.values import AttributeName, Flag, Identifier, Model
from journeys.words import Channel, Reason
from journeys.written import read_keys
from recall.errors import Misconfigured, Problem

if TYPE_CHECKING:
    from jinja2 import Environment

BUILT_IN = frozenset({"link", "brand", "opt_out_link"})  # always there; given by the engine, not by attributes
FILTERS = frozenset({"default", "upper", "lower", "capitalize", "trim", "truncate", "amount"})
PARTS = ("title", "subject", "body", "html")
_MOST = {Channel.EMAIL: 100_000}
_MOST_ELSE = 4_000  # characters of any other message
_PART, _ROW = "\x1f", "\x1e"  # between the parts of a message, between the messages of a chunk
_RESERVED = frozenset({"loop", "self", "super", "caller", "varargs", "kwargs", "true", "false", "none"})

Locale = Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]
Source = Annotated[str, Field(min_length=1, max_length=200_000)]


# --- the file -------------------------------------------------------------------------------------------


class Value(Model):
    """A value a text may use; without a default a person who lacks it is not written to, unless the text asks first."""

    default: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    optional: Flag = False  # the text asks `is defined`


def _value(written: Any) -> Any:
    """`required` and `optional` are short for a value without a default."""
    if isinstance(written, str) and written not in ("required", "optional"):
        raise ValueError(f"{written!r} does not say what if it is missing; write required, optional or {{default: …}}")
    return Value(optional=written == "optional") if isinstance(written, str) else written


def _own_name(name: str) -> str:
    if name in _RESERVED or name in BUILT_IN:
        raise ValueError(f"`{name}` is a word of the templates themselves; give the value another name")
    return name


ValueName = Annotated[AttributeName, AfterValidator(_own_name)]
ValueField = Annotated[Value, BeforeValidator(_value)]


class TemplateText(Model):
    """One message in one language."""

    title: Source | None = None  # push, in_app, task
    subject: Source | None = None  # email
    body: Source
    html: Source | None = None  # email; values are escaped

    def parts(self) -> dict[str, str]:
        """The parts that were written, by name, without the line end YAML leaves."""
        return {part: text.strip() for part in PARTS if (text := getattr(self, part))}


Texts = dict[Locale, TemplateText]


class Template(Model):
    """One template file: per channel, per locale; the first locale is the one for everybody else."""

    schema_: Literal["recall.template/v1"] = Field(alias="schema")
    id: Identifier
    values: dict[ValueName, ValueField] = Field(default_factory=dict)
    push: Texts = Field(default_factory=dict)
    sms: Texts = Field(default_factory=dict)
    email: Texts = Field(default_factory=dict)
    call: Texts = Field(default_factory=dict)
    in_app: Texts = Field(default_factory=dict)
    task: Texts = Field(default_factory=dict)

    model_config = Model.model_config | {"populate_by_name": True, "serialize_by_alias": True}

    @model_validator(mode="after")
    def _some_text(self) -> Template:
        if not self.channels:
            raise ValueError("the template has no text; write such as push: {en: {title: Hello, body: Welcome back.}}")
        return self

    @property
    def channels(self) -> tuple[Channel, ...]:
        """The channels it has texts for."""
        return tuple(channel for channel in Channel if self.texts(channel))

    def texts(self, channel: Channel) -> Texts:
        """The texts of one channel, by locale; empty when it has none."""
        texts: Texts = getattr(self, channel.value)
        return texts

    def defaults(self) -> dict[str, str]:
        """The declared default texts, by variable."""
        return {name: value.default for name, value in self.values.items() if value.default}


def load_template(path: Path) -> Loaded[Template]:
    """The template in a file; raises BadFile with every problem found, those of its Jinja syntax included."""
    return read_template(read_file(path), str(path))


def read_template(data: bytes, file: str) -> Loaded[Template]:
    """The template in the bytes of a file called `file`; raises BadFile with every problem found."""
    tree, problems = read_keys(data, file)
    check = Check(file, problems)
    noun: Template | None = check.noun(Template, tree) if check_schema(check, tree, "recall.template/v1") else None
    return finish(check, noun, tree)


def check_texts(template: Loaded[Template]) -> list[Problem]:
    """What is wrong with the Jinja of a template: syntax that is not allowed, variables it does not declare."""
    problems: list[Problem] = []
    for channel in template.noun.channels:
        for locale, text in template.noun.texts(channel).items():
            for part, source in text.parts().items():
                problems.extend(_check_text(template, (channel.value, locale, part), source))
    return problems


def _check_text(template: Loaded[Template], place: tuple[str, str, str], source: str) -> list[Problem]:
    try:
        used = names_in(source)
    except Misconfigured as refused:
        message, _, hint = str(refused).partition("; ")
        return [template.problem(message, hint, *place)]
    unknown = sorted(used - BUILT_IN - set(template.noun.values))
    hint = "declare it, such as values: {%s: required} or values: {%s: {default: …}}"
    return [template.problem(f"`{name}` is not declared", hint % (name, name), *place) for name in unknown]


def variables(template: Template, channel: Channel) -> frozenset[str]:
    """The attributes a template needs on one channel; built-in values are not among them."""
    sources = (part for text in template.texts(channel).values() for part in text.parts().values())
    return frozenset().union(*(names_in(source) for source in sources)) - BUILT_IN


# --- what Jinja may do here -----------------------------------------------------------------------------

_TEXT_NODES = frozenset({"Template", "Output", "TemplateData", "Name", "Const", "Filter"})
_CONDITION_NODES = frozenset({"If", "CondExpr", "Compare", "Operand", "And", "Or", "Not", "Test"})
_ALLOWED_TESTS = frozenset({"defined", "undefined"})


@lru_cache(maxsize=4096)
def names_in(source: str) -> frozenset[str]:
    """The variables a text uses; raises Misconfigured for a syntax error or syntax that is not allowed."""
    from jinja2 import TemplateSyntaxError, nodes

    try:
        parsed = _environment(html=False).parse(source)
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
    if kind == "Name" and node.name in _RESERVED:
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
def _environment(*, html: bool) -> Environment:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=html, cache_size=0)
    kept = {name: environment.filters[name] for name in FILTERS - {"amount"}}
    environment.filters.clear()
    environment.filters.update(kept, amount=amount)
    environment.globals.clear()
    return environment


def amount(value: str) -> str:
    """`20000.00` as `20,000.00`; a text that is no plain decimal number stays as it is."""
    whole, point, cents = str(value).partition(".")
    if not (whole.isascii() and whole.isdigit() and (not point or (cents.isascii() and cents.isdigit()))):
        return str(value)
    return f"{int(whole):,}{point}{cents}"


# --- rendering ------------------------------------------------------------------------------------------


class Rendered(NamedTuple):
    """What one person will read; `title` is the subject of an e-mail, a missing part is empty."""

    title: str
    body: str
    html: str
    locale: str

    def __repr__(self) -> str:
        """Texts may name the person."""
        return f"Rendered({self.locale})"


@dataclass(frozen=True, slots=True)
class RenderFailed:
    """Why a person's message could not be written; `name` is the value that is missing, if one is."""

    reason: Reason
    name: str
    detail: str


def choose_locale(available: Iterable[str], wanted: str | None) -> str:
    """Exactly the wanted locale, else the same language, else the first there is."""
    locales = list(available)
    asked = (wanted or "").replace("_", "-").lower()
    language = asked.partition("-")[0]
    by_name = {locale.lower(): locale for locale in reversed(locales)}
    by_language = {locale.partition("-")[0].lower(): locale for locale in reversed(locales)}
    return by_name.get(asked) or by_name.get(language) or by_language.get(language) or locales[0]


class Renderer:
    """One template on one channel of a published program, compiled once and used for many chunks."""

    def __init__(self, program: Program, channel: Channel, template: str, *, brand: str = "") -> None:
        self._texts = program.templates[template][channel]
        self._given = {**program.values.get(template, {}), "brand": brand}
        self._most = _MOST.get(channel, _MOST_ELSE)
        self._writers: dict[str, _Writer] = {}
        self._locale_of: dict[str, str] = {}

    @cached_property
    def variables(self) -> frozenset[str]:
        """The attributes to read for each person."""
        return self._names - BUILT_IN

    def uses(self, name: str) -> bool:
        """Does any text name this value?"""
        return name in self._names

    @cached_property
    def _names(self) -> frozenset[str]:
        sources = (source for parts in self._texts.values() for source in parts.values())
        return frozenset().union(*(names_in(source) for source in sources))

    def render_many(
        self, rows: Sequence[Mapping[str, str]], locales: Sequence[str | None]
    ) -> list[Rendered | RenderFailed]:
        """One text per row, in order: each locale's rows in one go, and one by one where that fails."""
        found: dict[int, Rendered | RenderFailed] = {}
        for locale, numbers in self._by_locale(locales).items():
            writer = self._writer(locale)
            written = writer.write_all([self._values(writer, rows[n]) for n in numbers])
            found.update(zip(numbers, written, strict=True))
        return [found[n] for n in range(len(rows))]

    def _by_locale(self, locales: Sequence[str | None]) -> dict[str, list[int]]:
        groups: dict[str, list[int]] = {}
        for n, wanted in enumerate(locales):
            asked = wanted or ""
            if asked not in self._locale_of:
                self._locale_of[asked] = choose_locale(self._texts, asked)
            groups.setdefault(self._locale_of[asked], []).append(n)
        return groups

    def _values(self, writer: _Writer, row: Mapping[str, str]) -> dict[str, str]:
        """The values of one person: what is empty counts as missing, and then the default stands in."""
        given = self._given
        return {name: value for name in writer.names if (value := row.get(name) or given.get(name))}

    def _writer(self, locale: str) -> _Writer:
        if locale not in self._writers:
            self._writers[locale] = _Writer(self._texts[locale], locale, self._most)
        return self._writers[locale]


class _Writer:
    """The texts of one locale."""

    def __init__(self, parts: Mapping[str, str], locale: str, most: int) -> None:
        self.locale = locale
        self.names = tuple(sorted(frozenset[str]().union(*map(names_in, parts.values()))))
        self._most = most
        plain = (parts.get("title") or parts.get("subject") or "", parts["body"])
        self._plain = _Text(plain, self.names, html=False)
        self._html = _Text((parts["html"],), self.names, html=True) if "html" in parts else None

    def write_all(self, people: Sequence[Mapping[str, str]]) -> list[Rendered | RenderFailed]:
        """All who lack the same values in one render, and one by one when that fails."""
        groups: dict[tuple[str, ...], list[int]] = {}
        for n, values in enumerate(people):
            groups.setdefault(tuple(values), []).append(n)
        found: dict[int, Rendered | RenderFailed] = {}
        for numbers in groups.values():
            found.update(zip(numbers, self._write_together([people[n] for n in numbers]), strict=True))
        return [found[n] for n in range(len(people))]

    def _write_together(self, people: Sequence[Mapping[str, str]]) -> list[Rendered | RenderFailed]:
        from jinja2 import TemplateError

        try:
            plain = self._plain.render_all(people)
            html = self._html.render_all(people) if self._html else [("",)] * len(people)
        except TemplateError:
            return [self._write(values) for values in people]
        if plain is None or html is None:
            return [self._write(values) for values in people]
        return [self._finish(title, body, page) for (title, body), (page,) in zip(plain, html, strict=True)]

    def _write(self, values: Mapping[str, str]) -> Rendered | RenderFailed:
        from jinja2 import TemplateError, UndefinedError

        try:
            title, body = self._plain.render(values)
            (page,) = self._html.render(values) if self._html else ("",)
        except UndefinedError:
            name = next((name for name in self.names if name not in values), "")
            return RenderFailed(Reason.NO_TEMPLATE_VALUE, name, "has no value")
        except TemplateError:
            return RenderFailed(Reason.NO_TEMPLATE_VALUE, "", "the text cannot be written with these values")
        return self._finish(title, body, page)

    def _finish(self, title: str, body: str, html: str) -> Rendered | RenderFailed:
        if len(title) > 500 or len(body) > self._most or len(html) > self._most:
            return RenderFailed(Reason.NO_TEMPLATE_VALUE, "", f"the text is longer than {self._most} characters")
        for text in (title, body, html):
            if "{{" in text or "{%" in text:
                return RenderFailed(Reason.NO_TEMPLATE_VALUE, "", "a value looks like a template itself")
        if not title.isprintable():  # a line end in a subject would begin another mail header
            title = " ".join(title.split())
        return Rendered(title, body, html, self.locale)


class _Text:
    """Some parts compiled together, once for one person and once for a chunk of them."""

    def __init__(self, parts: Sequence[str], names: Sequence[str], *, html: bool) -> None:
        environment = _environment(html=html)
        self._names = names
        self._undefined = environment.undefined
        self._parts = [environment.from_string(part) for part in parts]
        # The loop binds each person's values to the very names the text uses (`_` lets one name stand in a list).
        targets = ", ".join((*names, "_"))
        self._chunk = environment.from_string(
            "{% for " + targets + " in people %}" + _PART.join(parts) + _ROW + "{% endfor %}"
        )

    def render(self, values: Mapping[str, str]) -> tuple[str, ...]:
        return tuple(part.render(values) for part in self._parts)

    def render_all(self, people: Sequence[Mapping[str, str]]) -> list[tuple[str, ...]] | None:
        """The parts of every person; None when a value holds one of the separators."""
        missing = {name: self._undefined(name=name) for name in self._names}
        rows = [(*(values.get(name, missing[name]) for name in self._names), "") for values in people]
        texts = self._chunk.render(people=rows if self._names else [""] * len(rows)).split(_ROW)
        split = [tuple(text.split(_PART)) for text in texts[:-1]]
        if len(split) != len(people) or any(len(parts) != len(self._parts) for parts in split):
            return None
        return split
