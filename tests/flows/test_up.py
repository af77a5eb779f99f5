"""Does everything work together: server, worker, deployments, and the buttons people press?"""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import pytest

from providers.faults import Fail, Fault
from recall.store import schema
from recall.store.people import NewAddress
from recall.store.versions import current_version
from tests.flows.conftest import Up

pytestmark = pytest.mark.prefect

PHONE, EMAIL = "+8613912345678", "canary@person.example"


def sends_of(up: Up, *users: str) -> Counter[str]:
    """How often the provider took a message for each of these users."""
    return Counter(user for user, _ in up.scene.sent() if user in users)


def enrol(up: Up, journey: str, *users: str, **about: Any) -> None:
    for user in users:
        up.scene.add_user(user, **about)
    with up.scene.store.reading() as connection:
        version = current_version(connection, journey)
    up.scene.enrol(version, *users)


def assert_prefect_knows_nobody(up: Up, *secrets: str) -> None:
    """Parameters, names, states, logs, artifacts, events: whatever Prefect keeps is in its database and its logs."""
    written = b"".join(path.read_bytes() for path in (up.settings.var_dir / "prefect").iterdir() if path.is_file())
    assert b"push-1" in written
    assert [secret for secret in secrets if secret.encode() in written] == []


def test_a_red_run_names_the_step_and_retry_sends_only_what_is_still_due(up: Up):
    enrol(up, "story", "s1", phone=PHONE, email=NewAddress(EMAIL))
    enrol(up, "story", "s2")
    up.fault(Fault(fail=Fail.CONNECT))
    run = up.start("journey-run/story")
    red = up.wait(run)
    assert red["state_type"] == "FAILED"
    assert "push-1 failed: outbox cannot be reached" in red["state"]["message"]
    up.fault(None)
    up.retry(run)
    up.wait(run, "PENDING", "RUNNING", "COMPLETED")
    green = up.wait(run)
    assert (green["state_type"], green["run_count"]) == ("COMPLETED", 2)
    assert sends_of(up, "s1", "s2") == {"s1": 1, "s2": 1}
    assert_prefect_knows_nobody(up, PHONE, PHONE[3:], EMAIL, "token-s1")


def test_retry_beside_an_active_run_is_cancelled_and_loses_nobody(up: Up):
    enrol(up, "story", "s3")
    up.fault(Fault(fail=Fail.CONNECT))
    red = up.wait(up.start("journey-run/story"))
    assert red["state_type"] == "FAILED"
    up.fault(Fault(latency_ms=6_000))
    active = up.start("journey-run/story")
    up.wait(active, "RUNNING")
    late = up.start("journey-run/story")
    up.retry(red["id"])
    for run in (late, red["id"]):
        assert up.wait(run, "CANCELLED")["state"]["message"] == "Deployment concurrency limit reached."
    assert up.wait(active)["state_type"] == "COMPLETED"
    assert sends_of(up, "s3") == {"s3": 1}
    up.fault(None)


def test_lanes_share_a_run_and_everybody_gets_one_message(up: Up):
    enrol(up, "wide", *(f"w{n}" for n in range(20)))
    done = up.wait(up.start("journey-run/wide", journey="wide", lanes=2))
    assert done["state_type"] == "COMPLETED", done["state"]["message"]
    assert "lane 1/2" in done["state"]["message"]
    assert "lane 2/2" in done["state"]["message"]
    assert sends_of(up, *(f"w{n}" for n in range(20))) == {f"w{n}": 1 for n in range(20)}


def test_deployments_are_really_scheduled(up: Up):
    """With SQLAlchemy 2.1 everything looks well, and no run is ever scheduled."""
    story = up.ask("GET", "/deployments/name/journey-run/story")
    wanted = {"deployments": {"id": {"any_": [story["id"]]}}, "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}}
    until = time.monotonic() + 60
    while not up.ask("POST", "/flow_runs/count", **wanted):
        assert time.monotonic() < until
        time.sleep(1)


def test_deploying_again_touches_only_what_is_ours_and_differs(up: Up):
    assert up.recall("deploy", "--dry-run")["unchanged"] == 14
    moved = up.ask("GET", "/deployments/name/journey-run/moved")
    schedule = moved["schedules"][0]
    up.ask("PATCH", f"/deployments/{moved['id']}/schedules/{schedule['id']}", active=False)
    foreign = up.ask("POST", "/deployments/", name="foreign", flow_id=moved["flow_id"], tags=["theirs"])
    up.scene.publish(name="moved", more='run: "5 0 1 1 *"')
    with up.scene.store.writing() as connection:
        connection.execute(schema.journeys.update().filter_by(name="gone").values(retired_at=up.scene.now))

    done = up.recall("deploy")

    assert list(done["changed"]) == ["journey-run/moved"]
    assert done["removed"] == ["journey-enrol/gone", "journey-run/gone"]
    assert done["automations"] == []
    after = up.ask("GET", f"/deployments/{moved['id']}")
    assert [(each["schedule"]["cron"], each["active"]) for each in after["schedules"]] == [("5 0 1 1 *", False)]
    assert up.ask("GET", f"/deployments/{foreign['id']}")["name"] == "foreign"
    assert len(up.ask("POST", "/automations/filter")) == 6


def test_the_replay_form_explains_itself_and_changes_nothing_by_default(up: Up):
    form = up.ask("GET", "/deployments/name/recall-replay/recall")["parameter_openapi_schema"]["properties"]
    assert form["dry_run"]["default"] is True
    assert all(field.get("description") for field in form.values())
