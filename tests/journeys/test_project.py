"""Is a whole project folder read, with every problem of every file told at once?"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from journeys.project import SHIPPED, compile_project, lint_project, load_project, policy_names, shipped_project
from recall.errors import BadFile

JOURNEY = (SHIPPED / "catalogue" / "settled-30d.yaml").read_text()
TEMPLATE = (SHIPPED / "templates" / "come-back.yaml").read_text()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("journeys", "policies", "templates", "segments"):
        (tmp_path / name).mkdir()
    (tmp_path / "journeys" / "settled-30d.yaml").write_text(JOURNEY)
    (tmp_path / "templates" / "come-back.yaml").write_text(TEMPLATE)
    return tmp_path


def test_every_shipped_journey_is_sound_compiles_and_has_scenarios_and_two_languages():
    project = shipped_project()
    assert set(compile_project(project)) == set(project.journeys) == set(project.scenarios)
    assert set(project.policies) == {"cn-consumer-finance", "us-strict", "eu-strict"}
    for template in project.templates.values():
        for channel in template.noun.channels:
            assert set(template.noun.texts(channel)) == {"zh-CN", "en"}


def test_the_catalogue_holds_the_stages_and_lapses_of_the_design():
    assert set(shipped_project().journeys) == {
        *("registered-3d", "application-3d", "granted-7d", "settled-30d"),
        *("next-day", "lapsed-7d", "lapsed-14d", "lapsed-28d"),
        *("spring-campaign", "welcome-back"),
    }


def test_a_shipped_policy_is_used_when_a_journey_names_it(folder):
    project = load_project(folder)
    assert set(project.policies) == {"cn-consumer-finance"}
    assert set(compile_project(project)) == {"settled-30d"}


def test_the_folders_own_policy_goes_before_the_shipped_one(folder):
    text = (SHIPPED / "policies" / "cn-consumer-finance.yaml").read_text().replace("示例金融", "自己的名字")
    (folder / "policies" / "cn-consumer-finance.yaml").write_text(text)
    assert load_project(folder).policies["cn-consumer-finance"].noun.brand_name == "自己的名字"
    assert lint_project(load_project(folder)) == []


def test_shipped_templates_are_not_taken_over(folder):
    (folder / "templates" / "come-back.yaml").unlink()
    with pytest.raises(BadFile, match="there is no template come-back"):
        compile_project(load_project(folder))


def test_problems_of_all_files_come_together(folder):
    (folder / "journeys" / "settled-30d.yaml").write_text(JOURNEY.replace("percent: 10", "percent: ten"))
    (folder / "templates" / "come-back.yaml").write_text(TEMPLATE.replace("push:", "pusch:"))
    (folder / "segments" / "quiet.yaml").write_text("schema: recall.segment/v1\nid: quiet\n")
    with pytest.raises(BadFile) as caught:
        load_project(folder)
    assert {Path(problem.file).name for problem in caught.value.problems} == {
        *("settled-30d.yaml", "come-back.yaml", "quiet.yaml")
    }


def test_a_file_is_called_like_its_id(folder):
    (folder / "journeys" / "other.yaml").write_text(JOURNEY)
    with pytest.raises(BadFile) as caught:
        load_project(folder)
    (problem,) = caught.value.problems
    assert (problem.line, problem.message) == (2, "the file is called other.yaml and its id is settled-30d")


def test_a_file_that_would_be_passed_over_is_told(folder):
    (folder / "journeys" / "late.yml").write_text(JOURNEY)
    with pytest.raises(BadFile, match=r"call it late\.yaml"):
        load_project(folder)


def test_a_folder_without_journeys_is_told(tmp_path):
    with pytest.raises(BadFile, match="recall init"):
        load_project(tmp_path)


def test_a_scenario_file_tells_of_the_journey_beside_it(folder):
    text = (SHIPPED / "catalogue" / "settled-30d.scenarios.yaml").read_text()
    (folder / "journeys" / "settled-30d.scenarios.yaml").write_text(text.replace("journey: settled-30d", "journey: x"))
    with pytest.raises(BadFile, match="tells of another journey"):
        load_project(folder)


def test_segments_of_a_project_are_put_into_its_programs(folder):
    (folder / "segments" / "active.yaml").write_text("schema: recall.segment/v1\nid: active\nrule: {did: visited}\n")
    text = JOURNEY.replace("{did_not: loan_drawn, since: loan_settled}", "{segment: active}")
    (folder / "journeys" / "settled-30d.yaml").write_text(text)
    program = compile_project(load_project(folder))["settled-30d"]
    assert program.journey.entry.audience.all[1].did == "visited"


def test_a_journey_by_jurisdiction_names_several_policies():
    assert policy_names(shipped_project().journeys["lapsed-7d"].noun) == [
        "cn-consumer-finance",
        "us-strict",
        "eu-strict",
    ]


def test_reading_a_project_needs_no_database_no_prefect_and_no_pandas():
    code = "import sys; from journeys.project import *; lint_project(shipped_project()); print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], cwd=SHIPPED.parent, capture_output=True, text=True, check=True)
    assert {"prefect", "sqlalchemy", "pandas", "phonenumbers"}.isdisjoint(found.stdout.split())
