"""Whom does a provider itself not write to? Its lists become ours, as often as they are pulled."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, cast

from journeys.words import Channel
from recall.clock import Instant
from recall.engine.dispatch import Dispatcher
from recall.store.addresses import ids_of_hashes
from recall.store.connect import Connection, Store
from recall.store.suppressions import ALL, NewSuppression, mark_unreachable, opt_outs, suppress_many

AT_ONCE = 1000


@dataclass
class Pulled:
    """Counts of one pull."""

    read: int = 0
    new: int = 0  # opt-outs and complaints we did not know
    unreachable: int = 0  # of our addresses, thought to work until now

    def told(self) -> str:
        return (
            f"{self.read} entries read, {self.new} new opt-outs, {self.unreachable} addresses newly known not to work"
        )


def pull_lists(store: Store, provider: Any, dispatcher: Dispatcher, *, now: Instant) -> Pulled:
    """Keep opt-outs and complaints, also of people not known yet; raises ChannelDown when nothing is handed out.

    Bounces are noted on the addresses we have; of others the provider keeps its own note.
    """
    entries = dispatcher.run(_collect(provider.pull_suppressions()))
    done = Pulled(read=len(entries))
    for start in range(0, len(entries), AT_ONCE):
        with store.writing() as connection:
            _keep(connection, store, provider.name, entries[start : start + AT_ONCE], done, now)
    return done


async def _collect(entries: AsyncIterator[Any]) -> list[Any]:
    return [entry async for entry in entries]


def _keep(connection: Connection, store: Store, provider: str, entries: list[Any], done: Pulled, now: Instant) -> None:
    stops: list[NewSuppression] = []
    bounced: list[tuple[str, str]] = []
    for entry in entries:
        kind = entry.address.kind.value
        hashed = store.hash_address(kind, entry.address.value)
        if entry.reason == "bounced":
            bounced.append((kind, hashed))
            continue
        channels = ALL if entry.reason == "complained" else {Channel.EMAIL}
        new = NewSuppression(kind, hashed, entry.at or now, reason=entry.reason, source=f"list:{provider}")
        stops += opt_outs(new, cast("set[Channel]", channels))
    done.new += sum(suppress_many(connection, stops)) if stops else 0
    done.unreachable += mark_unreachable(connection, ids_of_hashes(connection, bounced), "address:bounced", at=now)
