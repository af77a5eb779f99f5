"""Does a link lead only where it was told to when it was sent, and count people only?"""

from __future__ import annotations

import pytest

from recall.clock import MINUTE, SECOND
from recall.engine.converge import drain_receipts
from recall.store.links import Link, find_link, may_lead, new_links, new_tokens
from tests.web.conftest import BROWSER, Door

HOSTS = {"shop.example.com", "*.wild.example"}
TARGET = "https://shop.example.com/loan?x=1;y=%E8%B4%B7#top"
ANDROID = "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 Chrome/131.0 Mobile Safari/537.36"
DESKTOP = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/131.0 Safari/537.36"


def linked(door: Door, target: str = TARGET, *, ref: str = "a" * 24) -> str:
    [token] = new_tokens(1)
    with door.scene.store.writing() as connection:
        new_links(connection, [Link(token, ref, target, door.scene.now)])
    return token


def sent(door: Door) -> str:
    version = door.scene.publish("  - {sms: come-back}\n")
    door.scene.add_user("u1")
    door.scene.enrol(version, "u1")
    door.scene.run()
    return str(door.scene.sends()[0].ref)


def test_a_click_leads_to_the_stored_target_and_reaches_the_ledger(door: Door) -> None:
    ref = sent(door)
    token = linked(door, ref=ref)
    door.scene.later(MINUTE)
    answer = door.client.get(f"/l/{token}?to=https://evil.example")
    assert (answer.status_code, answer.headers["location"]) == (302, TARGET)
    assert door.receipts() == [(ref, "clicked", "")]
    drain_receipts(door.scene.setup)
    assert door.scene.sends()[0].clicked_at == door.scene.now


def test_many_taps_in_a_minute_are_one_click(small_door: Door) -> None:
    token = linked(small_door)
    for _ in range(3):
        small_door.client.get(f"/l/{token}")
    small_door.scene.later(MINUTE)
    small_door.client.get(f"/l/{token}")
    assert len(small_door.receipts()) == 2


def test_a_click_seconds_after_the_delivery_is_marked(door: Door) -> None:
    ref = sent(door)
    token = linked(door, ref=ref)
    door.scene.later(9 * SECOND)
    door.client.get(f"/l/{token}")
    assert door.receipts() == [(ref, "clicked", "suspect")]


@pytest.mark.parametrize(
    "headers",
    [
        {"user-agent": ""},
        {"user-agent": "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"},
        {"user-agent": "facebookexternalhit/1.1"},
        {"user-agent": "WhatsApp/2.23"},
        {"user-agent": "curl/8.5"},
        {"user-agent": "Mozilla/5.0 HeadlessChrome/131"},
        {"purpose": "prefetch"},
        {"sec-purpose": "prefetch;prerender"},
        {"x-purpose": "preview"},
        {"x-moz": "prefetch"},
        {"sec-fetch-mode": "no-cors"},
    ],
)
def test_programs_are_led_on_and_not_counted(small_door: Door, headers: dict[str, str]) -> None:
    token = linked(small_door)
    answer = small_door.client.get(f"/l/{token}", headers=headers)
    assert (answer.status_code, answer.headers["location"]) == (302, TARGET)
    assert small_door.receipts() == []


def test_head_is_answered_and_not_counted(small_door: Door) -> None:
    assert small_door.client.head(f"/l/{linked(small_door)}").status_code == 302
    assert small_door.receipts() == []


@pytest.mark.parametrize("agent", [BROWSER, ANDROID, DESKTOP, "Mozilla/5.0 MicroMessenger/8.0 Cubot"])
def test_people_are_counted(small_door: Door, agent: str) -> None:
    small_door.client.get(f"/l/{linked(small_door)}", headers={"user-agent": agent, "sec-fetch-mode": "navigate"})
    assert len(small_door.receipts()) == 1


@pytest.mark.parametrize("token", ["unknown-token-00", "x", "..%2f..", "%00", "x" * 3000, "https:%2F%2Fevil.example"])
def test_an_unknown_link_is_a_page_that_says_so(small_door: Door, token: str) -> None:
    answer = small_door.client.get(f"/l/{token}", headers={"accept-language": "zh-CN,zh;q=0.9"})
    assert answer.status_code == 404
    assert "location" not in answer.headers
    if "%2f" not in token.lower():
        assert "页面不存在" in answer.text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_but_get_and_head_is_taken(small_door: Door, method: str) -> None:
    assert small_door.client.request(method, f"/l/{linked(small_door)}").status_code == 405


def test_a_deep_link_offers_the_app_and_the_store_of_the_device(small_door: Door) -> None:
    token = linked(small_door, "example://loan?a=1&b=2")
    on = {
        name: small_door.client.get(f"/l/{token}", headers={"user-agent": agent, "accept-language": "en"})
        for name, agent in {"ios": BROWSER, "android": ANDROID, "desktop": DESKTOP}.items()
    }
    assert {answer.status_code for answer in on.values()} == {200}
    assert 'href="example://loan?a=1&amp;b=2"' in on["ios"].text
    assert "https://apps.example.com/ios" in on["ios"].text
    assert "https://apps.example.com/android" not in on["ios"].text
    fallback = "S.browser_fallback_url=https%3A%2F%2Fapps.example.com%2Fandroid"
    assert f"intent://loan?a=1&amp;b=2#Intent;scheme=example;{fallback};end" in on["android"].text
    assert "example://" not in on["desktop"].text
    assert "https://apps.example.com/ios" in on["desktop"].text
    assert len(small_door.receipts()) == 1


@pytest.mark.parametrize(
    "target",
    [
        "https://shop.example.com",
        "https://shop.example.com:443/a?b#c",
        "https://a.wild.example/x",
        "example://loan/1?x=y",
    ],
)
def test_these_targets_may_be_sent(target: str) -> None:
    assert may_lead(target, hosts=HOSTS, app_scheme="example")


@pytest.mark.parametrize(
    "target",
    [
        "",
        "http://shop.example.com",
        "//shop.example.com",
        "/loan",
        "https://evil.example",
        "https://shop.example.com.evil.example",
        "https://evil.example/shop.example.com",
        "https://shop.example.com@evil.example",
        "https://user:password@shop.example.com",
        "https://shop.example.com:8443",
        "https://shop.example.com:99999",
        "https://shop.example.com\\@evil.example",
        "https://wild.example",
        "https://notwild.example",
        "https://[::1",
        "https://shop.example.com/\r\nset-cookie: a=b",
        "https://shop.example.com/ a",
        "https://shop.example.com/贷",
        "https://shop.example.com/" + "a" * 2000,
        "other://loan",
        "javascript:alert(1)",
        "data:text/html,x",
    ],
)
def test_these_targets_may_not(target: str) -> None:
    assert not may_lead(target, hosts=HOSTS, app_scheme="example")


def test_no_scheme_a_browser_acts_upon_is_the_apps_own() -> None:
    assert not may_lead("javascript:alert(1)", hosts=HOSTS, app_scheme="javascript")


def test_tokens_are_new_short_and_found(door: Door) -> None:
    tokens = new_tokens(1000)
    assert len(set(tokens)) == 1000
    assert {len(token) for token in tokens} == {16}
    rows = [Link(token, f"ref-{n}", TARGET, 1) for n, token in enumerate(tokens)]
    with door.scene.store.writing() as connection:
        new_links(connection, rows)
        assert find_link(connection, tokens[7]) == rows[7]
        assert find_link(connection, "no such token") is None
