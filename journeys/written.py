"""What stands in this file, line by line, before anything is understood?

Every scalar stays the text that was written, so `9:30`, `no`, `1.10` and `0012` are not turned into numbers
or booleans (PyYAML 6.0.3 `safe_load` does all four). Each piece keeps its line.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from recall.errors import BadFile, Problem

MAX_BYTES = 1_000_000
MAX_ALIASED = 100  # nodes an author may repeat through aliases in one file
MAX_DEPTH = 40

_PARSER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")
_NOTHING = ("", "~", "null", "Null", "NULL")
_NOT_A_NUMBER = re.compile(r"[-+]?\.(nan|inf)", re.IGNORECASE)


class Word(str):
    """One scalar, as text."""

    line: int

    def __new__(cls, text: str, line: int) -> Word:
        word = super().__new__(cls, text)
        word.line = line
        return word


class Items(list[Any]):
    """One list."""

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line


class Keys(dict[str, Any]):
    """One mapping; `lines` says where each key stands, `spelled` what the file calls a key translated since."""

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line
        self.lines: dict[str, int] = {}
        self.spelled: dict[str, str] = {}

    def put(self, key: str, value: Any, line: int, *, spelled: str | None = None) -> None:
        self[key] = value
        self.lines[key] = line
        if spelled:
            self.spelled[key] = spelled


Written = Word | Items | Keys


def path_text(path: tuple[str | int, ...]) -> str:
    """`("steps", 2, "wait")` as `steps[2].wait`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def read_keys(data: bytes, file: str) -> tuple[Keys, list[Problem]]:
    """The mapping a file holds, and what is wrong that still left it readable; raises BadFile otherwise."""
    text = _decode(data, file)
    builder = _Builder(file)
    try:
        for event in yaml.parse(text, Loader=_PARSER):
            builder.take(event)
    except yaml.YAMLError as error:
        builder.problems.append(_unreadable(error, text, file))
        raise BadFile(builder.problems) from None
    if not isinstance(builder.root, Keys):
        what = "the file is empty" if builder.root in (None, "") else "the file is not a list of `key: value` lines"
        raise BadFile([Problem(file, 1, what, "begin with a line such as schema: recall.journey/v1")])
    return builder.root, builder.problems


def _decode(data: bytes, file: str) -> str:
    if len(data) > MAX_BYTES:
        raise BadFile([Problem(file, None, f"the file has {len(data)} bytes", f"keep it under {MAX_BYTES} bytes")])
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise BadFile([Problem(file, 1, "the file is UTF-16", "save it as UTF-8")])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise BadFile([Problem(file, line, "this line is not UTF-8", "save the file as UTF-8")]) from None
    found = _CONTROL.search(text)
    if found:
        line = text[: found.start()].count("\n") + 1
        what = f"the invisible character U+{ord(found[0]):04X} stands here"
        raise BadFile([Problem(file, line, what, "delete it; only spaces and line ends are invisible in these files")])
    return text


# (part of the parser's own words, what is wrong, what to write instead, whether the place is where it began)
_PARSER_WORDS: tuple[tuple[str, str, str, bool], ...] = (
    ("tab character", "a tab stands where spaces are needed", "indent with spaces only", False),
    ("unexpected end of stream", "a quote is opened here and never closed", "close it with the same quote", True),
    ("expected ',' or ']'", "a list opened with [ here is never closed", "write [a, b]", True),
    ("expected ',' or '}'", "a mapping opened with { here is never closed", "write {key: value, key: value}", True),
    (
        "mapping values are not allowed",
        "a second `: ` stands on this line",
        'put a text with `: ` in quotes: "…"',
        False,
    ),
    ("expected '-' indicator", "this line does not continue the list above it", "begin it with - or indent it", False),
    ("expected key", "this line is indented differently from its neighbours", "line it up with the keys above", False),
    ("could not find expected ':'", "this line has no `: `", "write key: value", False),
    ("unknown directive", "a line may not begin with %", "put the text in quotes", False),
    (
        "unknown escape",
        "a backslash in double quotes begins an escape that does not exist",
        "use 'single quotes'",
        False,
    ),
    ("duplicate anchor", "two anchors have one name", "give each & its own name", False),
)


def _unreadable(error: yaml.YAMLError, text: str, file: str) -> Problem:
    said = str(getattr(error, "problem", None) or error)
    here = getattr(error, "problem_mark", None)
    line = (here.line if here else 0) + 1
    lines = text.split("\n")
    source = lines[line - 1] if line <= len(lines) else ""
    if "{{" in source and "expected" in said:
        return Problem(file, line, "a text with {{ … }} stands here without quotes", 'write "… {{ name }} …"')
    if "cannot start any token" in said:
        bad = source[here.column : here.column + 1] if here else ""
        if bad in ("\t", "") or "\t" in source[: len(source) - len(source.lstrip())]:
            said = "tab character"
        else:
            return Problem(file, line, f"a text may not begin with {bad}", f'put it in quotes: "{bad}…"')
    for words, message, hint, at_start in _PARSER_WORDS:
        if words in said:
            began = getattr(error, "context_mark", None)
            return Problem(file, began.line + 1 if at_start and began else line, message, hint)
    return Problem(
        file, line, "the file cannot be read from here on", "check indentation, quotes and brackets near here"
    )


