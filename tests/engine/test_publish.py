"""Is a project published whole or not at all, and the same content only once?"""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from journeys.project import Project, load_project, shipped_project
from recall.clock import DAY, Instant
from recall.engine.publish import is_published, publish_project
from recall.errors import BadFile, Misconfigured
from recall.store.connect import Store
from recall.store.policies import live_policies
from recall.store.published import numbered_version, published_versions
from recall.store.versions import published_journeys


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with two journeys under one policy, and a policy nobody names."""
    from recall.cli.init_files import files_of

    for name, content in files_of(["settled-30d", "granted-7d"]).items():
        path = tmp_path / "growth" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    us = Path(shipped_project().policies["us-strict"].file)
    (tmp_path / "growth" / "policies" / "us-strict.yaml").write_text(us.read_text())
    return tmp_path / "growth"


def _change(path: Path, old: str, new: str) -> Project:
    content = path.read_text()
    assert old in content
    path.write_text(content.replace(old, new, 1))
    return load_project(path.parents[1])


def _publish(store: Store, project: Project, now: Instant, **options):
    return publish_project(store, project, now=now, who="mei", **options)


def _names(versions):
    return [(version.name, version.number) for version in versions]


def test_everything_is_published_at_once_and_only_once(store: Store, folder: Path, now: Instant):
    project = load_project(folder)
    done = _publish(store, project, now)
    assert _names(done.new) == [("granted-7d", 1), ("settled-30d", 1)]
    assert done.policies == ["cn-consumer-finance", "us-strict"]
    again = _publish(store, project, now + DAY)
    assert (again.new, again.policies) == ([], [])
    assert _names(again.unchanged) == _names(done.new)


def test_one_journey_brings_the_policies_it_names_and_no_others(store: Store, folder: Path, now: Instant):
    done = _publish(store, load_project(folder), now, only=["settled-30d"])
    assert _names(done.new) == [("settled-30d", 1)]
    with store.reading() as connection:
        assert list(live_policies(connection)) == ["cn-consumer-finance"]


def test_a_changed_text_is_a_new_version_of_the_journeys_that_send_it(store: Store, folder: Path, now: Instant):
    _publish(store, load_project(folder), now)
    done = _publish(store, _change(folder / "templates/come-back.yaml", "您的额度仍然可用", "欢迎回来"), now + DAY)
    assert _names(done.new) == [("settled-30d", 2)]
    assert _names(done.unchanged) == [("granted-7d", 1)]


def test_content_that_was_published_before_becomes_current_again(store: Store, folder: Path, now: Instant):
    _publish(store, load_project(folder), now)
    journey = folder / "journeys/settled-30d.yaml"
    _publish(store, _change(journey, "percent: 10", "percent: 20"), now + DAY)
    done = _publish(store, _change(journey, "percent: 20", "percent: 10"), now + 2 * DAY)
    assert _names(done.new) == [("settled-30d", 1)]
    with store.reading() as connection:
        versions = published_versions(connection, "settled-30d")
        assert [(v.number, v.at, v.who, v.is_current) for v in versions] == [
            (1, now, "mei", True),
            (2, now + DAY, "mei", False),
        ]
        assert numbered_version(connection, "settled-30d", None).number == 1
        assert numbered_version(connection, "settled-30d", 2).number == 2


def test_a_changed_policy_is_in_force_without_a_new_version(store: Store, folder: Path, now: Instant):
    _publish(store, load_project(folder), now)
    done = _publish(store, _change(folder / "policies/cn-consumer-finance.yaml", "sends: 3", "sends: 2"), now)
    assert (done.new, done.policies) == ([], ["cn-consumer-finance"])


def test_a_lint_error_in_any_file_publishes_nothing(store: Store, folder: Path, now: Instant):
    project = _change(folder / "journeys/granted-7d.yaml", "percent: 10", "percent: 100")
    with pytest.raises(BadFile, match=r"granted-7d\.yaml:\d+ .*everybody is held out"):
        _publish(store, project, now, only=["settled-30d"])
    with store.reading() as connection:
        assert published_journeys(connection) == []
        assert live_policies(connection) == {}


def test_a_journey_that_is_not_there_is_refused(store: Store, folder: Path, now: Instant):
    with pytest.raises(Misconfigured, match="there is no journey 'granted-8d' in this project; there are: granted-7d"):
        _publish(store, load_project(folder), now, only=["settled-30d", "granted-8d"])
    with store.reading() as connection:
        assert published_journeys(connection) == []


def test_what_left_the_project_goes_on_and_is_told(store: Store, folder: Path, now: Instant):
    _publish(store, load_project(folder), now)
    for path in folder.glob("journeys/granted-7d.*"):
        path.unlink()
    assert _publish(store, load_project(folder), now).left == ["granted-7d"]
    with store.reading() as connection:
        assert [version.name for version in published_journeys(connection)] == ["granted-7d", "settled-30d"]


def test_who_published_what_stands_in_the_audit(store: Store, folder: Path, now: Instant):
    _publish(store, load_project(folder), now, only=["settled-30d"])
    with store.reading() as connection:
        rows = connection.execute(text("select at, who, verb, subject from operator_actions order by id"))
        assert [tuple(row) for row in rows] == [
            (now, "mei", "publish policy", "cn-consumer-finance"),
            (now, "mei", "publish journey", "settled-30d version 1"),
        ]


def test_a_program_is_recognised_when_it_is_published_already(store: Store, now: Instant):
    """Of every shipped journey: a program survives the way into the store and back."""
    from journeys.project import compile_project

    project = shipped_project()
    programs = compile_project(project)
    _publish(store, project, now)
    with store.reading() as connection:
        versions = {version.name: version for version in published_journeys(connection)}
    assert {name for name, program in programs.items() if is_published(program, versions[name])} == set(programs)
    assert not is_published(programs["granted-7d"], versions["settled-30d"])


def test_a_version_that_was_never_published_is_told_with_those_that_were(store: Store, folder: Path, now: Instant):
    _publish(store, load_project(folder), now)
    with store.reading() as connection:
        with pytest.raises(Misconfigured, match="settled-30d has no version 3; there are: 1"):
            numbered_version(connection, "settled-30d", 3)
        with pytest.raises(Misconfigured, match="no journey 'other' is published"):
            numbered_version(connection, "other", None)
