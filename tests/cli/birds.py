"""Who are the canaries? Values that occur nowhere else, in a project whose every verb might show them."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from recall.cli.main import cli
from recall.clock import DAY, FixedClock, Instant, to_datetime
from recall.store.connect import Store, write_fact
from tests.cli.conftest import Answer, Recall

BIRD = "bird-1"  # an id of the host says nothing about anybody, so it may be shown
PHONE, EMAIL, TOKEN, NAME = "+8613877712345", "canary.bird@example.com", "token-canary-bird", "Canary Bird"
WRONG_PHONE, PAGE, WORDING, WHERE = "+86138777123459999", "canary-page", "canary-wording", "canary-shop"
PERSONAL = (PHONE, PHONE[3:], EMAIL, "canary.bird", TOKEN, NAME, "Canary%20Bird", WRONG_PHONE, PAGE, WORDING, WHERE)
SECRETS = {
    "RECALL_SIGNING_KEYS": "canary-signing-key-1,canary-signing-key-2",
    "RECALL_WEB_API_KEYS": json.dumps({"host": "canary-api-key-of-the-host"}),
    "RECALL_TWILIO_AUTH_TOKEN": "canary-twilio-auth-token",
    "RECALL_TWILIO_API_KEY_SECRET": "canary-twilio-api-secret",
    "RECALL_PROVIDER_OPTIONS": json.dumps(
        {
            "sms-own": {
                "kind": "http_gateway",
                "profile": "plain-json",
                "base_url": "http://127.0.0.1:9",  # nobody listens there
                "key": "canary-gateway-key",
                "hook_key": "canary-webhook-key",
            }
        }
    ),
}
KEYS = ("canary-signing-key", "canary-api-key", "canary-twilio", "canary-gateway-key", "canary-webhook-key")
ADDRESS_KEY = "a key that is only used in tests"

NOW: Instant = 1_772_416_800_000_000  # Monday 2026-03-02 10:00 in Shanghai


def hits(written: dict[str, str], values: tuple[str, ...] = (*PERSONAL, *KEYS, ADDRESS_KEY)) -> list[str]:
    """Where which canary shows."""
    return [f"{where}: {value}" for where, text in written.items() for value in values if value in text]


def leaves(command: click.Command = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every verb that can be called, as it is typed."""
    if not isinstance(command, click.Group):
        yield path
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        sub = command.get_command(context, name)
        assert sub is not None
        yield from leaves(sub, (*path, name))


def write_files() -> None:
    """What the host exports; every file has a row that cannot be taken."""
    settled = to_datetime(NOW - 40 * DAY).isoformat()
    about = ("user", "phone", "email", "push", "push_kind", "locale", "jurisdiction", "name", "overdue_days", "frozen",
             "fraud_review", "proved_at")  # fmt: skip
    bird = (PHONE, EMAIL, TOKEN, "fcm_token", "zh-CN", "CN", NAME, "0", "false", "false", settled)
    _write("users.csv", about, (BIRD, *bird), ("bird-2", WRONG_PHONE, *bird[1:]))
    _write("events.csv", ("user", "name", "at", "id", "page"), (BIRD, "loan_settled", settled, "e1", PAGE),
           (BIRD, "visited", NAME, "e2", EMAIL), ("nobody", "visited", settled, "e3", PHONE))  # fmt: skip
    said = ("marketing", "true", settled, WHERE, WORDING)
    _write("consents.csv", ("user", "channel", "purpose", "granted", "at", "source", "wording"),
           *((BIRD, channel, *said) for channel in ("sms", "call", "task")),
           (BIRD, "sms", "marketing", EMAIL, *said[2:]))  # fmt: skip
    _write("stop.csv", ("phone", "reason"), ("+8613877719999", "suppressed"), (WRONG_PHONE, "suppressed"))
    _write("sent.csv", ("user", "channel", "at"), (BIRD, "sms", settled), (EMAIL, "sms", settled))
    _write(
        "people.csv",
        ("arm", "back", "contacts"),
        *(("holdout" if n % 2 else "test", n % 3 == 0, n % 4) for n in range(40)),
    )


def _write(name: str, header: tuple[str, ...], *rows: tuple[Any, ...]) -> None:
    with Path(name).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def begin(recall: Recall, store: Store) -> None:
    """A project in the test's folder on a store whose clock the test sets."""
    assert recall("init", ".").code == 0
    with store.writing() as connection:
        write_fact(connection, "simulated", "true")
        write_fact(connection, "virtual_now", str(NOW))
    write_files()


def at(store: Store, now: Instant) -> FixedClock:
    with store.writing() as connection:
        write_fact(connection, "virtual_now", str(now))
    return FixedClock(now)


IMPORTS = (
    ("import", "users", "users.csv", "--attribute", "*", "--region", "CN"),
    ("import", "events", "events.csv", "--property", "page", "--source", "shop"),
    ("import", "consents", "consents.csv"),
    ("import", "suppressions", "stop.csv", "--region", "CN"),
    ("import", "history", "sent.csv"),
)


def bring_in(recall: Recall) -> dict[str, Answer]:
    """Import everybody, and publish what they walk through."""
    told = {" ".join(each): recall(*each) for each in IMPORTS}
    told["publish"] = recall("journey", "publish", "--all")
    return told
