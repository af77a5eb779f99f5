"""What would have been sent? Keeps messages in readable files instead of sending them.

    var/outbox/2026-03-01/sms.jsonl      one line per accepted request, in the order taken

The files are this provider's own durable log: it never drops a second request with the same ref, and a line is
on disk before the request is answered. Several processes may write at once; a kill in mid-write leaves at most
one torn line, which no reader counts.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from journeys.words import Cause, Channel, Outcome
from providers.accepted import Accepted, accept, from_line, ref_of, to_line
from providers.base import (
    Capabilities,
    Check,
    InDoubt,
    Lookup,
    Outbound,
    Preflight,
    ProviderEvent,
    RawRequest,
    SendResult,
)
from providers.faults import Fail, Fault, answer, fault_from, fault_now
from recall.clock import SECOND, Clock, to_datetime
from recall.errors import ChannelDown, WebhookRejected
from recall.settings import Settings

# A request lasts at most 15 s from its gate; after that a ref not in the files was never taken.
AUTHORITATIVE_AFTER_SECONDS = 30


def make(name: str, settings: Settings, clock: Clock, options: Mapping[str, str]) -> Outbox:
    """Open the outbox in its folder under `var_dir`."""
    return Outbox(settings.var_dir / name, clock=clock, fault=fault_from(options), name=name)


class Outbox:
    """Takes every message of every channel and sends none."""

    caps = Capabilities(
        max_batch=1000,
        reconcile=Lookup.LOOKUP,
        authoritative_after_seconds=AUTHORITATIVE_AFTER_SECONDS,
        simulated=True,
    )

    def __init__(self, folder: Path, *, clock: Clock, fault: Fault | None = None, name: str = "outbox") -> None:
        self.name = name
        self.folder = folder
        self._clock = clock
        self._options = fault or Fault()

    async def send(self, batch: Sequence[Outbound]) -> AsyncIterator[SendResult]:
        """Keep what may be kept, then answer; see `providers.faults` for what can be made to fail."""
        fault = fault_now(self.folder, self._options)
        async for result in answer(batch, fault=fault, take=self._take):
            yield result

    async def reconcile(self, items: Sequence[InDoubt]) -> list[SendResult]:
        """Look the refs up: found means accepted; absent means not sent, once no request can be under way."""
        found = await asyncio.to_thread(find_refs, self.folder, {item.ref for item in items})
        settled_before = self._clock.now() - AUTHORITATIVE_AFTER_SECONDS * SECOND
        results = []
        for item in items:
            if item.ref in found:
                results.append(SendResult(item.ref, Outcome.ACCEPTED, provider_id=f"{self.name}-{item.ref}"))
            elif item.gate_at <= settled_before:
                results.append(SendResult(item.ref, Outcome.NOT_SENT, Cause.CONNECT, code="not_in_log"))
        return results

    def read_events(self, request: RawRequest) -> list[ProviderEvent]:
        """An outbox has no vendor that could call us."""
        raise WebhookRejected(f"{self.name} takes no webhooks")

    async def preflight(self) -> Preflight:
        try:
            fault = fault_now(self.folder, self._options)
            self.folder.mkdir(parents=True, exist_ok=True)
        except (ChannelDown, OSError) as error:
            return Preflight((Check("folder", False, f"the outbox folder cannot be used: {type(error).__name__}"),))
        if fault.fail is Fail.CONFIG:
            return Preflight((Check("account", False, "switched off by a fault; remove fault.json"),))
        return Preflight((Check("folder", True, "messages are kept in files, nothing is sent"),))

    async def close(self) -> None:
        """Nothing is held open between requests."""

    def _take(self, batch: list[Outbound]) -> list[SendResult]:
        """Write one durable line per message; in doubt if the disk fails, as some lines may be there."""
        now = self._clock.now()
        kept = [accept(message, at=now, provider_id=f"{self.name}-{message.ref}") for message in batch]
        try:
            for channel, rows in groupby(sorted(kept, key=_channel), key=_channel):
                day = to_datetime(now).date().isoformat()
                _append(self.folder / day / f"{channel}.jsonl", "".join(to_line(row) + "\n" for row in rows))
        except OSError as error:
            return [SendResult(row.ref, Outcome.IN_DOUBT, code=f"errno_{error.errno}") for row in kept]
        return [SendResult(row.ref, Outcome.ACCEPTED, provider_id=row.provider_id) for row in kept]


def _channel(row: Accepted) -> Channel:
    return row.channel


def accepted_log(folder: Path) -> Iterator[Accepted]:
    """Every accepted request, by day and channel, in the order taken."""
    for line in _lines(folder):
        row = from_line(line)
        if row is not None:
            yield row


def find_refs(folder: Path, refs: set[str]) -> set[str]:
    """Which of these refs are in the log; reads newest days first and stops when all are found."""
    found: set[str] = set()
    if refs:
        for line in _lines(folder, newest_first=True):
            if ref_of(line) in refs and from_line(line) is not None:
                found.add(ref_of(line))
                if found == refs:
                    break
    return found


def _lines(folder: Path, *, newest_first: bool = False) -> Iterator[str]:
    days = sorted(folder.glob("????-??-??"), reverse=newest_first)
    for path in (path for day in days for path in sorted(day.glob("*.jsonl"))):
        with path.open(encoding="utf-8", errors="replace") as lines:
            yield from lines


def _append(path: Path, text: str) -> None:
    """Append whole lines and make them durable; a line torn by an earlier crash is closed off first."""
    created = not path.exists()
    if created:
        path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # given up by the system if we are killed
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        _write_all(descriptor, (("\n" if torn else "") + text).encode("utf-8"))
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if created:
        _sync_folders(path.parent)


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _sync_folders(day: Path) -> None:
    """Make the names of a new file and a new day durable too."""
    for folder in (day, day.parent):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
