"""Where may a sending process die? Every step of a send, by name; the process ends there as if killed.

Only test processes import this: what is replaced is replaced in their own memory.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from providers.outbox import Outbox
from recall.engine import caller, calling, reconcile, send
from recall.engine import spool as spooling
from recall.engine.dispatch import Dispatcher
from recall.errors import StoreBusy

DEAD = 9  # exit code of a process that died at its point


def _die(*_given: Any, **_named: Any) -> Any:
    os._exit(DEAD)


def _then_die(work: Callable[..., Any]) -> Callable[..., Any]:
    def done(*given: Any, **named: Any) -> Any:
        work(*given, **named)
        os._exit(DEAD)

    return done


def _busy(*_given: Any, **_named: Any) -> Any:
    raise StoreBusy("away")


def _store_is_away() -> None:
    calling._SETTLE_WAITS_SECONDS = (0.0,)
    calling.settle = _busy  # type: ignore[assignment]


def _in_spool() -> None:
    _store_is_away()
    calling.spool = _then_die(spooling.spool)


def _before_spool() -> None:
    _store_is_away()
    calling.spool = _die


POINTS: dict[str, Callable[[], None]] = {
    "before the gate": lambda: setattr(send, "pass_gate", _die),
    "in the gate, before its commit": lambda: setattr(send, "pass_gate", _then_die(send.pass_gate)),
    "after the gate's commit": lambda: setattr(caller, "call_chunk", _die),
    "before the call": lambda: setattr(Dispatcher, "call", _die),
    "before the request is kept": lambda: setattr(Outbox, "_take", _die),
    "after the request is kept": lambda: setattr(Outbox, "_take", _then_die(Outbox._take)),
    "before the record": lambda: setattr(calling, "record", _die),
    "in the record, before its commit": lambda: setattr(calling, "settle", _then_die(calling.settle)),
    "after the record's commit": lambda: setattr(calling, "record", _then_die(calling.record)),
    "before the spool": _before_spool,
    "after the spool": _in_spool,
    "in the reconciler, before doubts are committed": lambda: setattr(reconcile, "doubt", _then_die(reconcile.doubt)),
}
