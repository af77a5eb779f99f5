"""Who takes the messages of processes that are killed and frozen? A vendor that is a process of its own.

It syncs its log before it answers, and answers whether or not anybody still listens: what it took is the truth.

    python -m tests.faults.far FOLDER SLOW       prints its port; answers after SLOW/4 to SLOW seconds
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from aiohttp import web

from journeys.words import Outcome
from providers.accepted import accept, to_line
from providers.base import Capabilities, Lookup, Outbound, SendResult
from providers.outbox import Outbox, _append
from providers.wire import Wire, send_each
from recall.clock import Clock, SystemClock, to_datetime

ROOT = Path(__file__).parents[2]
LAW_SECONDS = 15.0  # design 5: from a gate to the last byte of its message
AT_ONCE = 8


class Far(Outbox):
    """Our side: an adapter on the same wire as those of real vendors. A lookup reads the vendor's log."""

    caps = Capabilities(
        max_batch=1000, reconcile=Lookup.LOOKUP, authoritative_after_seconds=int(LAW_SECONDS) + 1, simulated=True
    )

    def __init__(self, folder: Path, url: str, *, clock: Clock) -> None:
        super().__init__(folder, clock=clock)
        self._url, self._wire = url, Wire(at_once=AT_ONCE)

    async def send(self, batch: Sequence[Outbound]) -> AsyncIterator[SendResult]:
        async for result in send_each(batch, self._post, at_once=AT_ONCE):
            yield result

    async def _post(self, message: Outbound) -> SendResult:
        line = to_line(accept(message, at=self._clock.now(), provider_id=f"{self.name}-{message.ref}"))
        answer = await self._wire.ask("POST", self._url, body=line.encode())
        if answer.status != 200:
            return SendResult(message.ref, Outcome.IN_DOUBT, code=str(answer.status))
        return SendResult(message.ref, Outcome.ACCEPTED, provider_id=str(answer.json()["id"]))

    async def close(self) -> None:
        await self._wire.close()


# --- the vendor's side ------------------------------------------------------------------------------------


class Desk:
    """Takes one message per request; those that come together share a sync."""

    def __init__(self, folder: Path, slow: float) -> None:
        self._folder, self._slow, self._dice = folder, slow, random.Random(1)
        self._new: list[str] = []
        self._kept: asyncio.Task[None] | None = None

    async def take(self, request: web.Request) -> web.Response:
        row = await request.json()
        row["at"] = to_datetime(SystemClock().now()).isoformat(timespec="microseconds")  # of arrival, by our clock
        self._new.append(json.dumps(row, ensure_ascii=False) + "\n")
        while self._new:
            if self._kept is None:
                self._kept = asyncio.create_task(self._keep())
            await asyncio.shield(self._kept)
        if self._kept is not None:
            await asyncio.shield(self._kept)  # ours is in the one under way
        await asyncio.sleep(self._dice.uniform(self._slow / 4, self._slow))
        return web.json_response({"id": row["provider_id"]})

    async def _keep(self) -> None:
        lines, self._new = self._new, []
        day = to_datetime(SystemClock().now()).date().isoformat()
        try:
            await asyncio.to_thread(_append, self._folder / day / "push.jsonl", "".join(lines))
        finally:
            self._kept = None


async def serve(folder: Path, slow: float) -> None:
    app = web.Application()
    app.router.add_post("/", Desk(folder, slow).take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sys.stdout.write(f"{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)  # until whoever started us is gone


@contextmanager
def running(folder: Path, *, slow: float) -> Iterator[str]:
    """A vendor; its URL."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tests.faults.far", str(folder), str(slow)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdin is not None and process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/"
        process.stdin.close()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), float(sys.argv[2])))
