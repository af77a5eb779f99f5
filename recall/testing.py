"""Do my journeys do what their scenarios say? For the tests of an adopter's own project.

In `conftest.py`:   pytest_plugins = ["recall.testing"]
In any test file:   def test_every_scenario(scenario):
                        scenario.check()

The fixture makes one test of each scenario. The project folder is pytest's root folder, or the ini option
`recall_project` below it. Without fixtures: `check_scenarios("path/of/project")`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from journeys.project import load_project
from recall.engine.scenarios import Case, Played, cases_of, empty_store
from recall.errors import BadFile, Misconfigured

__all__ = ["ScenarioTest", "check_scenarios"]


@dataclass(frozen=True)
class ScenarioTest:
    """One scenario in a test."""

    case: Case
    empty: Path

    def play(self) -> Played:
        """What happens in it."""
        return self.case.play(self.empty)

    def check(self) -> None:
        """Fail with everything that happened otherwise than expected."""
        _check([self.play()])


def check_scenarios(project: Path | str, journey: str | None = None) -> None:
    """Fail with everything that happens otherwise than the scenarios of a project folder (or one journey) expect."""
    with empty_store() as empty:
        _check([case.play(empty) for case in cases_of(load_project(Path(project)), journey)])


def _check(played: list[Played]) -> None:
    __tracebackhide__ = True
    lines = [f"{each.journey}: {each.scenario}: {line}" for each in played for line in each.differences]
    if lines:
        pytest.fail("\n".join(lines), pytrace=False)


# --- the fixture ------------------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("recall_project", "project folder of recall, below the root folder", default=".")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "scenario" not in metafunc.fixturenames:
        return
    folder = metafunc.config.rootpath / str(metafunc.config.getini("recall_project"))
    try:
        cases = cases_of(load_project(folder))
    except (BadFile, Misconfigured) as error:
        raise pytest.UsageError(str(error)) from None
    metafunc.parametrize("scenario", cases, ids=str, indirect=True)


@pytest.fixture(scope="session")
def _empty_recall_store() -> Iterator[Path]:
    with empty_store() as empty:
        yield empty


@pytest.fixture
def scenario(request: pytest.FixtureRequest, _empty_recall_store: Path) -> ScenarioTest:
    """One scenario of the project; a test that asks for it runs once for each."""
    return ScenarioTest(request.param, _empty_recall_store)
