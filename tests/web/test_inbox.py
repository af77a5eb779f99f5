"""Do requests that come together share a commit, and is none answered before it, or spoiled by another?"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from journeys.words import ReceiptKind
from recall.errors import StoreBusy
from recall.store import schema
from recall.store.connect import Store
from recall.store.receipts import Receipt
from recall.web import inbox
from recall.web.inbox import Inbox, Told
from tests.web.conftest import Door


def told(*names: str) -> Told:
    receipts = [Receipt("outbox", name, "a" * 24, ReceiptKind.DELIVERED, 1) for name in names]
    return Told("outbox", receipts)


def kept(door: Door) -> list[str]:
    return [row.event_id for row in door.rows(schema.receipts)]


class SlowStore:
    """Commits only when it is let."""

    def __init__(self, store: Store) -> None:
        self._store, self.go, self.commits = store, threading.Event(), 0

    @contextmanager
    def writing(self) -> Iterator[Any]:
        with self._store.writing() as connection:
            yield connection
            self.go.wait(30)
        self.commits += 1


def test_what_comes_while_a_commit_is_under_way_shares_the_next_one(door: Door) -> None:
    slow = SlowStore(door.scene.store)
    box = Inbox(replace(door.scene.setup, store=slow))  # type: ignore[arg-type]

    async def come() -> None:
        first = asyncio.create_task(box.keep(told("first")))
        await asyncio.sleep(0)
        others = [asyncio.create_task(box.keep(told(f"n{n}"))) for n in range(20)]
        for _ in range(10):
            await asyncio.sleep(0)
        assert not first.done()
        assert kept(door) == []
        slow.go.set()
        await asyncio.gather(first, *others)

    asyncio.run(come())
    assert sorted(kept(door)) == sorted(["first", *(f"n{n}" for n in range(20))])
    assert slow.commits == 2


def test_a_vendor_that_hangs_up_does_not_spoil_the_others(small_door: Door) -> None:
    box = Inbox(small_door.scene.setup)

    async def come() -> None:
        gone = asyncio.create_task(box.keep(told("gone")))
        stays = asyncio.create_task(box.keep(told("stays")))
        await asyncio.sleep(0)
        gone.cancel()
        await stays

    asyncio.run(come())
    assert sorted(kept(small_door)) == ["gone", "stays"]


def test_what_no_store_can_keep_spoils_only_its_own_request(door: Door) -> None:
    bad = Told("outbox", [Receipt("outbox", "bad", "a", ReceiptKind.DELIVERED, None)])  # type: ignore[arg-type]
    errors = inbox.keep_together(door.scene.setup, [told("one"), bad, told("two")])
    assert [error is None for error in errors] == [True, False, True]
    assert kept(door) == ["one", "two"]


def test_a_busy_store_is_told_to_each_and_asked_once(small_door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def busy(*_: object) -> None:
        asked.append(1)
        raise StoreBusy("locked")

    monkeypatch.setattr(inbox, "keep_told", busy)
    errors = inbox.keep_together(small_door.scene.setup, [told("one"), told("two")])
    assert [type(error) for error in errors] == [StoreBusy, StoreBusy]
    assert len(asked) == 1
