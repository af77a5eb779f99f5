"""Does an SMS go the whole way: file, gate, Twilio, its callbacks, a tap on the link, the conversion, the end?"""

from __future__ import annotations

import re

import pytest

from recall.clock import DAY, HOUR, MINUTE
from recall.store.connect import Store
from tests.providers.vendor import reply, taken
from tests.whole.conftest import Begin, Whole
from tests.whole.project import LINK
from tests.whole.twilio_speaks import Twilio

STEPS = f"""
  - {{sms: words, link: "{LINK}"}}
  - {{wait: 3d}}
  - {{sms: words, link: "{LINK}"}}
"""
ROUTES = {"sms": {"providers": ["twilio_sms"], "per_second": 100}}


@pytest.fixture
def whole(begin: Begin, store: Store, twilio: Twilio) -> Whole:
    """SMS through Twilio, on SQLite and on PostgreSQL."""
    return begin(store, STEPS, routes=ROUTES, options={"twilio_sms": twilio.options()})


def test_from_file_to_conversion(whole: Whole, twilio: Twilio) -> None:
    whole.enter("mei")
    assert whole.go() == {"sms-1": {"accepted": 1}}
    (row,) = twilio.log
    (send,) = whole.sends()
    assert (send.state, send.provider_id, send.body) == ("accepted", row["sid"], row["body"])
    assert len(twilio.vendor.posts) == 1

    whole.later(MINUTE)
    assert twilio.report(row, "sent").status_code == 200
    assert twilio.report(row, "delivered").status_code == 200
    assert twilio.report(row, "delivered").status_code == 200  # Twilio says it again
    assert twilio.post(row["form"]["StatusCallback"], {"AccountSid": "x"}, token="another").status_code == 403
    assert whole.receipts_of(send.ref) == [("delivered", "")]

    whole.later(MINUTE)
    (short,) = re.findall(rf"{whole.url}/l/\S+", row["body"])
    tap = whole.people.get(short)
    assert (tap.status_code, tap.headers["location"]) == (302, LINK)
    assert whole.receipts_of(send.ref) == [("delivered", ""), ("clicked", "")]

    whole.later(HOUR)
    whole.converts("mei", "1000.00")
    drawn_at = whole.now
    whole.later(MINUTE)
    assert whole.run().converged.recalled == 1
    (send,) = whole.sends()
    assert (send.delivered_at, send.clicked_at) == (send.gate_at + MINUTE, send.gate_at + 2 * MINUTE)
    mei = whole.passage("mei")
    assert (mei.end_reason, mei.goal_at, mei.goal_value) == ("goal_reached", drawn_at, 1_000_000_000)

    whole.go(4 * DAY)
    assert len(twilio.vendor.posts) == len(whole.sends()) == 1


def test_who_does_not_come_back_gets_the_second_message_and_the_journey_ends(whole: Whole, twilio: Twilio) -> None:
    whole.enter("mei")
    whole.go()
    assert whole.go(3 * DAY) == {"sms-2": {"accepted": 1}}
    whole.go(DAY)
    assert [path.path.rpartition("/")[2] for path in twilio.vendor.posts] == ["Messages.json"] * 2
    assert whole.passage("mei").end_reason == "finished"


def test_a_stop_that_comes_back_holds_for_everybody_with_the_number(whole: Whole, twilio: Twilio) -> None:
    number = "+8613900000077"
    whole.enter("mei", "lan", phone=number)
    whole.go()
    assert len(twilio.to(number)) == 1  # one number is not written to twice a day
    assert twilio.inbound(f"{whole.url}/hooks/twilio_sms", number, "退订").status_code == 200
    for _ in range(5):
        whole.go(DAY)
    assert len(twilio.vendor.posts) == 1
    assert {whole.passage(user).end_reason for user in ("mei", "lan")} == {"opted_out"}


def test_a_lost_answer_is_proved_by_the_callback_and_never_sent_again(whole: Whole, twilio: Twilio) -> None:
    whole.enter("mei")
    twilio.vendor.behave(taken(reply(502, "<html>Bad Gateway</html>")), times=1)
    whole.go()
    assert [send.state for send in whole.sends()] == ["in_doubt"]
    assert twilio.report(twilio.log[0], "delivered").status_code == 200
    whole.reconcile()
    assert [send.state for send in whole.sends()] == ["accepted"]
    whole.go(DAY)
    assert len(twilio.log) == 1
