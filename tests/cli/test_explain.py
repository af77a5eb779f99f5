"""Can a person find out why somebody did, or did not, get a message?"""

from __future__ import annotations

from pathlib import Path

import pytest

from providers.faults import Fail, Fault, switch_fault
from recall.clock import DAY, HOUR


def _lines(growth, user: str, *options: str) -> list[tuple[str, str, str]]:
    data = growth.recall("explain", user, "--json", *options).data
    return [(line["step"], line["outcome"], line["reason"]) for line in data["lines"]]


def test_every_decision_has_a_line_and_the_last_one_is_about_now(published):
    [user] = published.treated(1)
    published.recall("run", "--enrol")
    assert _lines(published, user) == [
        ("", "entered", "treated"),
        ("push-1", "accepted", ""),
        ("sms-2", "waits", "now: go"),
    ]
    published.later(3 * DAY)
    assert _lines(published, user)[-1] == ("sms-2", "due", "now: go")


def test_what_held_a_message_back_is_told(published):
    [user] = published.treated(1)
    published.recall("run", "--enrol")
    published.later(3 * DAY + 11 * HOUR)
    published.recall("run")
    assert ("sms-2", "defer", "outside_window") in _lines(published, user)
    published.recall("suppress", user)
    assert _lines(published, user)[-1] == ("sms-2", "waits", "now: suppressed")
    published.recall("run")
    assert _lines(published, user)[-1] == ("", "ended", "suppressed")


def test_a_doubt_is_told_with_the_vendors_code(published):
    [user] = published.treated(1)
    switch_fault(published.scene.outbox, Fault(fail=Fail.SERVER_ERROR))
    published.recall("run", "--enrol")
    lines = published.recall("explain", user, "--json").data["lines"]
    sent = next(line for line in lines if line["outcome"] == "in_doubt")
    assert sent["facts"]["code"] == "server_error"
    assert lines[-1]["reason"] == "in_doubt"


def test_times_are_by_the_persons_clock(published):
    published.settled("u9", zone="Asia/Urumqi")
    published.recall("run", "--enrol")
    data = published.recall("explain", "u9", "--json").data
    assert data["zone"] == "Asia/Urumqi"
    assert data["lines"][0]["at"].endswith("+06:00")
    out = published.recall("explain", "u9").out
    assert "u9 (Asia/Urumqi)" in out
    assert "2026-03-02 08:00" in out


def test_without_a_zone_times_are_utc_and_say_so(published):
    published.settled("u9", zone="")
    published.recall("run", "--enrol")
    assert "u9 (UTC, as the zone is not known)" in published.recall("explain", "u9").out


def test_money_is_decimal_text_and_no_address_is_shown(published):
    [user] = published.treated(1)
    published.recall("run", "--enrol")
    published.later(3 * DAY)
    published.recall("run")
    answer = published.recall("explain", user)
    assert "price 0.045" in answer.out
    assert "+86138" not in answer.out
    assert "token-" not in answer.out


def test_one_journey_alone(published):
    [user] = published.treated(1)
    published.recall("run", "--enrol")
    assert len(_lines(published, user, "--journey", "settled-30d")) == 3


def test_who_never_entered_is_told_so(published):
    published.scene.add_user("u5")
    answer = published.recall("explain", "u5")
    assert answer.code == 0
    assert "u5 was never in any journey" in answer.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nobody"], "no user has the id 'nobody'; ids are compared exactly, as text"),
        (["u5", "--journey", "setled"], "no journey 'setled' was published; there are: settled-30d"),
    ],
)
def test_what_is_not_known_is_told(published, arguments, said):
    answer = published.recall("explain", *arguments)
    assert answer.code == 1
    assert said in answer.err


def test_explaining_opens_no_provider(published):
    """Where providers are missing or misconfigured, a person still finds out why."""
    [user] = published.treated(1)
    published.recall("run", "--enrol")
    policy = Path("policies/cn-consumer-finance.yaml")
    policy.write_text(policy.read_text().replace("sms: {providers: [outbox]", "sms: {providers: [no-such]"))
    published.recall("journey", "publish", "--all")
    assert published.recall("explain", user).code == 0
