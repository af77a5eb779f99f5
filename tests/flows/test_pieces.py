"""Do the other flows say what they did, and does no text of an error reach Prefect as it came?"""

from __future__ import annotations

import asyncio
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from prefect.states import Completed, Failed

from flows.approve import run_approve
from flows.enrol import run_enrol
from flows.intake import run_intake
from flows.reconcile import run_reconcile
from flows.replay import run_replay
from flows.step import to_done
from journeys.words import SendState
from providers.faults import Fail, Fault, switch_fault
from recall.clock import DAY
from recall.errors import BadFile, Misconfigured, RecallError, Transient
from recall.store import schema
from recall.store.controls import read_controls
from tasks.edge import edge
from tasks.retrying import pauses, worth_retrying
from tasks.turn import Due
from tests.engine.conftest import Scene

PHONE = "+8613912345678"


def state_of(flow: Any, **given: Any) -> Any:
    return asyncio.run(flow(**given, return_state=True))


# --- flows --------------------------------------------------------------------------------------------------


@pytest.mark.prefect
def test_enrolling_counts_who_came_and_who_did_not(prefect_server: None, scene: Scene):
    scene.publish()
    scene.add_user("u1")
    scene.event("u1", "loan_settled", at=scene.now - 40 * DAY)
    state = state_of(run_enrol, journey="settled-30d")
    assert state.message == "1 candidates: enrolled 1"
    assert state_of(run_enrol, journey="settled-30d").name == "Idle"


@pytest.mark.prefect
def test_replay_shows_first_and_makes_due_only_when_told(prefect_server: None, scene: Scene):
    version = scene.publish()
    scene.add_user("u1")
    scene.enrol(version, "u1")
    switch_fault(scene.outbox, Fault(refuse=frozenset({"token-u1"})))
    scene.run()
    switch_fault(scene.outbox, None)
    wanted = {"journey": "settled-30d", "outcome": "refused", "since": date(2026, 3, 2)}
    for _ in range(2):
        assert state_of(run_replay, **wanted).message.startswith("1 missed; nothing was changed")
    nothing = "0 missed; nothing was changed"
    assert state_of(run_replay, **wanted, step="sms-2").message == nothing
    assert state_of(run_replay, **wanted | {"since": date(2026, 3, 3)}).message == nothing
    assert state_of(run_replay, **wanted, dry_run=False).message.startswith("1 missed, 1 due again")


@pytest.mark.prefect
def test_reconciling_says_what_evidence_settled(prefect_server: None, scene: Scene):
    assert state_of(run_reconcile).name == "Idle"
    version = scene.publish()
    scene.add_user("u1")
    scene.enrol(version, "u1")
    switch_fault(scene.outbox, Fault(fail=Fail.ACCEPT_THEN_LOSE))
    scene.run()
    assert [send.state for send in scene.sends()] == [SendState.IN_DOUBT]
    assert "accepted 1" in state_of(run_reconcile).message
    assert [send.state for send in scene.sends()] == [SendState.ACCEPTED]


@pytest.mark.prefect
def test_an_untouched_approval_form_approves_nothing(prefect_server: None, scene: Scene):
    version = scene.publish(more="approval: true")
    assert state_of(run_approve, plan=version.hash[:12]).message == "settled-30d version 1 may not send"
    assert approved(scene) == set()
    state_of(run_approve, plan=version.hash[:12], approved=True, reason="looked at by two people")
    assert approved(scene) == {version.hash}
    state_of(run_approve, plan=version.hash, reason="wrong coupon")
    assert approved(scene) == set()


@pytest.mark.prefect
def test_an_approval_names_exactly_one_published_version(prefect_server: None, scene: Scene):
    version = scene.publish()
    for plan in ("", version.hash[:7], "0123456789"):
        with pytest.raises(Misconfigured, match="no published journey has this plan hash"):
            asyncio.run(run_approve(plan=plan, approved=True))


def approved(scene: Scene) -> set[str]:
    with scene.store.reading() as connection:
        return set(read_controls(connection).approved)


@pytest.mark.prefect
def test_a_file_is_read_once_and_rejects_are_said(prefect_server: None, scene: Scene, tmp_path: Path):
    (tmp_path / "users.csv").write_text(f"user,phone\nu1,{PHONE}\nu2,nonsense\n")
    state = state_of(run_intake, kind="users", path="users.csv")
    assert (state.name, state.message.split(";")[0]) == ("Rejects", "users: read 2, added 1, rejected 1")
    assert PHONE not in state.message


@pytest.mark.prefect
@pytest.mark.parametrize("path", ["../other/users.csv", "/etc/hostname", "nothing.csv"])
def test_only_files_of_the_project_are_read(prefect_server: None, scene: Scene, path: str):
    with pytest.raises(Misconfigured, match="project folder"):
        asyncio.run(run_intake(kind="users", path=path))


def test_a_state_that_comes_back_from_the_server_without_our_data_is_no_failure():
    due = Due("push-1", "push", version=1, users=3, batches=1, batch_size=3)
    done = asyncio.run(to_done(Completed(message="accepted 3"), due))
    assert (done.failure, done.text) == ("", "accepted 3")
    assert asyncio.run(to_done(Failed(message="push-1: outbox is away"), due)).failure.endswith("outbox is away")


# --- the edge -----------------------------------------------------------------------------------------------


def test_the_text_of_a_foreign_error_stays_inside(scene: Scene):
    with pytest.raises(RecallError) as caught, edge("a batch"), scene.store.writing() as connection:
        connection.execute(schema.facts.insert().values(name=PHONE, value=None))
    text = str(caught.value)
    assert text.startswith("a batch: stopped by something unforeseen (IntegrityError at ")
    assert PHONE not in text
    assert caught.value.__suppress_context__


def test_our_own_errors_pass_the_edge_without_their_causes():
    with pytest.raises(Transient, match="the gateway is away") as caught, edge("a batch"):
        try:
            raise ValueError(PHONE)
        except ValueError as error:
            raise Transient("the gateway is away") from error
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_bad_files_keep_their_problems():
    with pytest.raises(BadFile), edge("intake"):
        raise BadFile([])


# --- trying again -------------------------------------------------------------------------------------------


class Ended:
    """A state as far as the condition looks at it."""

    def __init__(self, value: object) -> None:
        self.value = value

    def result(self, *, raise_on_failure: bool) -> object:
        return self.value


@pytest.mark.parametrize(
    ("error", "worth"),
    [(Transient("away"), True), (RecallError("unforeseen"), False), (Misconfigured("key"), False), (None, False)],
)
def test_only_what_is_known_not_to_have_happened_is_tried_again(error: object, worth: bool):
    assert worth_retrying(None, None, Ended(error)) is worth  # type: ignore[arg-type]  # looks at the state alone


def test_pauses_double():
    assert pauses(10.0)(3) == [10.0, 20.0, 40.0]
