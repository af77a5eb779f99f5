"""Does a call go the whole way: who calls, what is pressed or said, who is called again, and who never?"""

from __future__ import annotations

import re

import pytest

from journeys.project import shipped_project
from journeys.words import CHANNEL_BIT, Channel
from recall.clock import DAY, HOUR, MINUTE
from recall.store import schema
from recall.store.connect import Store
from tests.whole.conftest import Begin, Whole
from tests.whole.project import LINK
from tests.whole.twilio_speaks import Taken, Twilio, words_of

STEPS = f"""
  - call: words
    attempts: {{max: 2, gap: 1d, retry_when: [machine, busy, no_answer]}}
    on_outcome:
      interested: [{{sms: words, id: details, link: "{LINK}"}}]
      declined: exit
      opt_out: opt_out
  - {{wait: 2d}}
  - {{sms: words, id: last, link: "{LINK}"}}
"""
ROUTES = {
    "call": {"providers": ["twilio_voice"], "per_second": 20},
    "sms": {"providers": ["twilio_sms"], "per_second": 100},
}
NUMBERS = {"mei": "+8613900000011", "lan": "+8613900000012", "wei": "+8613900000013", "bo": "+8613900000014"}


@pytest.fixture
def whole(begin: Begin, sqlite_store: Store, twilio: Twilio) -> Whole:
    """Somebody was just called."""
    both = {name: twilio.options() for name in ("twilio_voice", "twilio_sms")}
    return begin(sqlite_store, STEPS, routes=ROUTES, options=both)


def call(whole: Whole, twilio: Twilio, user: str) -> Taken:
    """One person enters and is called; the vendor's own row."""
    whole.enter(user, phone=NUMBERS[user])
    assert whole.go() == {"call-1": {"accepted": 1}}
    (row,) = twilio.to(NUMBERS[user], prefix="CA")
    whole.later(MINUTE)
    return row


def ended(whole: Whole, user: str) -> str:
    return str(whole.passage(user).end_reason)


def test_the_robot_says_at_once_who_calls_that_it_is_one_and_how_to_stop_it(whole: Whole, twilio: Twilio) -> None:
    twiml = twilio.answered(call(whole, twilio, "mei"))
    first, *rest = words_of(twiml).split("。")
    assert "示例金融" in first
    assert "自动语音来电" in first
    assert any("不再接听此类来电请按9" in sentence for sentence in rest)
    gather = twiml.find("Gather")
    assert gather is not None
    assert gather.attrib["input"] == "dtmf speech"
    assert gather.attrib["action"].startswith(f"{whole.url}/voice/")
    assert gather.find("Say") is not None  # a key is taken while the text is still being said


def test_every_shipped_call_says_so_in_its_first_sentence() -> None:
    texts = [text for each in shipped_project().templates.values() for text in each.noun.call.items()]
    assert texts
    for locale, text in texts:
        first = re.split(r"[。.]", text.body)[0]
        assert "{{ brand }}" in first
        assert {"zh-CN": "自动语音来电", "en": "automated call"}[locale] in first


def test_the_text_may_be_fetched_at_the_address_that_was_given(begin: Begin, sqlite_store: Store, twilio: Twilio):
    synchronous = {"twilio_voice": twilio.options(machine_detection="sync"), "twilio_sms": twilio.options()}
    whole = begin(sqlite_store, STEPS, routes=ROUTES, options=synchronous)
    row = call(whole, twilio, "mei")
    assert "Twiml" not in row["form"]
    assert words_of(twilio.answered(row)) == whole.sends()[0].body
    assert twilio.post(row["form"]["Url"], {"CallSid": str(row["sid"])}, token="another").status_code == 403


def test_key_one_is_interest_and_the_journey_goes_on_with_it(whole: Whole, twilio: Twilio) -> None:
    row = call(whole, twilio, "mei")
    said = twilio.gathered(row, twilio.answered(row), Digits="1")
    assert "感谢" in words_of(said)
    assert said.find("Hangup") is not None
    assert twilio.ended(row).status_code == 200
    assert whole.go(15 * MINUTE) == {"details": {"accepted": 1}}
    (called, details) = whole.sends_of("mei")
    assert (called.answer, called.answered_at) == ("interested", called.gate_at + MINUTE)
    assert whole.receipts_of(called.ref) == [("answered", "interested"), ("delivered", "")]
    assert [text["body"] for text in twilio.to(NUMBERS["mei"])] == [details.body]
    whole.later(HOUR)
    whole.converts("mei")
    whole.go(3 * DAY)
    assert ended(whole, "mei") == "goal_reached"
    assert len(twilio.log) == 2


