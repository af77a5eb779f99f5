"""What does a project folder hold? Journeys, policies, templates, segments, scenarios: all read, or all problems told.

The shipped catalogue has the same layout inside this package.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from journeys.compile import compile_journey
from journeys.journey import Journey, PolicyByJurisdiction
from journeys.lint import lint
from journeys.lint_policy import lint_policy
from journeys.loader import Loaded, load_journey, load_policy, load_segment
from journeys.policy import Policy
from journeys.program import Program
from journeys.rules import Rule
from journeys.scenarios import ScenarioFile, load_scenarios
from journeys.segment import NamedSegment
from journeys.templates import Template, check_texts, load_template
from recall.errors import BadFile, Problem

SHIPPED = Path(__file__).parent
_SCENARIOS = ".scenarios.yaml"

T = TypeVar("T", Journey, Policy, Template, NamedSegment)


@dataclass
class Project:
    """Everything of one folder, by id."""

    journeys: dict[str, Loaded[Journey]] = field(default_factory=dict)
    policies: dict[str, Loaded[Policy]] = field(default_factory=dict)
    templates: dict[str, Loaded[Template]] = field(default_factory=dict)
    segments: dict[str, Loaded[NamedSegment]] = field(default_factory=dict)
    scenarios: dict[str, Loaded[ScenarioFile]] = field(default_factory=dict)  # by journey

    @property
    def rules(self) -> dict[str, Rule]:
        """The rule of each segment."""
        return {name: segment.noun.rule for name, segment in self.segments.items()}


def load_project(folder: Path) -> Project:
    """Everything under `folder`; raises BadFile with every problem of every file.

    A policy that a journey names and the folder does not hold is taken from the shipped ones.
    """
    project = _read(folder, folder / "journeys")
    for name in sorted(_policies_named(project) - set(project.policies)):
        shipped = SHIPPED / "policies" / f"{name}.yaml"
        if shipped.exists():
            project.policies[name] = load_policy(shipped)
    return project


def shipped_project() -> Project:
    """The catalogue that comes with recall."""
    return _read(SHIPPED, SHIPPED / "catalogue")


def _read(folder: Path, journeys: Path) -> Project:
    problems: list[Problem] = []
    if not journeys.is_dir():
        raise BadFile([Problem(str(journeys), None, "there is no such folder", "create one with: recall init DIR")])
    project = Project(
        _load(journeys, load_journey, problems),
        _load(folder / "policies", load_policy, problems),
        _load(folder / "templates", load_template, problems),
        _load(folder / "segments", load_segment, problems),
        dict(_load_scenarios(journeys, problems)),
    )
    if problems:
        raise BadFile(problems)
    return project


def _load(folder: Path, load: Callable[[Path], Loaded[T]], problems: list[Problem]) -> dict[str, Loaded[T]]:
    found: dict[str, Loaded[T]] = {}
    for path in _files(folder, problems):
        if path.name.endswith(_SCENARIOS):
            continue
        try:
            loaded = load(path)
        except BadFile as bad:
            problems.extend(bad.problems)
            continue
        name = loaded.noun.id
        if name != path.stem:
            problems.append(
                loaded.problem(f"the file is called {path.name} and its id is {name}", "make them equal", "id")
            )
        found[name] = loaded
    return found


def _files(folder: Path, problems: list[Problem]) -> Iterator[Path]:
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.suffix == ".yaml" and path.is_file():
            yield path
        elif path.suffix == ".yml":
            problems.append(Problem(str(path), None, "files ending in .yml are not read", f"call it {path.stem}.yaml"))


def _load_scenarios(folder: Path, problems: list[Problem]) -> Iterator[tuple[str, Loaded[ScenarioFile]]]:
    for path in sorted(folder.glob(f"*{_SCENARIOS}")):
        try:
            loaded = load_scenarios(path)
        except BadFile as bad:
            problems.extend(bad.problems)
            continue
        stem = path.name.removesuffix(_SCENARIOS)
        if loaded.noun.journey != stem:
            problems.append(
                loaded.problem(f"{path.name} tells of another journey", f"write journey: {stem}", "journey")
            )
        yield loaded.noun.journey, loaded


def _policies_named(project: Project) -> set[str]:
    return {name for journey in project.journeys.values() for name in policy_names(journey.noun)}


def policy_names(journey: Journey) -> list[str]:
    """The policies a journey may come under."""
    if isinstance(journey.policy, PolicyByJurisdiction):
        named = [*journey.policy.cases.values(), journey.policy.otherwise]
        return [name for name in dict.fromkeys(named) if name != "no_send"]
    return [journey.policy]


def lint_project(project: Project) -> list[Problem]:
    """Every error and warning in every file of a project, by file and line."""
    policies = {name: policy.noun for name, policy in project.policies.items()}
    templates = {name: template.noun for name, template in project.templates.items()}
    journeys = {name: journey.noun for name, journey in project.journeys.items()}
    problems = [problem for template in project.templates.values() for problem in check_texts(template)]
    for policy in project.policies.values():
        problems.extend(lint_policy(policy))
    for journey in project.journeys.values():
        problems.extend(lint(journey, policies, templates, project.rules, journeys))
    for scenarios in project.scenarios.values():
        problems.extend(_lint_scenarios(scenarios, project))
    return sorted(dict.fromkeys(problems), key=lambda problem: (problem.file, problem.line or 0))


def _lint_scenarios(scenarios: Loaded[ScenarioFile], project: Project) -> list[Problem]:
    name = scenarios.noun.journey
    if name in project.journeys:
        return []
    return [scenarios.problem(f"there is no journey {name}", "name a journey of this folder", "journey")]


def compile_project(project: Project) -> dict[str, Program]:
    """The program of every journey, by id; raises BadFile when lint finds an error."""
    errors = [problem for problem in lint_project(project) if problem.severity == "error"]
    if errors:
        raise BadFile(errors)
    templates = {name: template.noun for name, template in project.templates.items()}
    return {name: compile_journey(each.noun, project.rules, templates) for name, each in project.journeys.items()}
