"""What does `recall review` write, and when does it call for a person?"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from recall.clock import DAY
from tests.cli.conftest import Growth, Recall
from tests.providers.vendor import Reply, Vendor


def test_the_weekly_page_is_written_with_its_tables(published: Growth, tmp_path: Path):
    published.treated(3)
    published.recall("run", "settled-30d", "--enrol")
    published.later(40 * DAY)
    answer = published.recall("review", "--week", "--out", "week.html", "--lang", "zh-CN", "--json")
    assert answer.code == 0
    assert (tmp_path / "week.html").exists()
    assert (tmp_path / "week-tables" / "lift.csv").exists()
    outcome = next(each for each in answer.data["outcomes"] if each["name"] == "settled-30d")
    assert outcome["assigned"] == {"treated": 3, "holdout": 0}
    assert outcome["too_small_to_tell"]


def test_yesterday_of_a_quiet_programme_alerts_nobody(published: Growth):
    answer = published.recall("review", "--day", "--json")
    assert (answer.code, answer.data["alerts"]) == (0, [])


def test_a_horizon_is_declared_and_noted(published: Growth):
    assert published.recall("measure", "horizon", "settled-30d", "--looks", "8").code == 0
    assert ("declare horizon", "settled-30d", "8 weekly looks") in published.actions()
    answer = published.recall("review", "--out", "week.html", "--json")
    assert next(each for each in answer.data["outcomes"] if each["name"] == "settled-30d")["looks"] == 8


def test_a_split_that_is_not_there_is_told(published: Growth):
    answer = published.recall("measure", "split", "settled-30d", "words")
    assert answer.code == 1
    assert "its splits are: none" in answer.err


def test_the_page_goes_to_the_owners_when_told_to(published: Growth, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RECALL_OWNERS", "owner@example.com")
    monkeypatch.setenv("RECALL_OWNERS_PROVIDER", "outbox")
    published.treated(2)
    answer = published.recall("review", "--mail", "--out", "week.html", "--json")
    assert (answer.code, answer.data["mailed"]) == (0, {"outcomes": {"accepted": 1}, "problems": []})
    (letter,) = published.scene.accepted()
    assert (letter.address.value, letter.html) == ("owner@example.com", Path("week.html").read_text())
    assert letter.title.startswith("Did it work?")
    assert [verb for verb, _, _ in published.actions()][-1] == "mail review"
    assert "owner@example.com" not in answer.out + answer.err


def test_a_simulated_store_writes_to_no_real_owner(published: Growth, monkeypatch: pytest.MonkeyPatch):
    options = {"mail": {"kind": "sendgrid_email", "api_key": "k", "base_url": "http://127.0.0.1:9", "sender": "a@b.co"}}
    monkeypatch.setenv("RECALL_PROVIDER_OPTIONS", json.dumps(options))
    monkeypatch.setenv("RECALL_OWNERS", "owner@example.com")
    monkeypatch.setenv("RECALL_OWNERS_PROVIDER", "mail")
    answer = published.recall("review", "--mail", "--json")
    assert (answer.code, answer.data["mailed"]["outcomes"]) == (1, {"not_sent": 1})
    assert "simulated" in answer.data["mailed"]["problems"][0]
    monkeypatch.setenv("RECALL_MODE", "dry-run")
    assert published.recall("review", "--mail", "--json").data["mailed"]["outcomes"] == {"dry_run": 1}


def test_mail_without_owners_says_whom_to_name(published: Growth):
    answer = published.recall("review", "--mail")
    assert answer.code == 1
    assert "RECALL_OWNERS" in answer.err
    assert published.recall("review", "--day", "--mail").code == 2


def test_the_page_leaves_through_the_e_mail_provider(recall: Recall, monkeypatch: pytest.MonkeyPatch):
    vendor = Vendor(lambda seen: Reply(202, b"", {"X-Message-Id": "m-1"}))
    try:
        options = {
            "mail": {"kind": "sendgrid_email", "api_key": "k", "base_url": vendor.url, "sender": "a@example.com"}
        }
        monkeypatch.setenv("RECALL_PROVIDER_OPTIONS", json.dumps(options))
        monkeypatch.setenv("RECALL_OWNERS", "one@example.com,two@example.com")
        monkeypatch.setenv("RECALL_OWNERS_PROVIDER", "mail")
        assert (recall("init", ".").code, recall("db", "migrate").code) == (0, 0)
        answer = recall("review", "--mail", "--out", "week.html", "--json")
        assert (answer.code, answer.data["mailed"]["outcomes"]) == (0, {"accepted": 2}), answer.err
        asked = vendor.posts[0].json()
    finally:
        vendor.close()
    assert [one["to"] for one in asked["personalizations"]] == [[{"email": f"{n}@example.com"}] for n in ("one", "two")]
    assert asked["content"][1] == {"type": "text/html", "value": Path("week.html").read_text()}
