"""Who came back, and who has to leave? Goals, exit rules, opt-outs and receipts, before anybody is messaged."""

from __future__ import annotations

from recall.engine.setup import Setup
from recall.store.changes import Converged, converge_some
from recall.store.policies import live_policies
from recall.store.receipts import apply_receipts


def converge(setup: Setup) -> Converged:
    """Apply what vendors told us, then draw the consequences for everybody who changed since the last time."""
    drain_receipts(setup)
    total = Converged()
    while True:
        with setup.store.writing() as connection:
            done = converge_some(connection, live_policies(connection), now=setup.clock.now())
        if not done.users:
            return total
        total.users += done.users
        total.recalled += done.recalled
        for reason, count in done.ended.items():
            total.ended[reason] = total.ended.get(reason, 0) + count


def drain_receipts(setup: Setup) -> int:
    """Bring the whole inbox into the ledger; returns how many receipts were applied."""
    applied = 0
    while True:
        with setup.store.writing() as connection:
            some = apply_receipts(connection, live_policies(connection), now=setup.clock.now())
        if not some:
            return applied
        applied += some
