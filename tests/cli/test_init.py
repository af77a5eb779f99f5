"""Does a new project hold what its first journey needs, and is nothing of anybody's overwritten?"""

from __future__ import annotations

from pathlib import Path

import pytest

from journeys.project import load_project, shipped_project
from recall.intake.mapping import read_mapping


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_new_project_has_a_first_journey_and_all_it_needs(recall, tmp_path: Path):
    answer = recall("init", "growth")
    assert answer.code == 0
    assert "recall journey lint" in answer.out
    assert {
        "journeys/settled-30d.yaml",
        "policies/cn-consumer-finance.yaml",
        "templates/come-back.yaml",
        "segments/borrowers.yaml",
        "mappings/users.yaml",
        "README.md",
        ".env.example",
        ".gitignore",
    } <= _files(tmp_path / "growth")


@pytest.mark.parametrize("journey", sorted(shipped_project().journeys))
def test_every_shipped_journey_can_be_the_first(recall, journey):
    assert recall("init", "growth", "--journey", journey).code == 0
    answer = recall("journey", "lint", "--project", "growth", "--json")
    assert [problem["message"] for problem in answer.data["problems"] if problem["severity"] == "error"] == []
    assert f"recall run {journey} --enrol" in Path("growth/README.md").read_text()


def test_a_project_brings_the_policy_it_stands_under(recall):
    recall("init", "growth")
    project = load_project(Path("growth"))
    assert Path(project.policies["cn-consumer-finance"].file).parts[0] == "growth"


def test_the_mappings_are_readable(recall):
    recall("init", "growth")
    mappings = sorted(Path("growth/mappings").iterdir())
    assert [read_mapping(path).schema_ for path in mappings] == ["recall.mapping/v1"] * 4


def test_nothing_is_overwritten_and_nothing_half_written(recall, tmp_path: Path):
    (tmp_path / "growth").mkdir()
    (tmp_path / "growth" / "README.md").write_text("mine")
    answer = recall("init", "growth")
    assert answer.code == 1
    assert "growth holds README.md already, and nothing is overwritten" in answer.err
    assert _files(tmp_path / "growth") == {"README.md"}
    assert (tmp_path / "growth" / "README.md").read_text() == "mine"


def test_an_unknown_journey_is_told_with_those_there_are(recall, tmp_path: Path):
    answer = recall("init", "growth", "--journey", "settled-31d")
    assert answer.code == 1
    assert "no journey 'settled-31d' comes with recall; there are: application-3d" in answer.err
    assert not (tmp_path / "growth").exists()


def test_a_file_where_the_folder_should_be_is_misuse(recall, tmp_path: Path):
    (tmp_path / "growth").write_text("")
    assert recall("init", "growth").code == 2
