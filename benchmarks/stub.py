"""What stands at the far end of a benchmark? A provider that costs little, counts everything and forgets nothing.

    .venv/bin/python -m benchmarks.stub [--delay-ms 50]        prints its port

    POST /send    {"ref": …, "to": …, "text": …}     one message
    POST /batch   [{…}, {…}, …]                      several
    GET  /counts  what it took: messages, distinct refs, repeats, and by whom (header X-Worker)
    POST /forget  begin anew

A ref that comes again is answered like the first time and counted as a repeat.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import orjson

ROOT = Path(__file__).parents[1]
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_WORKER = re.compile(rb"\r\nx-worker: *(\S+)", re.IGNORECASE)


@dataclass
class Log:
    """Everything the stub took."""

    refs: set[str] = field(default_factory=set)
    messages: int = 0
    requests: int = 0
    by_worker: Counter[str] = field(default_factory=Counter)
    longest_pause: dict[str, float] = field(default_factory=dict)  # between two requests of one worker, in seconds
    _latest: dict[str, float] = field(default_factory=dict)

    def take(self, refs: list[str], worker: str) -> None:
        self.requests += 1
        self.messages += len(refs)
        self.refs.update(refs)
        if worker:
            self.by_worker[worker] += len(refs)
            now = monotonic()
            pause = now - self._latest.get(worker, now)
            self.longest_pause[worker] = max(self.longest_pause.get(worker, 0.0), pause)
            self._latest[worker] = now

    def told(self) -> dict[str, Any]:
        return {
            "messages": self.messages,
            "distinct": len(self.refs),
            "repeats": self.messages - len(self.refs),
            "requests": self.requests,
            "by_worker": dict(self.by_worker),
            "longest_pause": self.longest_pause,
            "late": {worker: max(self._latest.values()) - at for worker, at in self._latest.items()},
        }


class Connection(asyncio.Protocol):
    """One keep-alive connection; reads just enough HTTP for the benchmarks' clients."""

    log = Log()
    delay = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.kept = b""

    def data_received(self, data: bytes) -> None:
        self.kept += data
        while (end := self.kept.find(b"\r\n\r\n")) >= 0:
            head = self.kept[:end]
            found = _LENGTH.search(head)
            length = int(found.group(1)) if found else 0
            if len(self.kept) < end + 4 + length:
                return
            body, self.kept = self.kept[end + 4 : end + 4 + length], self.kept[end + 4 + length :]
            answer = self._answer(head, body)
            if self.delay:
                asyncio.get_running_loop().call_later(self.delay, self._write, answer)
            else:
                self._write(answer)

    def _answer(self, head: bytes, body: bytes) -> bytes:
        log = type(self).log
        if head.startswith(b"POST /send"):
            message = orjson.loads(body)
            log.take([message["ref"]], _worker(head))
            return b'{"id": "p-' + str(message["ref"]).encode() + b'"}'
        if head.startswith(b"POST /batch"):
            refs = [message["ref"] for message in orjson.loads(body)]
            log.take(refs, _worker(head))
            return orjson.dumps([{"ref": ref, "id": f"p-{ref}"} for ref in refs])
        if head.startswith(b"POST /forget"):
            type(self).log = Log()
        return bytes(orjson.dumps(type(self).log.told()))

    def _write(self, body: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
            )


def _worker(head: bytes) -> str:
    found = _WORKER.search(head)
    return found.group(1).decode() if found else ""


async def serve(delay: float) -> None:
    Connection.delay = delay
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


# --- from the other side ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stub:
    """A running stub."""

    url: str
    pid: int

    def counts(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url}/counts", timeout=10) as answer:
            return dict(json.load(answer))


@contextmanager
def running(*, delay: float = 0.0) -> Iterator[Stub]:
    """A stub in a process of its own; `delay` is seconds from request to answer."""
    command = [sys.executable, "-m", "benchmarks.stub", "--delay-ms", str(delay * 1000)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        try:
            yield Stub(f"http://127.0.0.1:{int(process.stdout.readline())}", process.pid)
        finally:
            process.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--delay-ms", type=float, default=0.0)
    asyncio.run(serve(parser.parse_args().delay_ms / 1000))


if __name__ == "__main__":
    main()
