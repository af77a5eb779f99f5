"""How does a file a person wrote become a noun? Text only, all problems at once, each with its line and a way out.

The short step forms (`{push: come-back}`, `{wait: 3d}`) are translated here; the rest of a file is spelled
like the nouns. Nothing but BadFile leaves this module.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, get_args

from journeys.journey import (
    Arm,
    Branch,
    CampaignAnchor,
    Case,
    DateAnchor,
    Exit,
    Journey,
    Message,
    OutcomeAction,
    PolicyByJurisdiction,
    Split,
    Step,
    TriggerAnchor,
    Wait,
)
from journeys.policy import Policy
from journeys.problems import Check, Place, did_you_mean
from journeys.segment import NamedSegment
from journeys.values import EventName, Identifier
from journeys.words import Channel
from journeys.written import Items, Keys, Word, path_text, read_keys
from recall.errors import BadFile, Problem

T = TypeVar("T")

CHANNELS = tuple(Channel)
STEP_FORMS = (*CHANNELS, "wait", "split", "branch", "exit")
OUTCOME_WORDS: tuple[str, ...] = get_args(get_args(OutcomeAction)[0])
_OUTCOME = re.compile(r"[a-z][a-z0-9_-]{0,39}")


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
        noun = check.noun(Journey, _JourneyReader(check).journey(tree))
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


def _copy(tree: Keys) -> Keys:
    copy = Keys(tree.line)
    for key, value in tree.items():
        copy.put(key, value, tree.lines[key])
    return copy


def _policy(tree: Keys) -> Keys:
    """`sms: 09:00-20:00` is short for the same hours on every type of day."""
    raw = _copy(tree)
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


class _JourneyReader:
    """Translates the short forms of one journey file.

    A form that is wrong is told at once and replaced by a placeholder, so that the rest is still read.
    """

    def __init__(self, check: Check) -> None:
        self.check = check

    def journey(self, tree: Keys) -> Keys:
        raw = _copy(tree)
        if "policy" in raw:
            raw["policy"] = self.policy(raw["policy"], ("policy",))
        if isinstance(raw.get("entry"), Keys) and "anchor" in raw["entry"]:
            raw["entry"] = _copy(raw["entry"])
            raw["entry"]["anchor"] = self.anchor(raw["entry"]["anchor"], ("entry", "anchor"))
        if isinstance(raw.get("steps"), Items):
            raw["steps"] = self.steps(raw["steps"], ("steps",))
        return raw

    def policy(self, tree: Any, path: Place) -> Any:
        if not isinstance(tree, Keys):
            return self.check.noun(Identifier, tree, path) or "told"
        if tree.get("by") != "jurisdiction":
            self._complain(tree, "a policy by cases needs `by: jurisdiction`", _BY_CASES, path)
            return "told"
        cases = Keys(tree.line)
        for key, value in tree.items():
            if key not in ("by", "else"):
                if re.fullmatch("[A-Z]{2}", key) is None:
                    self._complain(tree, f"`{key}` is not a jurisdiction", _BY_CASES, (*path, key))
                if value != "no_send":
                    self.check.noun(Identifier, value, (*path, key))
                cases.put(key, value, tree.lines[key])
        raw = Keys(tree.line)
        raw.put("cases", cases, tree.line)
        if "else" in tree:
            raw.put("otherwise", tree["else"], tree.lines["else"], spelled="else")
        return self.check.noun(PolicyByJurisdiction, raw, path) or "told"

    def anchor(self, tree: Any, path: Place) -> Any:
        if not isinstance(tree, Keys):
            return self.check.noun(EventName, tree, path) or "told"
        kinds: dict[str, Any] = {"attribute": DateAnchor, "trigger": TriggerAnchor, "campaign": CampaignAnchor}
        form = next((form for form in kinds if form in tree), None)
        if form is None:
            first = next(iter(tree), "")
            self._complain(tree, f"`{first}` is not an anchor", did_you_mean(first, list(kinds)), path)
            return "told"
        return self.check.noun(kinds[form], tree, path) or "told"

    def steps(self, tree: Any, path: Place) -> tuple[Step, ...]:
        if not isinstance(tree, Items):
            line = getattr(tree, "line", None)
            self.check.complain(line, f"`{path[-1]}` needs a list of steps", "begin each step with -", path)
            return (Exit(),)
        return tuple(self.step(step, (*path, n)) for n, step in enumerate(tree))

    def step(self, tree: Any, path: Place) -> Step:
        if isinstance(tree, Word) and tree == "exit":
            return Exit()
        if not isinstance(tree, Keys) or not tree:
            self._complain(
                tree, f"{_name(tree)} is not a step", "write such as {push: come-back}, {wait: 3d} or exit", path
            )
            return Exit()
        forms = [form for form in STEP_FORMS if form in tree]
        if len(forms) != 1:
            self._wrong_form(tree, forms, path)
            return Exit()
        form = forms[0]
        if form in CHANNELS:
            return self.message(tree, form, path)
        read = {"wait": self.wait, "split": self.split, "branch": self.branch, "exit": self.exit}[form]
        return read(tree, path)

    def _wrong_form(self, tree: Keys, forms: list[str], path: Place) -> None:
        if forms:
            self._complain(
                tree, f"{' and '.join(forms)} stand in one step", "make two steps of it, each with its own -", path
            )
            return
        first = next(iter(tree))
        hint = "a jump is not needed: steps run from top to bottom, split and branch join again"
        known = did_you_mean(first, STEP_FORMS)
        self._complain(
            tree, f"`{first}` is not a step", hint if first in ("go", "goto", "next", "jump") else known, path
        )

    def message(self, tree: Keys, channel: str, path: Place) -> Step:
        raw = Keys(tree.line)
        raw.put("channel", channel, tree.lines[channel], spelled=channel)
        raw.put("template", tree[channel], tree.lines[channel], spelled=channel)
        for key, value in tree.items():
            if key in ("template", "otherwise"):
                self._complain(
                    tree, f"`{key}` is not a key here", f"write {{{channel}: template-name}} and `else`", (*path, key)
                )
            elif key == "else":
                raw.put("else", self.otherwise(value, (*path, "else")), tree.lines[key])
            elif key == "on_outcome":
                raw.put(key, self.outcomes(value, (*path, key)), tree.lines[key])
            elif key != channel:
                raw.put(key, value, tree.lines[key])
        return self.check.noun(Message, raw, path) or Exit()

    def otherwise(self, tree: Any, path: Place) -> Any:
        if isinstance(tree, Word) and tree in ("skip", "exit"):
            return str(tree)
        if isinstance(tree, Keys):
            forms = [form for form in CHANNELS if form in tree]
            if len(forms) == 1:
                step = self.message(tree, forms[0], path)
                return step if isinstance(step, Message) else "skip"
        self._complain(tree, "`else` takes another message, skip or exit", "write such as else: {sms: come-back}", path)
        return "skip"

    def outcomes(self, tree: Any, path: Place) -> dict[str, Any]:
        if not isinstance(tree, Keys):
            self._complain(
                tree, "`on_outcome` needs outcomes and what follows", "write {interested: exit, declined: exit}", path
            )
            return {}
        actions: dict[str, Any] = {}
        for outcome, action in tree.items():
            here = (*path, outcome)
            line = tree.lines[outcome]
            if not _OUTCOME.fullmatch(outcome):
                self.check.complain(
                    line, f"{outcome!r} is not an outcome", "write small letters and _, such as interested", here
                )
            elif isinstance(action, Items):
                actions[outcome] = self.steps(action, here)
            elif action in OUTCOME_WORDS:
                actions[outcome] = str(action)
            else:
                hint = did_you_mean(str(action), list(OUTCOME_WORDS)) + " (or a list of steps)"
                self.check.complain(line, f"{_name(action)} is not known after an outcome", hint, here)
        return actions

    def wait(self, tree: Keys, path: Place) -> Step:
        raw = Keys(tree.line)
        form, line = tree["wait"], tree.lines["wait"]
        if isinstance(form, Keys):
            raw = _copy(form)
        else:
            raw.put("length", form, line, spelled="wait")
        for key, value in tree.items():
            if key != "wait":
                raw.put(key, value, tree.lines[key])
        if "length" in raw and isinstance(form, Keys):
            self._complain(form, "`length` is not a key here", "write {wait: 3d}", (*path, "wait", "length"))
            return Exit()
        return self.check.noun(Wait, raw, path) or Exit()

    def split(self, tree: Keys, path: Place) -> Step:
        arms: list[Arm] = []
        for n, arm in enumerate(self._cases(tree, "split", "{arm: a, percent: 50, steps: [...]}", path)):
            here = (*path, "split", n)
            raw = _copy(arm)
            if "steps" in raw:
                raw["steps"] = self.steps(raw["steps"], (*here, "steps"))
            arms.append(self.check.noun(Arm, raw, here) or Arm(arm="told", percent=0, steps=()))
        return self._whole(Split, tree, "split", tuple(arms), path)

    def branch(self, tree: Keys, path: Place) -> Step:
        cases: list[Case] = []
        for n, case in enumerate(self._cases(tree, "branch", "{when: {did: visited}, steps: [...]}", path)):
            here = (*path, "branch", n)
            cases.append(self.case(case, here))
        return self._whole(Branch, tree, "branch", tuple(cases), path)

    def case(self, tree: Keys, path: Place) -> Case:
        raw = _copy(tree)
        if "else" in raw:
            steps = self.steps(raw.pop("else"), (*path, "else"))
            if raw:
                self._complain(tree, "`else` stands alone in its case", "write {else: [...]}", path)
            return Case(steps=steps)
        if "when" not in raw:
            self._complain(tree, "a case needs `when`", "write {when: …, steps: [...]}, and {else: [...]} last", path)
            return Case(steps=())
        if "steps" in raw:
            raw["steps"] = self.steps(raw["steps"], (*path, "steps"))
        return self.check.noun(Case, raw, path) or Case(steps=())

    def exit(self, tree: Keys, path: Place) -> Step:
        return self.check.noun(Exit, tree, path) or Exit()

    def _cases(self, tree: Keys, key: str, example: str, path: Place) -> list[Keys]:
        cases = tree[key]
        if isinstance(cases, Items) and all(isinstance(case, Keys) for case in cases):
            return list(cases)
        self.check.complain(tree.lines[key], f"`{key}` needs a list of ways", f"write - {example}", (*path, key))
        return []

    def _whole(self, kind: Any, tree: Keys, key: str, ways: Any, path: Place) -> Step:
        raw = _copy(tree)
        raw[key] = ways
        step: Step | None = self.check.noun(kind, raw, path)
        return step or Exit()

    def _complain(self, tree: Any, message: str, hint: str, path: Place) -> None:
        line = getattr(tree, "line", None)
        if isinstance(tree, Keys) and path and path[-1] in tree.lines:
            line = tree.lines[str(path[-1])]
        self.check.complain(line, message, hint, path)


_BY_CASES = "write {by: jurisdiction, CN: cn-consumer-finance, else: no_send}"


def _name(tree: Any) -> str:
    return f"`{tree}`" if isinstance(tree, str) else "a list" if isinstance(tree, Items) else "an empty mapping"
