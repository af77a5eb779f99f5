"""How is what vendors tell kept before they are answered? All that waits, in one transaction.

A commit costs a write to the disk, whether it keeps one receipt or fifty. While one commit is under way the next
requests gather, and then share theirs; every request is answered after the commit that kept it, never before.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from fastapi.concurrency import run_in_threadpool

from journeys.words import ADDRESS_OF, AddressKind, ReceiptKind
from providers.base import ProviderEvent
from providers.masking import excerpt
from recall.engine.setup import Setup
from recall.errors import StoreBusy
from recall.store.connect import Connection
from recall.store.inbound import Inbound, Meaning, bind_at_once, take_inbound
from recall.store.policies import live_policies
from recall.store.receipts import Receipt, record_receipts
from recall.web.words import Words, meaning_of, words_of

log = logging.getLogger("recall.web")

MOST_AT_ONCE = 500  # requests of one transaction


@dataclass(frozen=True)
class Told:
    """What one request said."""

    provider: str
    receipts: list[Receipt] = field(default_factory=list)
    replies: list[ProviderEvent] = field(default_factory=list)


class Inbox:
    """Touched only on the event loop; the store is, in a thread, by one transaction at a time."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._waiting: list[tuple[Told, asyncio.Future[None]]] = []
        self._work: asyncio.Task[None] | None = None

    async def keep(self, told: Told) -> None:
        """Returns once it is committed; raises StoreBusy when nothing was kept."""
        kept: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((told, kept))
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._keep_waiting())
        await kept

    async def _keep_waiting(self) -> None:
        while self._waiting:
            some, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
            errors = await run_in_threadpool(keep_together, self._setup, [told for told, _ in some])
            for (_, kept), error in zip(some, errors, strict=True):
                if kept.done():  # the vendor hung up meanwhile; it is kept all the same
                    continue
                if error is None:
                    kept.set_result(None)
                else:
                    kept.set_exception(error)


def keep_together(setup: Setup, said: Sequence[Told]) -> list[Exception | None]:
    """Keep what several requests said; for each what went wrong with it, None when it is committed.

    What no store can keep spoils only itself: then each request gets a transaction of its own.
    """
    try:
        keep_told(setup, said)
    except Exception as error:  # told to each request; the armour shows its type only
        if len(said) == 1 or isinstance(error, StoreBusy):
            return [error] * len(said)
        return [keep_together(setup, [told])[0] for told in said]
    return [None] * len(said)


def keep_told(setup: Setup, said: Sequence[Told]) -> None:
    """One transaction: the inbox, and what binds at once, in the order in which it was told."""
    now = setup.clock.now()
    bound, meant = 0, dict.fromkeys(Meaning, 0)
    with setup.store.writing() as connection:
        record_receipts(connection, [receipt for told in said for receipt in told.receipts], now=now)
        words = _words(connection) if any(told.replies for told in said) else None
        for told in said:
            bound += bind_at_once(connection, told.receipts)
            replies = [reply for event in told.replies if words and (reply := read_reply(told.provider, event, words))]
            for meaning, count in take_inbound(connection, setup.store, replies, now=now).items():
                meant[meaning] += count
    log.info(
        "kept %s receipts and %s replies of %s requests; %s bound at once, %s stop, %s start, %s to read",
        sum(len(told.receipts) for told in said), sum(len(told.replies) for told in said), len(said),
        bound, meant[Meaning.STOP], meant[Meaning.START], meant[Meaning.REVIEW],
    )  # fmt: skip


def _words(connection: Connection) -> Words:
    return words_of(live.policy.opt_out for live in live_policies(connection).values())


def read_reply(provider: str, event: ProviderEvent, words: Words) -> Inbound | None:
    """What a reply means: the vendor's word for an opt-out, else ours; `detail` is what the person wrote."""
    assert event.address is not None
    if event.address.kind is AddressKind.NONE or not event.address.value:
        return None
    said_stop = event.kind in (ReceiptKind.OPTED_OUT, ReceiptKind.COMPLAINED)
    meaning = Meaning.STOP if said_stop else meaning_of(event.detail, words)
    if meaning is None:
        return None
    fits = event.channel is not None and ADDRESS_OF[event.channel] is event.address.kind
    complained = event.kind is ReceiptKind.COMPLAINED
    return Inbound(
        provider,
        event.event_id,
        event.at,
        event.channel if fits and not complained else None,
        event.address.kind,
        event.address.value,
        meaning,
        excerpt(event.detail) if meaning is Meaning.REVIEW else "",
        "complained" if complained else "opted_out",
    )
