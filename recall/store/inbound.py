"""What did people answer, and whom does it bind at once? Kept once per vendor event, then acted upon.

A reply is kept by the hash of the address it came from, and its text only where a person must read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, func, select

from journeys.words import AddressKind, Channel, ReceiptKind
from recall.clock import Instant
from recall.store import schema
from recall.store.connect import Store
from recall.store.receipts import Receipt
from recall.store.suppressions import NewSuppression, opt_in, opt_out_address, opt_outs, suppress_many
from recall.store.upserts import insert

_I, _S = schema.inbound, schema.sends


class Meaning(StrEnum):
    """What a reply says."""

    STOP = "stop"
    START = "start"
    REVIEW = "review"  # holds a stop word, but is not one: a person reads it


@dataclass(frozen=True)
class Inbound:
    """One reply that means something."""

    provider: str
    event_id: str
    at: Instant
    channel: Channel | None  # on which it was written; a stop binds every channel that uses the address
    kind: AddressKind
    value: str = field(repr=False)  # the address it came from, normalised
    meaning: Meaning
    text: str = field(default="", repr=False)  # for review, masked
    reason: str = "opted_out"  # of a stop: opted_out | complained

    @property
    def opens(self) -> tuple[Channel, ...]:
        """What a START allows again."""
        return tuple(Channel) if self.channel is None else (self.channel,)


def take_inbound(connection: Connection, store: Store, rows: Iterable[Inbound], *, now: Instant) -> dict[Meaning, int]:
    """Keep replies and act upon those that are new, in the order in which they were said; returns how many of each."""
    done: dict[Meaning, int] = {}
    for row in sorted(rows, key=lambda row: (row.at, row.event_id)):
        if _keep(connection, store, row, now):
            _act(connection, store, row)
            done[row.meaning] = done.get(row.meaning, 0) + 1
    return done


def _keep(connection: Connection, store: Store, row: Inbound, now: Instant) -> bool:
    kept = connection.execute(
        insert(connection, _I)
        .values(
            provider=row.provider,
            event_id=row.event_id,
            at=row.at,
            received_at=now,
            channel=row.channel.value if row.channel else "",
            kind=row.kind.value,
            hash=store.hash_address(row.kind.value, row.value),
            meaning=row.meaning.value,
            text=row.text if row.meaning is Meaning.REVIEW else None,
        )
        .on_conflict_do_nothing()
        .returning(_I.c.id)
    )
    return kept.first() is not None


def _act(connection: Connection, store: Store, row: Inbound) -> None:
    source = f"reply:{row.provider}"
    match row.meaning:
        case Meaning.STOP:
            opt_out_address(
                connection,
                store,
                kind=row.kind.value,
                value=row.value,
                reason=row.reason,
                source=source,
                at=row.at,
            )
        case Meaning.START:
            opt_in(connection, store, kind=row.kind.value, value=row.value, channels=row.opens, at=row.at)
        case _:
            pass


# --- receipts that bind ------------------------------------------------------------------------------------

_BINDING = (ReceiptKind.OPTED_OUT, ReceiptKind.COMPLAINED)


def bind_at_once(connection: Connection, receipts: Sequence[Receipt]) -> int:
    """Opt-outs and complaints bind now, not when the inbox is drained; returns how many said something new.

    Draining says the same again, which changes nothing.
    """
    binding = [receipt for receipt in receipts if receipt.kind in _BINDING]
    if not binding:
        return 0
    found = select(_S.c.ref, _S.c.address_id).where(_S.c.ref.in_({r.ref for r in binding}))
    sends: dict[str, Any] = {send.ref: send for send in connection.execute(found)}
    return sum(_bind(connection, receipt, sends[receipt.ref]) for receipt in binding if receipt.ref in sends)


def _bind(connection: Connection, receipt: Receipt, send: Any) -> bool:
    return opt_out_address(
        connection,
        None,
        address_id=send.address_id,
        reason=receipt.kind.value,
        source=f"receipt:{receipt.provider}",
        at=receipt.at,
    )


# --- what a person must read -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Review:
    """A reply that waits for a person."""

    id: int
    at: Instant
    channel: str
    text: str = field(repr=False)


def open_reviews(connection: Connection, *, limit: int = 1000) -> list[Review]:
    """Replies nobody has judged yet, oldest first."""
    rows = connection.execute(select(_I).where(_waiting()).order_by(_I.c.id).limit(limit))
    return [Review(row.id, row.at, row.channel, row.text or "") for row in rows]


def count_reviews(connection: Connection) -> int:
    return int(connection.execute(select(func.count()).where(_waiting())).scalar_one())


def close_review(connection: Connection, review_id: int, *, is_stop: bool, who: str, now: Instant) -> bool:
    """A person judged a reply; its text is forgotten. False when somebody did so before."""
    row = connection.execute(select(_I).where(_I.c.id == review_id, _waiting())).first()
    if row is None:
        return False
    if is_stop:
        said = NewSuppression(row.kind, row.hash, row.at, reason="opted_out", source=f"reply:{row.provider}")
        suppress_many(connection, opt_outs(said, list(Channel)))
    verdict = "stop" if is_stop else "nothing"
    values = {"handled_at": now, "handled_by": who, "verdict": verdict, "text": None}
    connection.execute(_I.update().where(_I.c.id == review_id).values(**values))
    return True


def _waiting() -> Any:
    return (_I.c.meaning == Meaning.REVIEW.value) & _I.c.handled_at.is_(None)
