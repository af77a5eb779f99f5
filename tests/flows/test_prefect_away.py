"""Do people get their messages, once each, when Prefect goes away: its server, its database, its workers?

Server and worker are processes of their own here, with the settings `recall up` gives them, so that each can be killed
(SIGKILL). What was sent is read from the provider's own log.
"""

from __future__ import annotations

from collections import Counter

import pytest

from providers.faults import Fail, Fault
from tests.flows.apart import PATIENCE_SECONDS, Apart, kill
from tests.flows.apart import apart as apart

pytestmark = [pytest.mark.prefect, pytest.mark.slow]

CHUNK_MS = 1_500  # the provider takes so long for each chunk of four people


def test_started_twice_in_prefect_and_once_by_hand_at_the_same_time(apart: Apart) -> None:
    people = apart.enrol("three", 12)
    apart.fault(Fault(latency_ms=CHUNK_MS))
    runs = [apart.start("journey-run/story") for _ in range(2)]
    by_hand = apart.by_hand("run", "story")
    ended = [apart.wait(run) for run in runs]
    assert by_hand.wait(PATIENCE_SECONDS) == 0
    assert sorted(run["state_type"] for run in ended) == ["CANCELLED", "COMPLETED"]
    assert "Deployment concurrency limit reached." in {run["state"]["message"] for run in ended}
    assert apart.sent(people) == Counter(people)


def test_a_run_whose_process_dies_again_and_again_is_retried_and_nobody_gets_anything_twice(apart: Apart) -> None:
    """A worker tells of a dead process twice. Where Retry is pressed in between, the second word ends the retried run,
    too (prefect 3.8.8); so it is pressed until the run is green.
    """
    people = apart.enrol("dies", 12)
    apart.fault(Fault(latency_ms=CHUNK_MS))
    run = apart.start("journey-run/story")
    for _ in range(2):
        apart.kill_after_a_chunk(run, people)
        assert apart.wait(run)["state_type"] == "CRASHED"
        apart.start("recall-reconcile/recall")  # it works while the retried run does
        apart.retry(run)
    for _ in range(5):
        if (ended := apart.wait(run))["state_type"] == "COMPLETED":
            break
        apart.retry(run)
    assert ended["state_type"] == "COMPLETED"
    apart.settle()
    assert apart.sent(people) == Counter(people)
    apart.assert_prefect_knows_nobody(people)


def test_while_the_server_is_away_a_run_goes_on_and_nobody_gets_anything_twice(apart: Apart) -> None:
    people, later = apart.enrol("away", 12), apart.enrol("later", 4, step="sms-2")
    apart.fault(Fault(latency_ms=CHUNK_MS))
    run = apart.start("journey-run/story")
    apart.await_more(people)
    kill(apart.server)
    apart.await_all(people)  # the store decides who is due; the server is not asked
    assert apart.sent(later) == {}  # a step is a run of its own, and waits for the server
    log = apart.home / "server.log"
    before = len(log.read_text())
    apart.start_server()
    assert apart.wait(run)["state"]["message"] == "push-1: accepted 12; sms-2: accepted 4"
    assert apart.sent([*people, *later]) == Counter([*people, *later])
    assert apart.slots() == 0
    assert "not found during release" not in log.read_text()[before:]  # it knew who held the slot


def test_worker_and_run_that_die_together_are_told_dead_and_the_next_run_goes_on(apart: Apart) -> None:
    people = apart.enrol("worker", 12)
    apart.fault(Fault(latency_ms=CHUNK_MS))
    with apart.impatient("recall: no heartbeat -> crashed"):
        run = apart.start("journey-run/story")
        apart.await_more(people)
        kill(apart.worker)
        assert (apart.slots(), apart.wait(run, "RUNNING")["state_type"]) == (1, "RUNNING")
        assert apart.wait(run)["state_type"] == "CRASHED"
    assert apart.slots() == 0
    apart.start_worker()
    apart.settle()
    assert apart.sent(people) == Counter(people)


def test_a_run_whose_worker_dies_before_it_begins_gives_its_slot_back(apart: Apart) -> None:
    with apart.impatient("recall: never started -> crashed"):
        run = apart.start("journey-run/story")
        apart.wait(run, "PENDING")
        kill(apart.worker)
        assert apart.slots() == 1
        assert apart.wait(run)["state"]["message"].startswith("not started within")
    assert apart.slots() == 0
    apart.start_worker()


def test_events_of_ours_set_off_their_automations(apart: Apart) -> None:
    with apart.unscheduled("recall-reconcile/recall"):
        apart.enrol("lost", 4)
        apart.fault(Fault(fail=Fail.ACCEPT_THEN_LOSE))
        apart.wait(apart.start("journey-run/story"))
        apart.enrol("down", 4)
        apart.fault(Fault(fail=Fail.CONNECT))
        assert apart.wait(apart.start("journey-run/story"))["state_type"] == "FAILED"
        apart.fault(None)
        apart.await_triggered("recall: doubt raised -> look for evidence")
        apart.await_triggered("recall: provider down")
        assert apart.wait(apart.await_run_by_automation("recall-reconcile"))["state_type"] == "COMPLETED"


def test_a_server_with_an_empty_database_gets_everything_back_by_deploying(apart: Apart) -> None:
    people = apart.enrol("empty", 8)
    before = apart.standing()
    kill(apart.worker)
    kill(apart.server)
    for path in apart.home.glob("prefect.db*"):
        path.unlink()
    apart.start_server()
    apart.recall("deploy", "--limit", "4")
    assert apart.standing() == before
    apart.start_worker()
    assert apart.wait(apart.start("journey-run/story"))["state_type"] == "COMPLETED"
    assert apart.sent(people) == Counter(people)
