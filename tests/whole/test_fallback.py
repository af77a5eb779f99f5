"""Does one journey reach everybody by the first way that reaches them: push, else SMS, else a call?

Where Firebase does not reach phones (mainland China), the same step goes through JPush: the policy of the jurisdiction
says by which vendor.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from recall.clock import MINUTE
from recall.store import schema
from recall.store.connect import Store
from recall.store.people import NewAddress
from tests.providers.test_fcm_push import Far, account
from tests.providers.vendor import Reply, Seen, Vendor
from tests.whole.conftest import Begin, Whole
from tests.whole.project import LINK
from tests.whole.twilio_speaks import Twilio

STEPS = f"""
  - push: words
    link: "{LINK}"
    else:
      sms: words
      link: "{LINK}"
      else: {{call: words}}
"""
PHONES = {
    "sms": {"providers": ["twilio_sms"], "per_second": 100},
    "call": {"providers": ["twilio_voice"], "per_second": 20},
}
UNINSTALLED = "a-registration-id-of-nobody"


class Jpush(Vendor):
    """JPush: hands out cids, pushes, and knows who has uninstalled."""

    def __init__(self) -> None:
        self.pushed: list[str] = []
        super().__init__(self._answer_to)

    def _answer_to(self, seen: Seen) -> Reply:
        if seen.method == "GET":
            return Reply(200, {"cidlist": [f"cid-{len(self.seen)}-{n}" for n in range(int(seen.query["count"]))]})
        (phone,) = seen.json()["audience"]["registration_id"]
        if phone == UNINSTALLED:
            return Reply(400, {"error": {"code": 1011, "message": "cannot find user by this audience"}})
        self.pushed.append(phone)
        return Reply(200, {"sendno": "0", "msg_id": str(len(self.pushed))})


@pytest.fixture
def jpush() -> Iterator[Jpush]:
    far = Jpush()
    yield far
    far.close()


@pytest.fixture
def fcm() -> Iterator[Far]:
    far = Far()
    yield far
    far.close()


@pytest.fixture
def whole(begin: Begin, sqlite_store: Store, jpush: Jpush, fcm: Far, twilio: Twilio) -> Whole:
    """One journey, two countries: JPush in one, Firebase in the other."""
    options = {
        "jpush-cn": {
            "kind": "http_gateway",
            "profile": "jpush",
            "base_url": jpush.url,
            "app_key": "appkey",
            "master_secret": "a secret of jpush",
        },
        "fcm_push": {"credentials": account(fcm), "base_url": fcm.vendor.url},
        **{name: twilio.options() for name in ("twilio_sms", "twilio_voice")},
    }
    china = {"push": {"providers": ["jpush-cn"], "per_second": 100}, **PHONES}
    abroad = {"push": {"providers": ["fcm_push"], "per_second": 500}, **PHONES}
    return begin(sqlite_store, STEPS, routes=china, abroad=abroad, options=options)


def channels(whole: Whole, user: str) -> list[tuple[str, str, str]]:
    return [(send.channel, send.provider, send.state) for send in whole.sends_of(user)]


def test_each_gets_one_message_by_the_first_way_that_reaches_them(
    whole: Whole, jpush: Jpush, fcm: Far, twilio: Twilio
) -> None:
    whole.settle("app-cn", push=NewAddress("reg-of-app-cn", subkind="jpush_regid"))
    whole.settle(
        "app-us",
        push=NewAddress("token-of-app-us", subkind="fcm_token"),
        phone="+14155550123",
        region="US",
        zone="America/Los_Angeles",
        jurisdiction="US",
    )
    whole.settle("gone", push=NewAddress(UNINSTALLED, subkind="jpush_regid"))
    whole.settle("never", push=None)
    whole.settle("called", push=None, consents=("call",))
    whole.settle("nothing", push=None, consents=())
    whole.enter()
    for _ in range(5):
        whole.go(15 * MINUTE)
    assert channels(whole, "app-cn") == [("push", "jpush-cn", "accepted")]
    assert channels(whole, "app-us") == [("push", "fcm_push", "accepted")]
    assert channels(whole, "gone") == [("push", "jpush-cn", "refused"), ("sms", "twilio_sms", "accepted")]
    assert channels(whole, "never") == [("sms", "twilio_sms", "accepted")]
    assert channels(whole, "called") == [("call", "twilio_voice", "accepted")]
    assert channels(whole, "nothing") == []
    assert whole.passage("nothing").end_reason is not None
    assert jpush.pushed == ["reg-of-app-cn"]
    assert [seen.json()["message"]["token"] for seen in fcm.vendor.posts] == ["token-of-app-us"]
    assert sorted(str(row["sid"])[:2] for row in twilio.log) == ["CA", "SM", "SM"]


def test_who_uninstalled_is_not_asked_for_again(whole: Whole, jpush: Jpush) -> None:
    whole.settle("gone", push=NewAddress(UNINSTALLED, subkind="jpush_regid"))
    whole.enter()
    whole.go()
    (address,) = [row for row in whole.rows(schema.addresses) if row.kind == "push"]
    assert address.unreachable == "1011"
    posts = len(jpush.posts)
    whole.go(15 * MINUTE)
    assert len(jpush.posts) == posts
