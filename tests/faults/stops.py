"""Where does a sending process stand still? It stops itself at a named place, again and again, until somebody wakes it.

As with a virtual machine that is moved: it knows nothing of it, and goes on in the middle of what it did.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
from collections.abc import Callable
from typing import Any

from recall.engine import caller, calling, send
from recall.engine.dispatch import Dispatcher
from tests.faults.far import Far

UNDER_WAY_SECONDS = 0.04  # after it was begun a request has left, and its answer is not there yet


def _stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def _every(often: int, work: Callable[..., Any], *, after: bool = False) -> Callable[..., Any]:
    """Stop before (or after) each so many-th time of this work."""
    counted = itertools.count(1)

    def done(*given: Any, **named: Any) -> Any:
        stops = next(counted) % often == 0
        if stops and not after:
            _stop()
        result = work(*given, **named)
        if stops and after:
            _stop()
        return result

    return done


def _in_the_call(often: int) -> None:
    counted, post = itertools.count(1), Far._post

    async def posted(far: Far, message: Any) -> Any:
        if next(counted) % (4 * often) == 0:  # four messages a chunk
            asyncio.get_running_loop().call_later(UNDER_WAY_SECONDS, _stop)
        return await post(far, message)

    Far._post = posted  # type: ignore[method-assign]


STOPS: dict[str, Callable[[int], None]] = {
    "in the gate": lambda often: setattr(send, "pass_gate", _every(often, send.pass_gate, after=True)),
    "after the gate": lambda often: setattr(caller, "call_chunk", _every(often, caller.call_chunk)),
    "before the call": lambda often: setattr(Dispatcher, "call", _every(often, Dispatcher.call)),
    "in the call": _in_the_call,
    "before the record": lambda often: setattr(calling, "record", _every(often, calling.record)),
}
