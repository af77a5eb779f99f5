"""Do the journeys' schedules reach prefect.yaml, and does the file in the repository say what the catalogue says?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from flows.deployments import FLOWS, full_name, to_yaml, wanted
from journeys.journey import Journey
from journeys.project import shipped_project
from recall.cli.main import run

ROOT = Path(__file__).parents[2]


def shipped() -> list[Journey]:
    return [journey.noun for journey in shipped_project().journeys.values()]


def changed(**values: Any) -> Journey:
    return shipped()[0].model_copy(update=values)


def test_the_committed_prefect_yaml_is_the_one_of_the_shipped_catalogue():
    written = (ROOT / "prefect.yaml").read_text("utf-8")
    assert written == to_yaml(wanted(shipped())), "write it anew: recall deploy --files --write-only"


def test_each_journey_is_run_and_enrolled_by_its_own_schedules_one_at_a_time():
    journey = changed(id="mine", run="*/10 9-20 * * *", zone="Europe/Berlin")
    first, second = wanted([journey])[:2]
    assert [full_name(entry) for entry in (first, second)] == ["journey-run/mine", "journey-enrol/mine"]
    assert first["schedules"] == [{"cron": "*/10 9-20 * * *", "timezone": "Europe/Berlin", "slug": "run"}]
    assert second["schedules"][0]["cron"] == journey.entry.schedule
    assert first["parameters"] == {"journey": "mine"}
    assert first["concurrency_limit"] == {"limit": 1, "collision_strategy": "CANCEL_NEW"}


def test_lanes_get_a_deployment_without_a_limit_only_where_there_are_several():
    names = [full_name(entry) for entry in wanted([changed(id="mine", lanes=3)])]
    assert "journey-lane/mine" in names
    run, _, lane, *_ = wanted([changed(id="mine", lanes=3)])
    assert run["parameters"] == {"journey": "mine", "lanes": 3}
    assert "concurrency_limit" not in lane
    assert not any(name.startswith("journey-lane") for name in map(full_name, wanted([changed(lanes=1)])))


def test_a_title_cannot_reach_for_a_block_of_prefect():
    text = to_yaml(wanted([changed(title="{{ prefect.blocks.secret.key }}")]))
    assert "{{" not in yaml.safe_load(text)["deployments"][0]["description"]


def test_the_names_of_the_flows_are_those_prefect_will_use():
    from importlib import import_module

    for entrypoint, name in FLOWS.items():
        module, _, function = entrypoint.rpartition(".")
        assert getattr(import_module(module), function).name == name


def test_writing_the_file_needs_no_store_and_no_server(tmp_path: Path):
    assert run(["deploy", "--files", "--write-only"]) == 0
    assert (tmp_path / "prefect.yaml").read_text("utf-8") == to_yaml(wanted(shipped()))
    assert list(tmp_path.iterdir()) == [tmp_path / "prefect.yaml"]


def test_a_prefect_yaml_of_somebody_else_is_left_alone(tmp_path: Path, capsys: Any):
    (tmp_path / "prefect.yaml").write_text("name: theirs\n")
    assert run(["deploy", "--files", "--write-only"]) == 1
    assert "was not written by `recall deploy`" in capsys.readouterr().err
    assert (tmp_path / "prefect.yaml").read_text() == "name: theirs\n"


def test_without_a_server_a_person_is_told_to_name_one(capsys: Any):
    assert run(["deploy", "--files", "--dry-run"]) == 1
    assert "PREFECT_API_URL" in capsys.readouterr().err


def test_strangers_do_not_reach_a_server_without_a_password(capsys: Any):
    assert run(["up", "--host", "0.0.0.0"]) == 1
    assert "PREFECT_SERVER_API_AUTH_STRING" in capsys.readouterr().err
