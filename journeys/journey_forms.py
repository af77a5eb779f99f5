"""What do the short forms of a journey file stand for? `{push: come-back}`, `{wait: 3d}`, `- exit`, `policy: name`."""

from __future__ import annotations

import re
from typing import Any, get_args

from journeys.journey import (
    Arm,
    Branch,
    CampaignAnchor,
    Case,
    DateAnchor,
    Exit,
    Message,
    OutcomeAction,
    PolicyByJurisdiction,
    Split,
    Step,
    TriggerAnchor,
    Wait,
)
from journeys.problems import Check, Place, did_you_mean
from journeys.values import EventName, Identifier
from journeys.words import Channel
from journeys.written import Items, Keys, Word

CHANNELS = tuple(Channel)
STEP_FORMS = (*CHANNELS, "wait", "split", "branch", "exit")
OUTCOME_WORDS: tuple[str, ...] = get_args(get_args(OutcomeAction)[0])
_OUTCOME = re.compile(r"[a-z][a-z0-9_-]{0,39}")


def copy_keys(tree: Keys) -> Keys:
    """The same keys at the same lines, to be changed."""
    copy = Keys(tree.line)
    for key, value in tree.items():
        copy.put(key, value, tree.lines[key])
    return copy


class JourneyReader:
    """Translates the short forms of one journey file.

    A form that is wrong is told at once and replaced by a placeholder, so that the rest is still read.
    """

    def __init__(self, check: Check) -> None:
        self.check = check

    def journey(self, tree: Keys) -> Keys:
        raw = copy_keys(tree)
        if "policy" in raw:
            raw["policy"] = self.policy(raw["policy"], ("policy",))
        if isinstance(raw.get("entry"), Keys) and "anchor" in raw["entry"]:
            raw["entry"] = copy_keys(raw["entry"])
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
            raw = copy_keys(form)
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
            raw = copy_keys(arm)
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
        raw = copy_keys(tree)
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
        raw = copy_keys(tree)
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
