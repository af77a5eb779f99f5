"""Is every provider listed and checked, and does a test message go out only when it is meant?"""

from __future__ import annotations

import json

import pytest

from providers.outbox import accepted_log
from providers.registry import KINDS
from recall.store.suppressions import opt_out_address
from tests.providers import vendor as far
from tests.providers.vendor import Reply, Vendor

KEY = "a-key-of-tests"
ME = "tester@example.com"
PHONE = "+8613912345678"


@pytest.fixture
def mail(monkeypatch: pytest.MonkeyPatch):
    """SendGrid on the loopback, under the name `mail`."""

    def answer(seen):
        if seen.method == "GET":
            return Reply(200, {"scopes": ["mail.send"]} if seen.path == "/v3/scopes" else [])
        return Reply(202, b"", {"X-Message-Id": "m-1"})

    vendor = Vendor(answer)
    options = {"kind": "sendgrid_email", "api_key": KEY, "base_url": vendor.url, "sender": "hello@example.com"}
    monkeypatch.setenv("RECALL_PROVIDER_OPTIONS", json.dumps({"mail": options}))
    yield vendor
    vendor.close()


@pytest.fixture
def live(recall, store_made):
    return recall


@pytest.fixture
def store_made(recall):
    assert recall("init", ".").code == 0
    assert recall("db", "migrate").code == 0


def test_every_kind_is_listed_and_says_what_is_missing(live, mail: Vendor):
    answer = live("provider", "list", "--json")
    rows = {row["name"]: row for row in answer.data["providers"]}
    assert rows.keys() == {*KINDS, "mail"}
    assert (rows["mail"]["kind"], rows["mail"]["channel"], rows["mail"]["set up"]) == ("sendgrid_email", "email", "yes")
    assert rows["mail"]["per request"] == 1000
    assert rows["sendgrid_email"]["set up"] == "no"
    assert "api_key" in rows["sendgrid_email"]["to do"]
    assert rows["outbox"]["channel"] == "all"
    assert KEY not in answer.out + answer.err
    assert mail.seen == []


def test_a_check_asks_the_vendor_and_sends_nothing(live, mail: Vendor):
    answer = live("provider", "check", "--json")
    assert (answer.code, answer.data["ok"]) == (1, False)  # no webhook key is set
    assert {row["check"]: row["ok"] for row in answer.data["checks"]} == {
        "key": True,
        "suppressions": True,
        "sender": True,
        "webhook": False,
    }
    assert mail.posts == []
    assert live("provider", "check", "outbox").code == 0
    assert live("provider", "check", "nobody").code == 1


def test_a_test_message_goes_out_when_it_is_meant(live, mail: Vendor):
    arguments = ("provider", "send-test", "mail", "--to", ME)
    answer = live(*arguments)
    assert answer.code == 1
    assert "--yes" in answer.err
    assert mail.seen == []
    answer = live(*arguments, "--yes", "--json")
    assert (answer.code, answer.data["outcome"], answer.data["provider_id"]) == (0, "accepted", "m-1")
    assert mail.posts[0].json()["personalizations"][0]["to"] == [{"email": ME}]
    assert ME not in answer.out + answer.err


def test_what_the_vendor_does_not_take_is_told(live, mail: Vendor):
    mail.behave(far.reply(503))
    answer = live("provider", "send-test", "mail", "--to", ME, "--yes", "--json")
    assert (answer.code, answer.data["outcome"]) == (1, "in_doubt")
    mail.behave(far.reply(401))
    answer = live("provider", "send-test", "mail", "--to", ME, "--yes")
    assert answer.code == 1
    assert "does not accept our key" in answer.err
    assert len(mail.posts) == 2


def test_a_template_is_written_with_the_values_given(live, sqlite_store, settings):
    answer = live("provider", "send-test", "outbox", "--to", PHONE, "--template", "come-back")
    assert answer.code == 1
    assert "--value brand=…" in answer.err
    values = ("brand=示例", "first_name=李", "link=https://example.com/a", "opt_out_link=https://example.com/u")
    given = [part for value in values for part in ("--value", value)]
    answer = live("provider", "send-test", "outbox", "--to", PHONE, "--template", "come-back", *given)
    assert answer.code == 0, answer.err
    (row,) = accepted_log(settings.var_dir / "outbox")
    assert "示例" in row.body
    assert row.address.value == PHONE
    assert PHONE not in answer.out + answer.err


def test_in_other_modes_nothing_real_leaves(live, mail: Vendor, monkeypatch, settings):
    monkeypatch.setenv("RECALL_MODE", "dry-run")
    assert live("provider", "send-test", "mail", "--to", ME, "--yes").code == 0
    monkeypatch.setenv("RECALL_MODE", "rehearsal")
    answer = live("provider", "send-test", "mail", "--to", ME, "--json")
    assert answer.data["provider"] == "outbox"
    assert mail.seen == []


def test_who_said_stop_gets_not_even_a_test(live, mail: Vendor, sqlite_store, now):
    with sqlite_store.writing() as connection:
        opt_out_address(connection, sqlite_store, kind="email", value=ME, at=now)
    answer = live("provider", "send-test", "mail", "--to", ME.upper(), "--yes")
    assert answer.code == 1
    assert "opted out" in answer.err
    assert mail.seen == []


def test_the_kill_switch_holds_here_too(live, mail: Vendor):
    assert live("kill-switch", "on", "--why", "test").code == 0
    assert live("provider", "send-test", "mail", "--to", ME, "--yes").code == 1
    assert mail.seen == []


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("in_app", "--to", "x"), "rows of the ledger"),
        (("mail", "--to", "no address"), "--to"),
        (("mail", "--to", ""), "--to"),
        (("mail", "--to", ME, "--channel", "sms"), "sends email"),
        (("outbox", "--to", "12345"), "--to"),
        (("outbox", "--to", PHONE, "--template", "nowhere"), "nowhere"),
    ],
)
def test_mistakes_are_told_without_the_address(live, mail: Vendor, arguments: tuple[str, ...], word: str):
    answer = live("provider", "send-test", *arguments, "--yes")
    assert answer.code == 1
    assert word in answer.err
    assert ME not in answer.err
    assert mail.seen == []


def test_the_audit_names_the_ref_and_not_the_address(growth):
    answer = growth.recall("provider", "send-test", "outbox", "--to", PHONE, "--json")
    assert growth.actions() == [("send-test", f"outbox {answer.data['ref']}", "")]
