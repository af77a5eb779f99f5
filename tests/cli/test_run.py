"""Does `recall run` send what is due, say what it did, and ask for a person when one is needed?"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from journeys.compile import compile_journey
from journeys.loader import read_journey
from journeys.project import SHIPPED
from journeys.templates import load_template
from journeys.words import Outcome
from providers.faults import Fail, Fault, switch_fault
from recall.clock import DAY, HOUR
from recall.engine.spool import spool
from recall.store.ledger import Answer, open_doubts
from recall.store.versions import current_version, publish_version


def _fail(growth, fail: Fail | None) -> None:
    switch_fault(growth.scene.outbox, Fault(fail=fail) if fail else None)


def test_people_enter_and_get_their_first_message(published):
    users = published.treated()
    answer = published.recall("run", "settled-30d", "--enrol", "--json")
    assert answer.code == 0
    journey = answer.data["journeys"]["settled-30d"]
    assert journey["entered"] == {"candidates": 3, "enrolled": 3}
    assert journey["steps"] == {"push-1": {"accepted": 3}}
    assert sorted(published.scene.sent()) == [(user, "push") for user in users]


def test_running_again_sends_nothing(published):
    published.treated()
    published.recall("run", "--enrol")
    assert published.recall("run").out == "Nobody is due.\n"
    assert len(published.scene.sent()) == 3


def test_a_person_reads_what_happened_step_by_step(published):
    published.treated()
    out = published.recall("run", "--enrol").out
    assert "(entering)" in out
    assert "push-1" in out
    assert "accepted" in out


def test_who_came_back_is_counted_and_left_alone(published):
    [user] = published.treated(1)
    published.recall("run", "--enrol")
    published.scene.event(user, "loan_drawn", at=published.scene.now + HOUR)
    published.later(3 * DAY)
    data = published.recall("run", "--json").data["journeys"]["settled-30d"]
    assert (data["came_back"], data["left"], data["steps"]) == (1, {"goal_reached": 1}, {})


def test_without_enrol_nobody_enters(published):
    published.treated()
    assert published.recall("run").out == "Nobody is due.\n"


# --- a dry run ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["option", "setting"])
def test_a_dry_run_says_what_the_gate_would_say_and_changes_nothing(published, how, monkeypatch):
    published.treated()
    published.recall("run", "--enrol")
    published.later(3 * DAY)
    if how == "setting":
        monkeypatch.setenv("RECALL_MODE", "dry-run")
    answer = published.recall("run", "--json", *(["--dry-run"] if how == "option" else []))
    assert answer.data["journeys"]["settled-30d"]["steps"] == {"sms-2": {"go": 3}}
    assert len(published.scene.sent()) == 3
    assert "nothing was sent or written" in published.recall("run", "--dry-run").out


def test_a_dry_run_tells_what_holds_back(published):
    published.treated()
    published.recall("run", "--enrol")
    published.later(3 * DAY)
    published.recall("pause", "settled-30d")
    steps = published.recall("run", "--dry-run", "--json").data["journeys"]["settled-30d"]["steps"]
    assert steps == {"sms-2": {"paused": 3}}
    published.recall("resume", "settled-30d")
    published.later(11 * HOUR)
    steps = published.recall("run", "--dry-run", "--json").data["journeys"]["settled-30d"]["steps"]
    assert steps == {"sms-2": {"outside_window": 3}}


def test_a_dry_run_lets_nobody_in(published):
    answer = published.recall("run", "--dry-run", "--enrol")
    assert answer.code == 2
    assert "a dry run lets nobody in" in answer.err


# --- when a person is needed -----------------------------------------------------------------------------------


def test_a_provider_that_is_down_fails_the_step_and_keeps_everybody_due(published):
    published.treated()
    _fail(published, Fail.CONNECT)
    answer = published.recall("run", "--enrol")
    assert answer.code == 1
    assert "settled-30d/push-1 failed" in answer.out
    _fail(published, None)
    published.later(HOUR)
    assert published.recall("run").code == 0
    assert len(published.scene.sent()) == 3


def test_one_journey_that_cannot_run_does_not_stop_the_others(published):
    published.treated()
    with published.scene.store.writing() as connection:
        journey = (SHIPPED / "catalogue" / "settled-30d.yaml").read_text().replace("id: settled-30d", "id: a-journey")
        noun = read_journey(journey.replace("cn-consumer-finance", "gone").encode(), "a-journey.yaml").noun
        templates = {"come-back": load_template(SHIPPED / "templates" / "come-back.yaml").noun}
        publish_version(connection, compile_journey(noun, templates=templates), now=published.scene.now, who="mei")
    published.scene.enrol(_version(published, "a-journey"), published.people[0])
    answer = published.recall("run", "--json")
    assert answer.code == 1
    assert "policy 'gone', which is not published" in answer.data["failed"]["a-journey"]
    assert "settled-30d" in answer.data["journeys"]


def _version(growth, name: str):
    with growth.scene.store.reading() as connection:
        return current_version(connection, name)


def test_doubts_are_told_and_end_with_1(published):
    published.treated()
    _fail(published, Fail.SERVER_ERROR)
    answer = published.recall("run", "--enrol")
    assert answer.code == 1
    assert "3 messages are in doubt, none is sent again: see `recall reconcile`." in answer.out
    with published.scene.store.reading() as connection:
        assert len(open_doubts(connection)) == 3


def test_answers_kept_while_the_store_was_away_are_brought_back_first(published):
    published.treated(1)
    _fail(published, Fail.SERVER_ERROR)
    published.recall("run", "--enrol")
    [send] = published.scene.sends()
    spool(published.scene.setup.spool_dir, [Answer(send.ref, Outcome.ACCEPTED)])
    assert published.recall("run").code == 0
    assert published.scene.sends()[0].state == "accepted"
    assert os.listdir(published.scene.setup.spool_dir) == []


def test_nothing_published_says_how_to_publish(growth):
    answer = growth.recall("run")
    assert answer.code == 0
    assert "recall journey publish --all" in answer.out


def test_an_unknown_journey_is_told_with_those_there_are(published):
    answer = published.recall("run", "setled-30d")
    assert answer.code == 1
    assert "no journey 'setled-30d' was published; there are: settled-30d" in answer.err


def test_a_store_without_tables_says_how_to_make_them(recall):
    assert "run `recall db migrate`" in recall("run").err


def test_a_provider_nobody_knows_is_refused_at_the_door(published):
    policy = Path("policies/cn-consumer-finance.yaml")
    policy.write_text(policy.read_text().replace("push: {providers: [outbox]", "push: {providers: [no-such]"))
    published.recall("journey", "publish", "--all")
    answer = published.recall("run")
    assert answer.code == 1
    assert "no-such" in answer.err


def test_the_first_day_of_an_adopter(growth):
    """From an empty folder to a message replayed, as the README of a new project goes."""
    assert growth.recall("journey", "lint").code == 0
    assert growth.recall("journey", "test").code == 0
    assert growth.recall("journey", "publish", "--all").code == 0
    [refused, lost] = growth.treated(2)
    switch_fault(growth.scene.outbox, Fault(refuse=frozenset({f"token-{refused}"})))
    assert growth.recall("run", "settled-30d", "--enrol").code == 0
    assert growth.scene.sent() == [(lost, "push")]
    said = [line["outcome"] for line in growth.recall("explain", refused, "--json").data["lines"]]
    assert said[:2] == ["entered", "refused"]
    assert growth.recall("replay", "settled-30d", "--json").data["counts"] == {"unreachable": 1}
    growth.later(3 * DAY)
    _fail(growth, Fail.ACCEPT_THEN_LOSE)
    assert growth.recall("run").code == 1
    assert growth.recall("reconcile").code == 0
    assert sorted(growth.scene.sent()) == sorted([(refused, "sms"), (lost, "push"), (lost, "sms")])
