"""Does the preflight find what would keep messages, or the answers to them, from arriving?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from journeys.words import CHANNEL_BIT, Channel
from recall.engine.preflight import Finding, Preflight
from recall.settings import Settings
from recall.store import schema
from recall.store.people import NewAddress
from tests.engine.conftest import Scene
from tests.engine.conftest import scene as scene
from tests.providers.test_sendgrid_email import KEY, OUR_KEY, Far
from tests.providers.vendor import Reply, Seen

OPTED_OUT = CHANNEL_BIT[Channel.EMAIL]


class Outside(Far):
    """SendGrid, and the world outside our own door."""

    health = Reply(200, {"ok": True})

    def answer(self, seen: Seen) -> Reply:
        return self.health if seen.path == "/healthz" else super().answer(seen)


@pytest.fixture
def outside() -> Iterator[Outside]:
    made = Outside()
    yield made
    made.vendor.close()


def routed(content: dict[str, Any]) -> None:
    """The shipped template has no e-mail; which channel leads to a provider makes no difference here."""
    content["routes"]["sms"] |= {"providers": ["sendgrid_email"], "per_second": 50, "senders": ["a@b.com", "c@b.com"]}


def settings_of(settings: Settings, outside: Outside, **more: Any) -> Settings:
    options = {"api_key": KEY, "webhook_key": OUR_KEY, "sender": "a@b.com", "base_url": outside.vendor.url}
    told = {"provider_options": {"sendgrid_email": options}, "public_url": outside.vendor.url, **more}
    return settings.model_copy(update=told)


def look(scene: Scene, settings: Settings, **more: Any) -> dict[str, Finding]:
    found = list(Preflight(scene.store, settings, scene.clock).examine(**more))
    return {finding.name: finding for finding in found}


def test_with_everything_in_place_nothing_is_wrong(scene: Scene, settings: Settings, outside: Outside):
    scene.publish("  - {sms: come-back}\n", policy=routed)
    found = look(scene, settings_of(settings, outside))
    assert [finding for finding in found.values() if not finding.ok] == []
    assert {"sendgrid_email: key", "sendgrid_email: suppression lists", "webhooks"} <= found.keys()
    assert found["prices of cn-consumer-finance"].detail.startswith("one price in CNY")


def test_where_nobody_real_is_messaged_nobody_is_asked(scene: Scene, settings: Settings):
    scene.publish("  - {sms: come-back}\n")
    assert look(scene, settings) == {}


def test_a_provider_without_its_options_is_told(scene: Scene, settings: Settings):
    scene.publish("  - {sms: come-back}\n", policy=routed)
    found = look(scene, settings)
    assert not found["sendgrid_email"].ok
    assert "api_key" in found["sendgrid_email"].detail


@pytest.mark.parametrize(
    ("health", "says"),
    [(Reply(502, "<html>"), "answers 502"), (Reply(200, "<html>"), "not as recall does"), (Reply(200, {}), "not as")],
)
def test_a_door_that_leads_elsewhere_is_told(
    scene: Scene, settings: Settings, outside: Outside, health: Reply, says: str
):
    scene.publish("  - {sms: come-back}\n", policy=routed)
    outside.health = health
    found = look(scene, settings_of(settings, outside))["webhooks"]
    assert (found.ok, says in found.detail) == (False, True)


@pytest.mark.parametrize(("url", "says"), [("", "RECALL_PUBLIC_URL"), ("http://127.0.0.1:9", "does not answer")])
def test_a_door_nobody_reaches_is_told(scene: Scene, settings: Settings, outside: Outside, url: str, says: str):
    scene.publish("  - {sms: come-back}\n", policy=routed)
    found = look(scene, settings_of(settings, outside, public_url=url))["webhooks"]
    assert (found.ok, says in found.detail) == (False, True)


def test_a_channel_without_a_price_is_told(scene: Scene, settings: Settings, outside: Outside):
    def unpriced(content: dict[str, Any]) -> None:
        routed(content)
        content["prices"]["prices"] = []

    scene.publish("  - {sms: come-back}\n  - {wait: 1d}\n  - {call: come-back}\n", policy=unpriced)
    found = look(scene, settings_of(settings, outside))["prices of cn-consumer-finance"]
    assert (found.ok, "sms, call" in found.detail) == (False, True)


def test_what_is_due_takes_as_long_as_its_senders_need(scene: Scene, settings: Settings, outside: Outside):
    version = scene.publish("  - {sms: come-back}\n", policy=routed)
    scene.add_user("u1")
    scene.enrol(version, "u1")
    steps = look(scene, settings_of(settings, outside))
    assert steps["time of settled-30d/sms-1"].detail.startswith("1 messages take 0.0 hours")
    asked = look(scene, settings_of(settings, outside), messages=3_600_000)
    assert asked["time of cn-consumer-finance/sms"].detail == (
        "3600000 messages take 10.0 hours: sendgrid_email, 2 senders, 50 a second each"
    )


def test_the_providers_lists_bind_and_pulling_them_again_changes_nothing(
    scene: Scene, settings: Settings, outside: Outside
):
    scene.publish("  - {sms: come-back}\n", policy=routed)
    scene.add_user("u1", email=NewAddress("known@example.com"))
    outside.lists["bounces"] = [{"email": "KNOWN@example.com", "created": 1_700_000_000}, {"email": "x@example.com"}]
    outside.lists["unsubscribes"] = [{"email": "later@example.com", "created": 1_700_000_000}]
    outside.lists["spam_reports"] = [{"email": "angry@example.com"}]
    name = "sendgrid_email: suppression lists"
    first = look(scene, settings_of(settings, outside))[name].detail
    assert first == "4 entries read, 2 new opt-outs, 1 addresses newly known not to work"
    kept = rows(scene)
    again = look(scene, settings_of(settings, outside))[name].detail
    assert again == "4 entries read, 0 new opt-outs, 0 addresses newly known not to work"
    assert rows(scene) == kept
    scene.add_user("u2", email=NewAddress("later@example.com"))
    addresses = {row.value: row for row in rows(scene)[1]}
    assert addresses["known@example.com"].unreachable == "address:bounced"
    assert addresses["later@example.com"].opted_out & OPTED_OUT


def rows(scene: Scene) -> list[list[Any]]:
    with scene.store.reading() as connection:
        return [list(connection.execute(each.select())) for each in (schema.suppressions, schema.addresses)]


def test_a_list_that_is_not_handed_out_is_told(scene: Scene, settings: Settings, outside: Outside):
    scene.publish("  - {sms: come-back}\n", policy=routed)
    outside.lists = None  # type: ignore[assignment]  # whatever it stumbles over is no answer
    found = look(scene, settings_of(settings, outside))
    assert not found["sendgrid_email: suppressions"].ok