@dataclass
class _Frame:
    """A list or mapping not yet closed."""

    node: Items | Keys
    anchor: str | None
    size: int = 1  # nodes in it, aliases counted in full
    key: Word | None = None
    seen: dict[str, int] = field(default_factory=dict)


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


class _Builder:
    """Builds the tree from parser events, so that depth and aliases are bounded before anything walks it."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.root: Written | None = None
        self._stack: list[_Frame] = []
        self._anchors: dict[str, tuple[Written, int]] = {}
        self._aliased = 0
        self._documents = 0

    def take(self, event: yaml.Event) -> None:
        line = _line(event)
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                self._stop(line, "a second document begins here", "put it into a file of its own and drop the ---")
        elif isinstance(event, yaml.AliasEvent):
            self._alias(str(event.anchor), line)
        elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            self._open(event, line)
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            frame = self._stack.pop()
            self._remember(frame.anchor, frame.node, frame.size)
            self._put(frame.node, frame.size, line)
        elif isinstance(event, yaml.ScalarEvent):
            self._scalar(event, line)

    def _stop(self, line: int, message: str, hint: str) -> None:
        self.problems.append(Problem(self.file, line, message, hint, path_text(tuple(self._path())) or None))
        raise BadFile(self.problems)

    def _complain(self, line: int, message: str, hint: str, *more: str) -> None:
        path = (*self._path(), *more)
        self.problems.append(Problem(self.file, line, message, hint, path_text(path) or None))

    def _path(self) -> Iterator[str | int]:
        for frame in self._stack:
            if isinstance(frame.node, Items):
                yield len(frame.node)
            elif frame.key is not None:
                yield str(frame.key)

    def _open(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent, line: int) -> None:
        self._no_tag(event.tag, line)
        if self._wants_key():
            hint = 'write key: value; a text that begins with {{ goes in quotes: "{{ name }}"'
            self._stop(line, "a list or mapping stands where a key is needed", hint)
        if len(self._stack) >= MAX_DEPTH:
            self._stop(line, f"more than {MAX_DEPTH} levels are nested here", "flatten the file")
        node = Keys(line) if isinstance(event, yaml.MappingStartEvent) else Items(line)
        self._stack.append(_Frame(node, event.anchor))

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> None:
        self._no_tag(event.tag, line)
        word = Word(event.value, line)
        plain = event.style is None or event.style == ""
        if self._wants_key():
            self._key(word)
            return
        if plain and word in _NOTHING and self._stack:
            last = next(reversed([str(part) for part in self._path()]), "this")
            self._complain(line, f"`{last}` has no value", "write a value, or leave the line out")
        if plain and _NOT_A_NUMBER.fullmatch(word):
            self._complain(line, f"`{word}` is not a number anybody can compare with", "write digits, such as 10")
        if "${" in word:
            self._complain(
                line, "nothing is filled in from the environment", "write the value itself; secrets go to .env"
            )
        self._remember(event.anchor, word, 1)
        self._put(word, 1, line)

    def _no_tag(self, tag: str | None, line: int) -> None:
        if tag and tag != "!":
            name = tag.replace("tag:yaml.org,2002:", "!!")
            self._complain(line, f"the tag {name} is not read", "leave it out; the place says what kind of value it is")

    def _wants_key(self) -> bool:
        return bool(self._stack) and isinstance(self._stack[-1].node, Keys) and self._stack[-1].key is None

    def _key(self, word: Word) -> None:
        frame = self._stack[-1]
        frame.key = word
        if word == "<<":
            self._complain(word.line, "merge keys (<<) are not read", "write the keys out")
        elif word in frame.seen:
            self._complain(
                word.line, f"`{word}` is written twice, first on line {frame.seen[word]}", "keep one of the two"
            )
        frame.seen.setdefault(word, word.line)

    def _alias(self, name: str, line: int) -> None:
        if self._wants_key():
            self._stop(line, f"the alias *{name} stands where a key is needed", "write the key out")
        if any(frame.anchor == name for frame in self._stack):
            self._stop(line, f"*{name} refers to the very thing it stands in", "write the values out")
        if name not in self._anchors:
            self._stop(
                line, f"*{name} refers to nothing above it", f'name something with &{name}, or quote it: "*{name}"'
            )
        node, size = self._anchors[name]
        self._aliased += size
        if self._aliased > MAX_ALIASED:
            self._stop(line, f"aliases repeat more than {MAX_ALIASED} values", "write the values out")
        self._put(node, size, line)

    def _remember(self, anchor: str | None, node: Written, size: int) -> None:
        if anchor:
            self._anchors[anchor] = (node, size)

    def _put(self, node: Written, size: int, line: int) -> None:
        if not self._stack:
            self.root = node
            return
        frame = self._stack[-1]
        frame.size += size
        if isinstance(frame.node, Items):
            frame.node.append(node)
            return
        assert frame.key is not None  # a value event follows its key
        if frame.key not in frame.node and frame.key != "<<":
            frame.node.put(str(frame.key), node, frame.key.line)
        frame.key = None
