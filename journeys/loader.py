"""How does a file a person wrote become a noun? Text only, all problems at once, each with its line and a way out.

The short forms of a journey are translated by `journey_forms`; the rest of a file is spelled like the nouns.
Nothing but BadFile leaves this module.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from journeys.journey import Journey
from journeys.journey_forms import JourneyReader, copy_keys
from journeys.policy import Policy
from journeys.problems import Check
from journeys.segment import NamedSegment
from journeys.written import Items, Keys, Word, path_text, read_keys
from recall.errors import BadFile, Problem

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Loaded(Generic[T]):
    """A noun, the file it was read from, and where each part of it stands there."""

    noun: T
    file: str
    tree: Keys | None = None

    def line(self, *path: str | int) -> int | None:
        """The line of the deepest part of `path` that was written."""
        here: Any = self.tree
        line = getattr(here, "line", None)
        for part in path:
            if isinstance(here, Keys) and part in here:
                line, here = here.lines.get(str(part), line), here[str(part)]
            elif isinstance(here, Items) and isinstance(part, int) and part < len(here):
                here = here[part]
                line = getattr(here, "line", line)
            else:
                break
        return line

    def problem(self, message: str, hint: str, *path: str | int, severity: str = "error") -> Problem:
        """A problem of the part at `path`."""
        return Problem(self.file, self.line(*path), message, hint, path_text(path) or None, severity)


def load_journey(path: Path) -> Loaded[Journey]:
    """The journey in a file; raises BadFile with every problem found."""
    return read_journey(read_file(path), str(path))


def load_policy(path: Path) -> Loaded[Policy]:
    """The policy in a file; raises BadFile with every problem found."""
    return read_policy(read_file(path), str(path))


def load_segment(path: Path) -> Loaded[NamedSegment]:
    """The segment in a file; raises BadFile with every problem found."""
    return read_segment(read_file(path), str(path))


def read_file(path: Path) -> bytes:
    """The bytes of a file; raises BadFile when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadFile(
            [Problem(str(path), None, f"the file cannot be read ({error.strerror})", "check its name")]
        ) from None


def read_journey(data: bytes, file: str) -> Loaded[Journey]:
    """The journey in the bytes of a file called `file`; raises BadFile with every problem found."""
    tree, problems = read_keys(data, file)
    check = Check(file, problems)
    noun = None
    if check_schema(check, tree, "recall.journey/v1"):
        noun = check.noun(Journey, JourneyReader(check).journey(tree))
    return finish(check, noun, tree)


def read_policy(data: bytes, file: str) -> Loaded[Policy]:
    """The policy in the bytes of a file called `file`; raises BadFile with every problem found."""
    tree, problems = read_keys(data, file)
    check = Check(file, problems)
    noun = None
    if check_schema(check, tree, "recall.policy/v1"):
        noun = check.noun(Policy, _policy(tree))
    return finish(check, noun, tree)


def read_segment(data: bytes, file: str) -> Loaded[NamedSegment]:
    """The segment in the bytes of a file called `file`; raises BadFile with every problem found."""
    tree, problems = read_keys(data, file)
    check = Check(file, problems)
    noun = check.noun(NamedSegment, tree) if check_schema(check, tree, "recall.segment/v1") else None
    return finish(check, noun, tree)


def check_schema(check: Check, tree: Keys, schema: str) -> bool:
    """Is this file of the kind expected here? Otherwise every other complaint about it would mislead."""
    found = tree.get("schema")
    if found is None:
        check.complain(tree.line, "`schema` is missing", f"add schema: {schema}", ("schema",))
    elif found != schema:
        check.complain(
            tree.lines["schema"],
            f"{found!r} is not the schema of this kind of file",
            f"write schema: {schema}",
            ("schema",),
        )
    return found == schema


def finish(check: Check, noun: T | None, tree: Keys) -> Loaded[T]:
    """The noun with its lines; raises BadFile, sorted by line, if anything was wrong."""
    if check.problems or noun is None:
        raise BadFile(sorted(dict.fromkeys(check.problems), key=lambda problem: problem.line or 0))
    return Loaded(noun, check.file, tree)


def _policy(tree: Keys) -> Keys:
    """`sms: 09:00-20:00` is short for the same hours on every type of day."""
    raw = copy_keys(tree)
    windows = raw.get("windows")
    if isinstance(windows, Keys):
        full = Keys(windows.line)
        for channel, spans in windows.items():
            line = windows.lines[channel]
            full.put(channel, spans if isinstance(spans, Keys) else _every_day(spans, line), line)
        raw["windows"] = full
    return raw


def _every_day(spans: Word | Items, line: int) -> Keys:
    days = Keys(line)
    for day in ("workday", "weekend", "holiday"):
        days.put(day, spans, line)
    return days
