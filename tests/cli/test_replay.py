"""Is what was missed shown first, sent again only on a person's word, and never to whom it may not go?"""

from __future__ import annotations

import pytest

from providers.faults import Fault, switch_fault
from recall.clock import DAY, HOUR, MINUTE


@pytest.fixture
def missed(published):
    """Three people whose text was refused as content: their first push never reached them."""
    published.treated()
    switch_fault(published.scene.outbox, Fault(refuse_text="额度"))
    published.recall("run", "--enrol")
    switch_fault(published.scene.outbox, None)
    return published


def test_a_preview_shows_what_was_missed_and_what_the_gate_would_say(missed):
    answer = missed.recall("replay", "settled-30d", "--json")
    assert answer.code == 0
    assert answer.data["dry_run"] is True
    assert {row["user"] for row in answer.data["missed"]} == set(missed.people)
    assert {row["outcome"] for row in answer.data["missed"]} == {"refused"}
    assert answer.data["replayed"] == 0


def test_a_preview_changes_nothing(missed):
    out = missed.recall("replay", "settled-30d").out
    assert "Nothing was changed." in out
    assert missed.actions()[-1][0] != "replay"
    assert missed.scene.sent() == []


def test_on_a_persons_word_they_are_due_again_and_go_out_once(missed):
    _allow_template(missed)
    answer = missed.recall("replay", "settled-30d", "--step", "push-1", "--yes", "--why", "text corrected")
    assert answer.code == 0
    assert "3 are due again" in answer.out
    assert {why for verb, _, why in missed.actions() if verb == "replay"} == {"text corrected"}
    again = missed.recall("replay", "settled-30d", "--yes", "--why", "once more", "--json").data
    assert again["replayed"] == 0
    assert missed.recall("run").code == 0
    assert sorted(missed.scene.sent()) == [(user, "push") for user in sorted(missed.people)]
    assert missed.recall("run").out == "Nobody is due.\n"


def _allow_template(growth) -> None:
    """A refusal of content stops the template; here a person has looked at it."""
    from recall.store.controls import ControlKind, clear_control

    with growth.scene.store.writing() as connection:
        for kind, subject in (
            (ControlKind.STOPPED_TEMPLATE, "come-back"),
            (ControlKind.STOPPED_STEP, "settled-30d/push-1"),
        ):
            clear_control(connection, kind, subject, who="mei", why="corrected", at=growth.scene.now)


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (["--user", "nobody"], 0),
        (["--outcome", "skipped"], 0),
        (["--outcome", "refused"], 3),
        (["--reason", "text_not_allowed"], 3),
        (["--reason", "capped"], 0),
        (["--step", "sms-2"], 0),
        (["--since", "30m"], 0),
        (["--since", "3h"], 3),
    ],
)
def test_only_what_is_meant(missed, options, count):
    missed.later(HOUR)
    assert len(missed.recall("replay", "settled-30d", "--json", *options).data["missed"]) == count


def test_what_expired_is_not_sent_again_and_says_why(missed):
    missed.later(4 * DAY)
    missed.recall("run")
    data = missed.recall("replay", "settled-30d", "--step", "push-1", "--yes", "--why", "late", "--json").data
    assert (len(data["missed"]), data["replayed"]) == (3, 0)
    assert all("expired" in row["now"] or "later step" in row["now"] for row in data["missed"])
    assert "None of them may be sent again." in missed.recall("replay", "settled-30d", "--step", "push-1").out


def test_nothing_missed_says_how_to_look_further(published):
    published.later(MINUTE)
    assert "a longer --since looks further back" in published.recall("replay", "settled-30d").out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["settled-30d", "--yes"], 2, "say why: --yes --why TEXT"),
        (["settled-30d", "--since", "yesterday"], 2, "is not a duration; write a whole number and d, h or m"),
        (["settled-30d", "--outcome", "accepted"], 2, "'accepted' is not one of"),
        (["settled-30d", "--step", "sms-9"], 1, "settled-30d has no step 'sms-9'; there are: push-1, sms-2, call-3"),
        (["setled-30d"], 1, "no journey 'setled-30d' was published; there are: settled-30d"),
        ([], 2, "Missing argument 'JOURNEY'"),
    ],
)
def test_misuse_says_what_to_do(published, arguments, code, said):
    answer = published.recall("replay", *arguments)
    assert answer.code == code
    assert said in answer.err
