"""Does the app of a user see their card, only theirs, and only while it holds?"""

from __future__ import annotations

from typing import Any

import pytest

from recall.clock import DAY, MINUTE
from recall.engine.converge import drain_receipts
from recall.store import schema
from recall.store.controls import ControlKind, set_control
from recall.store.suppressions import suppress_user
from recall.web.signatures import MAX_CARD_SECONDS, sign_card
from tests.web.conftest import API_SECRET, Door

TEMPLATE_CARD = "  - {in_app: come-back}\n"


def bearer(
    door: Door, user: str, *, holds: int = 3600, secret: str = API_SECRET, key: str = "host", of: str = ""
) -> dict[str, str]:
    expires = door.web.wall.now() // 1_000_000 + holds
    return {"authorization": f"Bearer {sign_card(secret, key, of or user, expires)}"}


def ask(door: Door, user: str = "u1", **about: Any) -> Any:
    return door.client.get(f"/in-app/{user}", headers=bearer(door, user, **about))


def did(door: Door, ref: str, what: str, user: str = "u1") -> int:
    body = {"ref": ref, "did": what}
    return int(door.client.post(f"/in-app/{user}", json=body, headers=bearer(door, user)).status_code)


@pytest.fixture
def sent(door: Door) -> Door:
    """A push to u1 that the ledger calls an in-app card: the shipped templates have no card."""
    door.scene.add_user("u1")
    version = door.scene.publish("  - {push: come-back}\n")
    door.scene.enrol(version, "u1")
    door.scene.run()
    with door.scene.store.writing() as connection:
        connection.execute(schema.sends.update().values(channel="in_app", link="example://loan"))
    return door


def test_the_card_is_there_until_it_is_dismissed(sent: Door) -> None:
    card = ask(sent).json()["card"]
    [send] = sent.scene.sends()
    assert (card["ref"], card["text"], card["link"]) == (send.ref, send.body, "example://loan")
    assert did(sent, send.ref, "shown") == 204
    assert did(sent, send.ref, "shown") == 204
    assert ask(sent).json()["card"] is not None
    assert did(sent, send.ref, "dismissed") == 204
    assert ask(sent).json() == {"card": None}  # while the receipt still lies in the inbox
    drain_receipts(sent.scene.setup)
    assert ask(sent).json() == {"card": None}
    [send] = sent.scene.sends()
    assert send.opened_at and send.dismissed_at
    assert [kind for _, kind, _ in sent.receipts()] == ["opened", "dismissed"]


def test_a_clicked_card_is_over(sent: Door) -> None:
    did(sent, sent.scene.sends()[0].ref, "clicked")
    assert ask(sent).json() == {"card": None}


def test_a_card_expires(sent: Door) -> None:
    sent.scene.later(10 * DAY)
    assert ask(sent).json() == {"card": None}


def test_nobody_has_no_card(sent: Door) -> None:
    sent.scene.add_user("u2")
    assert ask(sent, "u2").json() == {"card": None}
    assert ask(sent, "nobody").json() == {"card": None}


@pytest.mark.parametrize("stop", ["kill switch", "paused", "suppressed", "goal", "erased"])
def test_no_card_is_shown_after(sent: Door, stop: str) -> None:
    now = sent.scene.now
    with sent.scene.store.writing() as connection:
        match stop:
            case "kill switch":
                set_control(connection, ControlKind.KILL_SWITCH, "", who="test", why="test", at=now)
            case "paused":
                set_control(connection, ControlKind.PAUSED, "settled-30d", who="test", why="test", at=now)
            case "suppressed":
                suppress_user(connection, sent.scene.store, user="u1", at=now)
            case "goal":
                connection.execute(
                    schema.enrolments.update().values(active=False, ended_at=now, end_reason="goal_reached")
                )
            case _:
                connection.execute(schema.users.update().values(erased_at=now))
    assert ask(sent).json() == {"card": None}


def test_only_a_token_for_this_user_opens_the_door(sent: Door) -> None:
    wrong = [
        bearer(sent, "u1", of="u2"),
        bearer(sent, "u1", secret="another secret of the host"),
        bearer(sent, "u1", key="nobody"),
        bearer(sent, "u1", key="nobody", secret="no such key"),
        bearer(sent, "u1", holds=-1),
        bearer(sent, "u1", holds=MAX_CARD_SECONDS + 60),
        {"authorization": "Bearer host.x.y"},
        {"authorization": "Bearer host.0000000001.y"},
    ]
    assert [sent.client.get("/in-app/u1", headers=each).status_code for each in wrong] == [403] * len(wrong)
    for each in ({}, {"authorization": ""}, {"authorization": "Basic eDp5"}, {"authorization": "Bearer x"}):
        assert sent.client.get("/in-app/u1", headers=each).status_code == 401
        assert sent.client.post("/in-app/u1", json={}, headers=each).status_code == 401


def test_a_user_reports_about_their_own_card_only(sent: Door) -> None:
    sent.scene.add_user("u2")
    assert did(sent, sent.scene.sends()[0].ref, "dismissed", "u2") == 404
    assert did(sent, "no such ref", "dismissed") == 404
    assert sent.receipts() == []


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"1", b'{"ref": "x"}', b'{"ref": {"a": 1}, "did": "shown"}', b'{"ref": "\\u0000", "did": "shown"}'],
)
def test_a_report_nobody_understands_is_refused(sent: Door, body: bytes) -> None:
    assert sent.client.post("/in-app/u1", content=body, headers=bearer(sent, "u1")).status_code == 400


def test_a_user_id_may_hold_anything(sent: Door) -> None:
    user = "a/b c.贷"
    sent.scene.later(MINUTE)
    answer = sent.client.get("/in-app/a%2Fb%20c.%E8%B4%B7", headers=bearer(sent, user))
    assert answer.json() == {"card": None}