def test_key_nine_binds_the_number_at_once_for_calls_and_sms(whole: Whole, twilio: Twilio) -> None:
    row = call(whole, twilio, "mei")
    whole.settle("lan", phone=NUMBERS["mei"])  # they share a number
    said = twilio.gathered(row, twilio.answered(row), Digits="9")
    assert "不会再给您拨打" in words_of(said)
    (number,) = [each for each in whole.rows(schema.addresses) if each.value == NUMBERS["mei"]]
    assert number.opted_out & CHANNEL_BIT[Channel.CALL]  # before any run
    assert number.opted_out & CHANNEL_BIT[Channel.SMS]
    assert twilio.ended(row).status_code == 200
    whole.go(15 * MINUTE)
    assert ended(whole, "mei") == "opted_out"
    whole.enter("wei", phone=NUMBERS["wei"])
    for _ in range(7):
        whole.go(DAY)
    assert [each["to"] for each in twilio.log if each["to"] == NUMBERS["mei"]] == [NUMBERS["mei"]]
    assert whole.sends_of("lan") == []
    assert ended(whole, "lan") == "opted_out"
    assert len(twilio.to(NUMBERS["wei"])) == 1  # who said nothing gets the SMS


@pytest.mark.parametrize(
    ("speech", "confidence", "outcome", "end"),
    [
        ("好的，我想了解一下", "0.91", "interested", "finished"),
        ("没兴趣，不需要", "0.88", "declined", "exit_rule"),
        ("别再打了", "0.93", "opt_out", "opted_out"),
        ("别再打了", "0.21", "no_input", "finished"),  # hardly understood: neither a stop nor a yes
        ("", "0.0", "no_input", "finished"),
    ],
)
def test_what_is_said_counts_when_it_was_understood(
    whole: Whole, twilio: Twilio, speech: str, confidence: str, outcome: str, end: str
) -> None:
    row = call(whole, twilio, "mei")
    twilio.gathered(row, twilio.answered(row), SpeechResult=speech, Confidence=confidence)
    assert twilio.ended(row).status_code == 200
    whole.go(15 * MINUTE)
    assert whole.sends_of("mei")[0].answer == outcome
    for _ in range(4):
        whole.go(DAY)
    assert ended(whole, "mei") == end
    assert len(twilio.to(NUMBERS["mei"], prefix="CA")) == 1
    assert len(twilio.to(NUMBERS["mei"])) == {"interested": 2, "no_input": 1}.get(outcome, 0)


def test_a_machine_is_called_again_later_in_a_new_group(whole: Whole, twilio: Twilio) -> None:
    row = call(whole, twilio, "mei")
    assert twilio.detected(row, "machine_start").status_code == 200
    said = twilio.gathered(row, twilio.answered(row), Digits="")  # the mailbox presses nothing
    assert words_of(said) == ""
    assert twilio.ended(row).status_code == 200
    whole.go(15 * MINUTE)
    assert whole.sends_of("mei")[0].answer == "machine"
    assert len(twilio.log) == 1  # not now
    assert whole.go(DAY + 15 * MINUTE) == {"call-1": {"accepted": 1}}
    first, second = whole.sends_of("mei")
    assert (first.step_id, first.grp, second.grp) == (second.step_id, 0, 1)
    assert first.ref != second.ref
    assert second.gate_at - first.gate_at >= DAY
    assert twilio.ended(twilio.log[1], "no-answer").status_code == 200
    whole.go(15 * MINUTE)
    whole.go(3 * DAY)
    assert len(twilio.to(NUMBERS["mei"], prefix="CA")) == 2  # as often as declared, then the journey goes on
    assert len(twilio.to(NUMBERS["mei"])) == 1
