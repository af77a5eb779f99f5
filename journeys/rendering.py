"""What will each person read? Rendering a chunk of people at once.

Values are data and are rendered once; a missing or empty value is a refusal of that person's message, never an
empty place in a text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from journeys.program import Program
from journeys.template_syntax import BUILT_IN, environment, names_in
from journeys.words import Channel, Reason

_MOST = {Channel.EMAIL: 100_000}
_MOST_ELSE = 4_000  # characters of any other message
_PART, _ROW = "\x1f", "\x1e"  # between the parts of a message, between the messages of a chunk


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
        jinja = environment(html=html)
        self._names = names
        self._undefined = jinja.undefined
        self._parts = [jinja.from_string(part) for part in parts]
        # The loop binds each person's values to the very names the text uses (`_` lets one name stand in a list).
        targets = ", ".join((*names, "_"))
        self._chunk = jinja.from_string(
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
