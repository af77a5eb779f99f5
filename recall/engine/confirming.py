"""Is a call stopped by the host at the last second? No is final; no answer means later, never "go"."""

from __future__ import annotations

from collections.abc import Sequence

from providers.base import Outbound
from providers.confirm import ask_host
from recall.engine.setup import Setup
from recall.engine.untouched import put_back
from recall.errors import Misconfigured
from recall.store.gate import Gate
from recall.store.ledger import cancel
from recall.store.policies import live_policies


def confirm_chunk(setup: Setup, gate: Gate, outbound: Sequence[Outbound]) -> list[Outbound]:
    """Those the host lets go; the others are cancelled, or due again where the host did not answer."""
    name = gate.of.node.confirm
    if name is None:
        return list(outbound)
    if name not in setup.confirm_urls:
        put_back(setup, [o.ref for o in outbound])
        raise Misconfigured(
            f"{gate.of.version.name}/{gate.of.node.name} asks {name!r} first; set its URL in RECALL_CONFIRM_URLS"
        )
    said = setup.dispatcher.run(ask_host(setup.confirm_urls[name], outbound))
    put_back(setup, [o.ref for o in outbound if o.ref not in said])
    _cancel(setup, [ref for ref, go in said.items() if not go], name)
    return [o for o in outbound if said.get(o.ref)]


def _cancel(setup: Setup, refs: Sequence[str], name: str) -> None:
    if refs:
        with setup.store.writing() as connection:
            cancel(connection, refs, live_policies(connection), why=f"confirm: {name}", now=setup.clock.now())
