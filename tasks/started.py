"""When did this run start? Kept in the process, not in Prefect: a retry at 23:00 must not work by 19:00's clock.

Tasks run in threads of the process their run lives in, and Prefect hands each thread the context it was started
from. So every task of one run agrees on what was due, and nobody gets two messages in one run because a later
step became due while an earlier one was being sent. The gate reads the clock for itself.
"""

from __future__ import annotations

from contextvars import ContextVar

from recall.clock import Instant
from recall.engine.run import CLAIM_FOR
from tasks.setup import setup

_started: ContextVar[Instant | None] = ContextVar("started", default=None)


def begin() -> None:
    """This run starts now."""
    _started.set(setup().clock.now())


def started() -> Instant:
    """When the run around this call started: what was due then is due for the whole run."""
    at = _started.get()
    return setup().clock.now() if at is None else at


def may_claim() -> bool:
    """May the run still take new people? After ten minutes the rest is due next time."""
    return setup().clock.now() - started() <= CLAIM_FOR
