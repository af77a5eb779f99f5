"""Does a card go the whole way: past its gate, fetched by the app, shown, dismissed, and gone after the goal?"""

from __future__ import annotations

import pytest

from recall.clock import DAY, MINUTE
from recall.store.connect import Store
from tests.whole.conftest import Begin, Whole
from tests.whole.project import LINK

STEPS = f"""
  - {{in_app: words, id: card, link: "{LINK}"}}
  - {{wait: {{until: {{opened: card}}, at_most: 2d}}}}
  - branch:
      - when: {{opened: card}}
        steps: [{{in_app: words, id: seen, link: "{LINK}"}}]
      - else: [exit]
"""


@pytest.fixture
def whole(begin: Begin, sqlite_store: Store) -> Whole:
    """Two people with a card each."""
    whole = begin(sqlite_store, STEPS, routes={"in_app": {"providers": ["in_app"], "per_second": 500}})
    whole.enter("mei", "lan")
    assert whole.go() == {"card": {"accepted": 2}}
    return whole


def test_a_card_is_fetched_shown_and_dismissed(whole: Whole) -> None:
    (send,) = whole.sends_of("mei")
    with whole.app("mei") as app:
        card = app.get("/in-app/mei").json()["card"]
        assert (card["ref"], card["text"], card["link"]) == (send.ref, send.body, LINK)
        whole.later(MINUTE)
        assert app.post("/in-app/mei", json={"ref": card["ref"], "did": "shown"}).status_code == 204
        assert app.get("/in-app/mei").json()["card"] == card
        whole.later(MINUTE)
        for _ in range(2):
            assert app.post("/in-app/mei", json={"ref": card["ref"], "did": "dismissed"}).status_code == 204
        assert app.get("/in-app/mei").json() == {"card": None}
        assert app.get("/in-app/lan").status_code == 403
        assert app.post("/in-app/mei", json={"ref": whole.sends_of("lan")[0].ref, "did": "shown"}).status_code == 404
    assert whole.receipts_of(send.ref) == [("opened", ""), ("dismissed", "")]

    assert whole.go(15 * MINUTE) == {"seen": {"accepted": 1}}  # being shown woke the journey; lan's still rests
    (send, _) = whole.sends_of("mei")
    assert (send.opened_at, send.dismissed_at) == (send.gate_at + MINUTE, send.gate_at + 2 * MINUTE)
    whole.go(3 * DAY)
    assert [whole.passage(user).end_reason for user in ("mei", "lan")] == ["finished", "finished"]
    assert len(whole.sends_of("lan")) == 1


def test_after_the_goal_no_card_is_shown(whole: Whole) -> None:
    whole.later(MINUTE)
    whole.converts("lan")
    whole.go(MINUTE)
    with whole.app("lan") as app:
        assert app.get("/in-app/lan").json() == {"card": None}
    assert whole.passage("lan").end_reason == "goal_reached"
