"""How does a person's word about a plan reach the gate? As a row of the store, which the next run reads."""

from __future__ import annotations

from recall.errors import Misconfigured
from recall.store.connect import Connection
from recall.store.controls import ControlKind, clear_control, set_control
from recall.store.versions import Version, published_journeys
from tasks.edge import edge
from tasks.retrying import piece
from tasks.setup import setup

SHORTEST_HASH = 8


@piece("approve", "approve {plan:.12}")
def approve(plan: str, approved: bool, reason: str) -> str:
    """Approve the published version with this hash, or take an approval back; returns which journey it is."""
    with edge("approve"), setup().store.writing() as connection:
        version = _find(connection, plan)
        say = set_control if approved else clear_control
        at = setup().clock.now()
        say(connection, ControlKind.APPROVED, version.hash, who="prefect", why=reason, at=at)
    return f"{version.name} version {version.number}"


def _find(connection: Connection, plan: str) -> Version:
    """The current version of a journey whose hash begins so."""
    current = published_journeys(connection)
    found = [version for version in current if len(plan) >= SHORTEST_HASH and version.hash.startswith(plan)]
    if len(found) != 1:
        known = ", ".join(f"{version.name} {version.hash[:12]}" for version in current)
        raise Misconfigured(f"no published journey has this plan hash; published are: {known or 'none'}")
    return found[0]
