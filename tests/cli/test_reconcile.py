"""Is every doubt listed until evidence or a person settles it, and is nothing sent again blind?"""

from __future__ import annotations

import pytest

from providers.faults import Fail, Fault, switch_fault
from recall.clock import HOUR, MINUTE


def _in_doubt(growth, fail: Fail, count: int = 1) -> list[str]:
    """Refs of messages whose answer was lost."""
    growth.treated(count)
    switch_fault(growth.scene.outbox, Fault(fail=fail))
    growth.recall("run", "--enrol")
    switch_fault(growth.scene.outbox, None)
    return [send.ref for send in growth.scene.sends()]


def _states(growth) -> list[str]:
    return [send.state for send in growth.scene.sends()]


def test_without_doubts_all_is_well(published):
    answer = published.recall("reconcile")
    assert answer.code == 0
    assert "No message is in doubt." in answer.out


def test_what_the_provider_has_in_its_log_was_accepted(published):
    _in_doubt(published, Fail.ACCEPT_THEN_LOSE)
    answer = published.recall("reconcile", "--json")
    assert (answer.code, answer.data["accepted"], answer.data["open"]) == (0, 1, 0)
    assert _states(published) == ["accepted"]


def test_what_is_not_in_the_log_stays_open_until_absence_proves_something(published):
    [ref] = _in_doubt(published, Fail.SERVER_ERROR)
    answer = published.recall("reconcile")
    assert answer.code == 1
    assert ref in answer.out
    assert "recall reconcile --accept REF" in answer.out
    published.later(MINUTE)
    assert published.recall("reconcile", "--json").data["not_sent"] == 1
    assert _states(published) == ["not_sent"]


def test_each_open_doubt_is_listed_without_anything_personal(published):
    [ref] = _in_doubt(published, Fail.SERVER_ERROR)
    answer = published.recall("reconcile", "--json")
    assert answer.data["doubts"] == [
        {
            "ref": ref,
            "journey": "settled-30d",
            "step": "push-1",
            "provider": "outbox",
            "since": "2026-03-02 02:00 UTC",
            "why": "server_error",
        }
    ]


def test_a_person_decides_and_is_named(published):
    taken, lost = _in_doubt(published, Fail.SERVER_ERROR, 2)
    answer = published.recall("reconcile", "--accept", taken, "--not-sent", lost, "--why", "seen in the vendor's log")
    assert answer.code == 0
    assert "2 decided, noted with your name." in answer.out
    assert _states(published) == ["accepted", "not_sent"]
    assert [action for action in published.actions() if action[0].startswith("decide")] == [
        ("decide accepted", taken, "seen in the vendor's log"),
        ("decide not_sent", lost, "seen in the vendor's log"),
    ]


def test_the_others_stay_open_and_the_exit_code_says_so(published):
    taken, other = _in_doubt(published, Fail.SERVER_ERROR, 2)
    answer = published.recall("reconcile", "--accept", taken, "--why", "seen", "--json")
    assert answer.code == 1
    assert [doubt["ref"] for doubt in answer.data["doubts"]] == [other]


def test_one_wrong_ref_decides_nothing(published):
    [ref] = _in_doubt(published, Fail.SERVER_ERROR)
    answer = published.recall("reconcile", "--accept", ref, "--accept", "0" * 24, "--why", "seen")
    assert answer.code == 1
    assert "no message in doubt has the ref '000000000000000000000000'" in answer.err
    assert _states(published) == ["in_doubt"]


def test_what_was_decided_is_not_decided_twice(published):
    [ref] = _in_doubt(published, Fail.SERVER_ERROR)
    published.recall("reconcile", "--not-sent", ref, "--why", "seen")
    answer = published.recall("reconcile", "--accept", ref, "--why", "seen")
    assert answer.code == 1
    assert "no message in doubt" in answer.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--accept", "a"], "say how you know: --why TEXT"),
        (["--accept", "a", "--not-sent", "a", "--why", "x"], "a cannot be both; name each REF once"),
    ],
)
def test_misuse_says_what_to_do(published, arguments, said):
    answer = published.recall("reconcile", *arguments)
    assert answer.code == 2
    assert said in answer.err


def test_what_a_person_calls_not_sent_can_be_replayed(published):
    """The whole way: doubt, a person decides, replay, run; one message in the provider's log."""
    [ref] = _in_doubt(published, Fail.SERVER_ERROR)
    published.recall("reconcile", "--not-sent", ref, "--why", "not in the log")
    published.later(HOUR)
    replayed = published.recall("replay", "settled-30d", "--outcome", "not_sent", "--yes", "--why", "decided", "--json")
    assert replayed.data["replayed"] == 1
    published.recall("run")
    assert [channel for _, channel in published.scene.sent()] == ["push"]
    assert len({send.ref for send in published.scene.sends()}) == 2
