"""Which words does a person get? Template files, and what is wrong with one.

`template_syntax` says which Jinja a text may use, `rendering` what becomes of it; their names may be had here too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from journeys.loader import Loaded, check_schema, finish, read_file
from journeys.problems import Check
from journeys.rendering import Rendered as Rendered
from journeys.rendering import Renderer as Renderer
from journeys.rendering import RenderFailed as RenderFailed
from journeys.rendering import choose_locale as choose_locale
from journeys.template_syntax import BUILT_IN as BUILT_IN
from journeys.template_syntax import FILTERS as FILTERS
from journeys.template_syntax import RESERVED
from journeys.template_syntax import amount as amount
from journeys.template_syntax import names_in as names_in
from journeys.values import AttributeName, Flag, Identifier, Model
from journeys.words import Channel
from journeys.written import read_keys
from recall.errors import Misconfigured, Problem

PARTS = ("title", "subject", "body", "html")

Locale = Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]
Source = Annotated[str, Field(min_length=1, max_length=200_000)]


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
    if name in RESERVED or name in BUILT_IN:
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
    """The template in a file; raises BadFile with every problem found (of its Jinja: `check_texts`)."""
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
