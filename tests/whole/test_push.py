"""Does a push go the whole way: Google's token, FCM, a dead token that turns into an SMS, a return told by the app?"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from recall.clock import DAY, HOUR, MINUTE
from recall.store import schema
from recall.store.connect import Store
from recall.store.people import NewAddress
from tests.providers.test_fcm_push import DEAD, Far, account
from tests.whole.conftest import Begin, Whole
from tests.whole.project import LINK
from tests.whole.twilio_speaks import Twilio

STEPS = f"""
  - {{push: words, link: "{LINK}", else: {{sms: words, link: "{LINK}"}}}}
  - {{wait: 3d}}
  - {{push: words, link: "{LINK}", else: {{sms: words, link: "{LINK}"}}}}
"""
ROUTES = {
    "push": {"providers": ["fcm_push"], "per_second": 500},
    "sms": {"providers": ["twilio_sms"], "per_second": 100},
}


@pytest.fixture
def fcm() -> Iterator[Far]:
    far = Far()
    yield far
    far.close()


@pytest.fixture
def whole(begin: Begin, sqlite_store: Store, fcm: Far, twilio: Twilio) -> Whole:
    """Two people with the app; the token of one is dead."""
    firebase = {"credentials": account(fcm), "base_url": fcm.vendor.url}
    whole = begin(sqlite_store, STEPS, routes=ROUTES, options={"fcm_push": firebase, "twilio_sms": twilio.options()})
    whole.settle("mei")
    whole.settle("lan", push=NewAddress(DEAD, subkind="fcm_token"))
    whole.enter()
    return whole


def test_a_dead_token_falls_back_to_sms_and_the_other_comes_back(whole: Whole, fcm: Far, twilio: Twilio) -> None:
    assert whole.go() == {"push-1": {"accepted": 1, "refused": 1}}
    assert fcm.given == 1  # one access token for the batch
    assert len(fcm.vendor.posts) == 2
    mine = next(seen.json()["message"] for seen in fcm.vendor.posts if seen.json()["message"]["token"] != DEAD)
    (push,) = whole.sends_of("mei")
    assert mine["data"] == {"ref": push.ref, "link": LINK}
    assert {row.value: row.unreachable is None for row in whole.rows(schema.addresses) if row.kind == "push"} == {
        "token-mei": True,
        DEAD: False,
    }

    assert whole.go(15 * MINUTE) == {"push-1-else": {"accepted": 1}}
    assert [(send.channel, send.state) for send in whole.sends_of("lan")] == [("push", "refused"), ("sms", "accepted")]
    assert [row["body"] for row in twilio.log] == [whole.sends_of("lan")[1].body]

    whole.later(HOUR)
    whole.converts("mei")
    assert whole.go(3 * DAY) == {"push-2": {"unreachable": 1}}  # the dead token is not asked again
    assert whole.go(15 * MINUTE) == {"push-2-else": {"accepted": 1}}
    assert len(fcm.vendor.posts) == 2
    assert len(twilio.log) == 2
    assert whole.passage("mei").end_reason == "goal_reached"
    assert whole.passage("mei").goal_at == push.gate_at + HOUR + 15 * MINUTE


def test_a_new_token_is_pushed_to_again(whole: Whole, fcm: Far, twilio: Twilio) -> None:
    whole.go()
    whole.go(15 * MINUTE)
    whole.add_user("lan", push=NewAddress("token-of-a-new-phone", subkind="fcm_token"))
    assert whole.go(3 * DAY) == {"push-2": {"accepted": 2}}
    assert [seen.json()["message"]["token"] for seen in fcm.vendor.posts[2:]] == ["token-mei", "token-of-a-new-phone"]
