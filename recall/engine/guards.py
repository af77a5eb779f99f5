"""Is it safe to send at all? Two guards that hold when the store or the clock is wrong; the third is the tripwire.

    restore   the store forgot messages that were sent (a backup came back, a replica took over): nothing is sent
              until `recall recover` has read the provider's own log
    clock     the wall clock went back by more than a minute: nothing is sent until it is right again

What they remember stands outside the store, in `var_dir`, so that no store can make them forget. Written at most
once a second, never per message. One host: a second machine has marks of its own; so has a second store that shares
`var_dir`, in a file named after it.
"""

from __future__ import annotations

import json
import os
import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from recall.clock import SECOND, Instant, to_datetime
from recall.errors import Misconfigured
from recall.store.connect import Store
from recall.store.guards import knows_ref, store_epoch

MARK_FILE = "epoch.json"
BACKWARDS_AT_MOST = 60 * SECOND


@dataclass(frozen=True)
class Mark:
    """What is known outside the store: the last message that passed its gate, and how late it was by then."""

    ref: str = ""
    gate_at: Instant = 0
    seen_at: Instant = 0  # the latest time the wall clock ever showed


class Marker:
    """Keeps the mark of one store, durably, beside it: for `var/epoch.json`, in `var/epoch-<its name>.json`."""

    def __init__(self, store: Store, path: Path) -> None:
        self._store = store
        self.path = path.with_name(f"{path.stem}-{store_epoch(store)}{path.suffix}")
        self._written = Mark()
        self._lock = threading.Lock()

    def check(self, now: Instant) -> None:
        """Raise Misconfigured when the store is older than the mark, or the clock went back."""
        mark = self._read()
        if now < mark.seen_at - BACKWARDS_AT_MOST:
            raise Misconfigured(
                f"the clock of this machine went back: it shows {_told(now)} and showed {_told(mark.seen_at)} before; "
                "nothing is sent until it is right (look at its time service)"
            )
        if mark.ref and not knows_ref(self._store, mark.ref):
            raise Misconfigured(
                f"the store is older than what was sent: the message {mark.ref} of {_told(mark.gate_at)} is not in "
                "it (a backup was restored, or another server took over); nothing is sent until `recall recover` "
                "has read the provider's own log"
            )

    def passed(self, refs: Sequence[str], now: Instant) -> None:
        """These messages passed their gate and are committed; called before the provider is."""
        with self._lock:
            if refs and now - self._written.seen_at >= SECOND:
                self._write(Mark(refs[-1], now, max(now, self._read().seen_at)))

    def trust_store(self, now: Instant) -> None:
        """A person recovered the store: it counts as it is, and so does the clock."""
        with self._lock:
            self._write(Mark(seen_at=now))

    def _read(self) -> Mark:
        try:
            return Mark(**json.loads(self.path.read_text()))
        except FileNotFoundError:
            return Mark()
        except (ValueError, TypeError):
            raise Misconfigured(
                f"{self.path.name} cannot be read, so nobody knows what was sent last; `recall recover` writes it anew"
            ) from None

    def _write(self, mark: Mark) -> None:
        """Whole or not at all: a new file, synced, takes the place of the old one."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_name(f"{self.path.name}.{secrets.token_hex(4)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(descriptor, json.dumps(vars(mark)).encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        draft.replace(self.path)
        self._written = mark


def _told(at: Instant) -> str:
    return f"{to_datetime(at):%Y-%m-%d %H:%M:%S} UTC"
