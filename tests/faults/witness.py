"""What did the provider really take? A double that misbehaves as drawn, and keeps a log nobody else can touch.

The log is the oracle: `at` is when the request arrived. Lookups may lag behind it, never beyond what `caps` vouches
for. What it tells later (receipts) comes late, twice, and in any order.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from journeys.words import Cause, Channel, Outcome, ReceiptKind
from providers.accepted import Accepted, accept, to_line
from providers.base import (
    Capabilities,
    InDoubt,
    Lookup,
    Outbound,
    Preflight,
    ProviderEvent,
    RawRequest,
    SendResult,
)
from recall.clock import DAY, HOUR, MINUTE, SECOND, Instant
from recall.errors import ChannelDown, Transient
from recall.store.receipts import Receipt
from tests.faults.loom import Loom

AUTHORITATIVE_AFTER_SECONDS = 60
MESSAGE_FATES = (
    "refuse_address", "refuse_opted_out", "refuse_content", "throttle", "connect", "lose", "drop", "late",
    "server_error", "server_error_taken", "twice", "stranger",
)  # fmt: skip
REQUEST_FATES = ("down", "hang", "hang_taken", "broken", "broken_taken", "slow")


@dataclass
class Book:
    """The log all providers of one world share."""

    taken: list[Accepted] = field(default_factory=list)
    visible_at: dict[str, Instant] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)  # how often the bytes of a ref arrived
    receipts: list[tuple[Instant, Receipt]] = field(default_factory=list)  # (when we hear of it, what)

    def lines(self) -> list[str]:
        return [to_line(row) for row in self.taken]


@dataclass
class Temper:
    """How a provider behaves: chances per message and per request, outages, how much it tells later."""

    message: dict[str, float] = field(default_factory=dict)
    request: dict[str, float] = field(default_factory=dict)
    outages: list[tuple[Instant, Instant, str]] = field(default_factory=list)  # "transient" | "config" | "connect"
    lookup_down: float = 0.0
    tells: float = 0.0  # share of messages with receipts
    says_stop: float = 0.0
    repeats: float = 0.0
    lag_seconds: int = 0


class Witness:
    """One provider of a world."""

    caps = Capabilities(
        max_batch=1000,
        reconcile=Lookup.LOOKUP,
        authoritative_after_seconds=AUTHORITATIVE_AFTER_SECONDS,
        simulated=True,
    )

    def __init__(self, name: str, loom: Loom, book: Book, temper: Temper) -> None:
        self.name, self.loom, self.book, self.temper = name, loom, book, temper

    async def send(self, batch: Sequence[Outbound]) -> AsyncIterator[SendResult]:
        self.loom.may_die("before connect")
        fate = self._draw(self.temper.request, REQUEST_FATES)
        how = next((how for since, until, how in self.temper.outages if since <= self.loom.time < until), "")
        if how == "config":
            raise ChannelDown("the account is suspended (drawn)")
        if how == "transient" or fate == "down":
            raise Transient("no route to the provider (drawn)")
        await asyncio.sleep(self.loom.dice.uniform(0, 8.5 if fate == "slow" else 0.3))
        results: list[SendResult] = []
        for message in batch:
            told = "connect" if how == "connect" else self._draw(self.temper.message, MESSAGE_FATES)
            if fate in ("hang", "broken"):
                told = "server_error"  # the whole request is lost: nothing of it is taken
            self.book.calls[message.ref] += told != "connect"  # without a connection no byte left
            results += self._answer(message, told)
        self.loom.may_die("after the request")
        if fate in ("hang", "hang_taken"):
            self.loom.count("hangs")
            await asyncio.sleep(3600)
        if fate in ("broken", "broken_taken"):
            raise RuntimeError("the vendor's page is no JSON (drawn)")
        for result in results:
            yield result
            self.loom.point("between answers", may_freeze=len(results) == 1)

    def _draw(self, chances: dict[str, float], fates: Sequence[str]) -> str:
        for fate in fates:
            if self.loom.chance(chances.get(fate, 0.0)):
                self.loom.count(fate)
                return fate
        return ""

    def _answer(self, message: Outbound, fate: str) -> list[SendResult]:
        ref = message.ref
        match fate:
            case "refuse_address":
                return [SendResult(ref, Outcome.REFUSED, Cause.ADDRESS, code="21211")]
            case "refuse_opted_out":
                return [SendResult(ref, Outcome.REFUSED, Cause.OPTED_OUT, code="21610")]
            case "refuse_content":
                return [SendResult(ref, Outcome.REFUSED, Cause.CONTENT, code="30007")]
            case "throttle":
                pause = self.loom.dice.choice((None, 1.0, 90.0, 1e9))
                return [SendResult(ref, Outcome.NOT_SENT, Cause.THROTTLED, code="429", retry_after_seconds=pause)]
            case "connect":
                return [SendResult(ref, Outcome.NOT_SENT, Cause.CONNECT, code="no_route")]
            case "server_error":
                return [SendResult(ref, Outcome.IN_DOUBT, code="503")]
        taken = self._take(message, late=fate == "late")
        match fate:
            case "lose" | "server_error_taken" | "late":
                return [SendResult(ref, Outcome.IN_DOUBT, code="timeout")]
            case "drop":
                return []
            case "twice":
                return [taken, taken]
            case "stranger":
                return [SendResult("ff" * 12, Outcome.ACCEPTED), taken]
        return [taken]

    def _take(self, message: Outbound, *, late: bool) -> SendResult:
        dice, now = self.loom.dice, self.loom.now()
        given = f"{self.name}-{len(self.book.taken)}"
        self.book.taken.append(accept(message, at=now, provider_id=given))
        lag = dice.randint(0, self.temper.lag_seconds * SECOND) if self.temper.lag_seconds else 0
        self.book.visible_at.setdefault(message.ref, now + (30 * SECOND if late else lag))
        self.loom.note(f"{self.name} takes {message.ref} [{message.channel}] for {message.user} {message.meta}")
        if self.loom.chance(self.temper.tells):
            self._tell_later(message, now)
        return SendResult(message.ref, Outcome.ACCEPTED, provider_id=given)

    def _tell_later(self, message: Outbound, now: Instant) -> None:
        dice = self.loom.dice
        kinds = [(dice.choice((ReceiptKind.DELIVERED, ReceiptKind.UNDELIVERED)), "")]
        if dice.random() < 0.5:
            kinds.append((dice.choice((ReceiptKind.OPENED, ReceiptKind.CLICKED)), ""))
        if message.channel is Channel.CALL:
            kinds.append((ReceiptKind.ANSWERED, dice.choice(("interested", "declined", "machine"))))
        if self.loom.chance(self.temper.says_stop):
            kinds.append((ReceiptKind.OPTED_OUT, ""))
        for number, (kind, detail) in enumerate(kinds):
            at = now + dice.randint(SECOND, HOUR)
            told = Receipt(self.name, f"{message.ref}-{number}", message.ref, kind, at, detail)
            for _ in range(2 if self.loom.chance(self.temper.repeats) else 1):
                delay = dice.choice((SECOND, MINUTE, HOUR, DAY))
                self.book.receipts.append((at + dice.randint(0, delay), told))

    async def reconcile(self, items: Sequence[InDoubt]) -> list[SendResult]:
        if self.loom.chance(self.temper.lookup_down):
            self.loom.count("lookup down")
            raise Transient("the lookup does not answer (drawn)")
        await asyncio.sleep(self.loom.dice.uniform(0, 2))
        known = {ref for ref, at in self.book.visible_at.items() if at <= self.loom.time}
        return [SendResult(item.ref, Outcome.ACCEPTED if item.ref in known else Outcome.NOT_SENT) for item in items]

    def read_events(self, request: RawRequest) -> list[ProviderEvent]:
        return []

    async def preflight(self) -> Preflight:
        return Preflight()

    async def close(self) -> None:
        return None
