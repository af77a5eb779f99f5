"""Does the host still want this call, at the last second? One question per person, never about an address.

POST url {"user": "4711", "journey": "settled-30d", "step": "call-3", "ref": "…"}  ->  200 {"go": true | false}
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

from providers.base import Outbound
from providers.wire import NoAnswer, Wire

CONFIRM_SECONDS = 2.0  # of the five between gate and call


async def ask_host(url: str, batch: Sequence[Outbound]) -> dict[str, bool]:
    """Go or not, by ref; whoever is missing got no usable answer in time."""
    wire = Wire()
    try:
        found: dict[str, bool] = {}
        await asyncio.wait([asyncio.create_task(_ask(wire, url, o, found)) for o in batch], timeout=CONFIRM_SECONDS)
        return dict(found)
    finally:
        await wire.close()


async def _ask(wire: Wire, url: str, outbound: Outbound, found: dict[str, bool]) -> None:
    question = {"user": outbound.user, "ref": outbound.ref}
    question |= {name: outbound.meta[name] for name in ("journey", "step") if name in outbound.meta}
    headers = {"Content-Type": "application/json"}
    try:
        answer = await wire.ask("POST", url, headers=headers, body=json.dumps(question).encode())
    except NoAnswer:
        return
    said = answer.json().get("go") if answer.is_success else None
    if isinstance(said, bool):
        found[outbound.ref] = said
