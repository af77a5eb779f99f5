"""Can a person say what a reply means, once, and does it bind?"""

from __future__ import annotations

import pytest
from sqlalchemy import select

from journeys.words import CHANNEL_BIT, AddressKind, Channel
from recall.clock import Instant
from recall.store import schema
from recall.store.connect import Store
from recall.store.inbound import Inbound, Meaning, take_inbound

PHONE = "+8613800138000"


@pytest.fixture
def waiting(store: Store, now: Instant) -> list[int]:
    """Three replies that wait; their numbers."""
    said = [
        Inbound(
            "sms", f"e{n}", now + n, Channel.SMS, AddressKind.PHONE, f"{PHONE[:-1]}{n}", Meaning.REVIEW, "STOP PLEASE"
        )
        for n in range(3)
    ]
    with store.writing() as connection:
        take_inbound(connection, store, said, now=now)
        return list(connection.execute(select(schema.inbound.c.id).order_by(schema.inbound.c.id)).scalars())


def rows(store: Store) -> dict[int, tuple[str | None, str | None, str | None]]:
    with store.reading() as connection:
        found = connection.execute(select(schema.inbound))
        return {row.id: (row.text, row.verdict, row.handled_by and "somebody") for row in found}


def opted_out(store: Store) -> list[int]:
    with store.reading() as connection:
        return list(
            connection.execute(select(schema.addresses.c.opted_out).where(schema.addresses.c.kind == "phone")).scalars()
        )


def test_what_waits_is_listed_and_asks_for_a_person(recall_on, waiting: list[int]):
    answer = recall_on("inbox", "list", "--limit", 2, "--json")
    assert (answer.code, answer.data["waiting"]) == (1, 3)
    assert [(each["id"], each["text"]) for each in answer.data["replies"]] == [(n, "STOP PLEASE") for n in waiting[:2]]
    assert "1 more wait" in recall_on("inbox", "list", "--limit", 2).out


def test_a_stop_binds_the_address_and_the_text_is_forgotten(recall_on, store: Store, waiting: list[int]):
    assert recall_on("inbox", "opt-out", *waiting[:2]).code == 0
    phone = CHANNEL_BIT[Channel.SMS] | CHANNEL_BIT[Channel.CALL]
    assert [mask & phone for mask in opted_out(store)] == [phone] * 2
    assert [rows(store)[n] for n in waiting] == [(None, "stop", "somebody")] * 2 + [("STOP PLEASE", None, None)]


def test_what_means_nothing_binds_nobody_and_then_nothing_waits(recall_on, store: Store, waiting: list[int]):
    assert recall_on("inbox", "dismiss", *waiting).code == 0
    assert opted_out(store) == []
    answer = recall_on("inbox", "list")
    assert (answer.code, answer.out) == (0, "No reply waits for a person.\n")


def test_who_judges_second_changes_nothing(recall_on, store: Store, waiting: list[int]):
    assert recall_on("inbox", "dismiss", waiting[0]).code == 0
    again = recall_on("inbox", "opt-out", waiting[0], waiting[1], "--json")
    assert (again.code, again.data["judged"], again.data["not_waiting"]) == (1, [waiting[1]], [waiting[0]])
    assert rows(store)[waiting[0]][1] == "nothing"
    refused = recall_on("inbox", "opt-out", 4711)
    assert refused.code == 1
    assert "recall inbox list" in refused.err


@pytest.mark.parametrize("arguments", [("opt-out",), ("opt-out", "x"), ("dismiss", "0"), ("nothing",)])
def test_misuse_is_told_apart(recall, sqlite_store: Store, arguments: tuple[str, ...]):
    assert recall("inbox", *arguments).code == 2
