"""How does a message become due again whose bytes never left? Only the live process that knows it may say so."""

from __future__ import annotations

from collections.abc import Sequence

from recall.engine.setup import Setup
from recall.store.ledger import outage
from recall.store.policies import live_policies


def put_back(setup: Setup, refs: Sequence[str]) -> None:
    """Due time and attempt stay as they were before the gate; what is no longer `calling` is left alone."""
    if refs:
        with setup.store.writing() as connection:
            outage(connection, refs, live_policies(connection), now=setup.clock.now())
