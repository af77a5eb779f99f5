"""Does Prefect get the week and yesterday as they are, and do the owners get the page?"""

from __future__ import annotations

import asyncio
import csv
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactCollectionFilter, ArtifactCollectionFilterKey

from flows.review import run_review
from flows.run import run_journey
from providers.faults import Fail, Fault, switch_fault
from recall.clock import DAY, HOUR
from recall.store.connect import Store
from recall.store.controls import ControlKind, set_control
from recall.store.suppressions import opt_out_address
from tests.engine.conftest import Scene

pytestmark = pytest.mark.prefect
OWNERS = "li@example.com, Wang@example.com"
PAGE = Path("var/reviews/2026-03-02.html")


async def artifact(key: str) -> Any:
    async with get_client() as client:
        of_key = ArtifactCollectionFilter(key=ArtifactCollectionFilterKey(any_=[key]))
        found = await client.read_latest_artifacts(artifact_filter=of_key)
    return found[0] if found else None


def review(**given: Any) -> Any:
    return asyncio.run(run_review(**given, return_state=True))


@pytest.fixture
def with_people(scene: Scene) -> Scene:
    """Three who got their push."""
    version = scene.publish()
    for user in ("u1", "u2", "u3"):
        scene.add_user(user)
    scene.enrol(version, "u1", "u2", "u3")
    scene.run()
    return scene


def test_the_week_is_written_with_tables_and_shown_beside_the_run(prefect_server: None, with_people: Scene):
    state = review(lang="zh-CN")
    assert state.message == "var/reviews/2026-03-02.html"
    assert 'lang="zh-CN"' in PAGE.read_text()
    with Path("var/reviews/2026-03-02-tables/assigned.csv").open(encoding="utf-8-sig") as file:
        assert next(row for row in csv.reader(file) if row[0] == "settled-30d")[1] == "3"
    shown = asyncio.run(artifact("recall-review"))
    assert shown.type == "table"
    assert "settled-30d" in shown.data
    assert "too small to tell" in shown.data
    assert with_people.sent() == [(user, "push") for user in ("u1", "u2", "u3")]  # nobody is named: no e-mail


def test_owners_get_the_page_and_nobody_else(prefect_server: None, with_people: Scene, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RECALL_OWNERS", OWNERS)
    monkeypatch.setenv("RECALL_OWNERS_PROVIDER", "outbox")
    state = review()
    assert state.message == "var/reviews/2026-03-02.html · e-mail to owners: accepted 2"
    letters = [letter for letter in with_people.accepted() if letter.channel == "email"]
    assert [letter.address.value for letter in letters] == ["li@example.com", "wang@example.com"]
    assert {letter.html for letter in letters} == {PAGE.read_text()}
    assert "settled-30d: nothing to compare yet" in letters[0].body
    assert "example.com" not in state.message + asyncio.run(artifact("recall-review")).description


def test_an_owner_who_said_stop_and_a_provider_away_are_told(
    prefect_server: None, with_people: Scene, sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("RECALL_OWNERS", OWNERS)
    monkeypatch.setenv("RECALL_OWNERS_PROVIDER", "outbox")
    with sqlite_store.writing() as connection:
        opt_out_address(connection, sqlite_store, kind="email", value="li@example.com", at=with_people.now)
    message = review().message
    assert "accepted 1, not_sent 1" in message
    assert "suppressed or opted out" in message
    switch_fault(with_people.outbox, Fault(fail=Fail.CONFIG))
    assert "the account is not allowed to send" in review().message
    switch_fault(with_people.outbox, None)
    with sqlite_store.writing() as connection:
        set_control(connection, ControlKind.KILL_SWITCH, "", who="test", why="stop", at=with_people.now)
    assert "the kill switch is on" in review().message


def test_the_first_run_of_a_day_tells_how_yesterday_went(prefect_server: None, with_people: Scene):
    with_people.later(DAY)
    with_people.event("u1", "visited", at=with_people.now - HOUR)
    version = with_people.publish(name="wide")
    with_people.add_user("u4")
    with_people.enrol(version, "u4")
    asyncio.run(run_journey("wide", return_state=True))
    first = asyncio.run(artifact("recall-wide-funnel"))
    assert first.type == "markdown"
    assert "| sent | 0 |" in first.data  # nothing of this journey was sent yesterday
    assert "push-1 [push]" in first.data
    with_people.later(HOUR)  # the funnel is counted anew only when that took no more than a hundredth of the time
    with_people.add_user("u5")
    with_people.enrol(version, "u5")
    asyncio.run(run_journey("wide", return_state=True))
    assert asyncio.run(artifact("recall-wide-funnel")).type == "table"
    with_people.later(DAY)
    with_people.add_user("u6")
    with_people.enrol(version, "u6")
    asyncio.run(run_journey("wide", return_state=True))
    again = asyncio.run(artifact("recall-wide-funnel"))
    assert "| sent | 2 |" in again.data
    assert "No alert." in again.data


def test_a_stage_far_below_its_target_stands_first_on_the_artifact(prefect_server: None, scene: Scene):
    more = "funnel: [{stage: drawn, event: loan_drawn, target: 80}]"
    version = scene.publish(name="below", more=more)
    users = [f"u{n}" for n in range(40)]
    for user in users:
        scene.add_user(user)
    scene.enrol(
        version, *users, entered_at=scene.now - HOUR, step_id=version.program.start.node, due_at=scene.now + DAY
    )
    for user in users:
        scene.event(user, "visited", at=scene.now - 60_000_000)
    scene.later(DAY)
    asyncio.run(run_journey("below", return_state=True))
    told = asyncio.run(artifact("recall-below-funnel")).data
    assert "**ALERT** below: drawn: below its target, and not by chance" in told
    assert "| drawn | 0 | 0.0% | 0 |  | 80 % | BELOW TARGET |" in told
    assert asyncio.run(run_review("day", return_state=True)).name == "Alert"
