"""A vendor on the loopback that can be made to fail in every way a vendor fails; it keeps its own log of requests.

    vendor = Vendor(answer)                  answer(seen) -> Reply: how the vendor behaves on a good day
    vendor.url                               what the adapter gets as its base URL
    vendor.seen                              every request that arrived, with time and body
    vendor.behave(throttle(7), times=1)      what it does from now on; behave(None): a good day again
    vendor.stop_listening() / .listen()      connection refused

It runs on a thread and loop of its own, so that the client's loop may stand still meanwhile. `answer` is asked
once per accepted request: what it notes down is the far end's log, the oracle of the tests.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, parse_qsl, urlsplit

from aiohttp import web

from providers.faults import Fail


@dataclass(frozen=True)
class Seen:
    """One request as it arrived."""

    method: str
    path: str  # with the query
    headers: Mapping[str, str]
    body: bytes
    at: float  # time.monotonic

    @property
    def form(self) -> dict[str, list[str]]:
        return parse_qs(self.body.decode(), keep_blank_values=True, strict_parsing=bool(self.body))

    @property
    def pairs(self) -> list[tuple[str, str]]:
        return parse_qsl(self.body.decode(), keep_blank_values=True)

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))

    def json(self):
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """What the vendor says."""

    status: int = 200
    body: bytes | str | dict | list = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def raw(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()

    def response(self) -> web.Response:
        kind = "application/json" if isinstance(self.body, dict | list) else "text/html"
        return web.Response(status=self.status, body=self.raw(), headers={"Content-Type": kind, **self.headers})


Answer = Callable[[Seen], Reply]
Behaviour = Callable[[web.BaseRequest, Callable[[], Reply]], Awaitable[web.StreamResponse]]


class Vendor:
    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.seen: list[Seen] = []
        self.port = 0
        self._behaviour: Behaviour | None = None
        self._times: int | None = None
        self._only: Callable[[Seen], bool] = _is_post
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._site: web.TCPSite | None = None
        self._run(self._start())

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def posts(self) -> list[Seen]:
        return [seen for seen in self.seen if seen.method == "POST"]

    def behave(
        self, behaviour: Behaviour | None, *, times: int | None = None, only: Callable[[Seen], bool] | None = None
    ) -> None:
        """Do this to every POST (or to those `only` says) from now on, or so many `times`."""
        with self._lock:
            self._behaviour, self._times, self._only = behaviour, times, only or _is_post

    def break_with(self, fail: Fail | None, *, unsent: Behaviour, config: Behaviour) -> None:
        """The faults of the contract; `unsent` is this vendor's throttle, `config` its complaint about our key."""
        if self._site is None:
            self.listen()
        self.behave(None)
        match fail:
            case Fail.CONNECT:
                self.stop_listening()
            case Fail.THROTTLED:
                self.behave(unsent)
            case Fail.CONFIG:
                self.behave(config, only=lambda seen: True)
            case Fail.SERVER_ERROR:
                self.behave(reply(503, {"message": "unavailable"}))
            case Fail.HANG:
                self.behave(hang())
            case Fail.ACCEPT_THEN_HANG:
                self.behave(taken(hang()))
            case Fail.ACCEPT_THEN_LOSE:
                self.behave(taken(reply(502, "<html>Bad Gateway</html>")))
            case Fail.ACCEPT_THEN_DROP:
                self.behave(taken(reset()))

    def stop_listening(self) -> None:
        site, self._site = self._site, None
        if site is not None:
            self._run(site.stop())

    def listen(self) -> None:
        self._run(self._listen())

    def close(self) -> None:
        self._run(self._runner.cleanup())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    async def _start(self) -> None:
        self._runner = web.ServerRunner(web.Server(self._handle), shutdown_timeout=0.05)
        await self._runner.setup()
        await self._listen()

    async def _listen(self) -> None:
        self._site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await self._site.start()
        self.port = self._runner.addresses[-1][1]

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        seen = Seen(request.method, request.path_qs, dict(request.headers), body, time.monotonic())
        self.seen.append(seen)
        behaviour = self._next(seen)
        if behaviour is None:
            return self.answer(seen).response()
        return await behaviour(request, lambda: self.answer(seen))

    def _next(self, seen: Seen) -> Behaviour | None:
        with self._lock:
            if self._behaviour is None or not self._only(seen) or self._times == 0:
                return None
            if self._times is not None:
                self._times -= 1
            return self._behaviour


def _is_post(seen: Seen) -> bool:
    return seen.method == "POST"


# --- what a vendor can do instead of answering; nothing is taken unless wrapped in `taken` ------------------------


def taken(then: Behaviour) -> Behaviour:
    """The request is accepted, and then this happens to its answer."""

    async def behave(request: web.BaseRequest, answer: Callable[[], Reply]) -> web.StreamResponse:
        good = answer()
        return await then(request, lambda: good)

    return behave


def reply(status: int, body: bytes | str | dict | list = b"", **headers: str) -> Behaviour:
    """This answer to everything; `Retry_After` is sent as Retry-After."""

    async def behave(request: web.BaseRequest, answer: Callable[[], Reply]) -> web.StreamResponse:
        return Reply(status, body, {name.replace("_", "-"): value for name, value in headers.items()}).response()

    return behave


def throttle(retry_after: str | float = 7, body: bytes | str | dict | list = b"") -> Behaviour:
    return reply(429, body, Retry_After=str(retry_after))


def html_with_200() -> Behaviour:
    return reply(200, "<html><body>Please sign in</body></html>")


def redirect(to: str, status: int = 307) -> Behaviour:
    return reply(status, Location=to)


def hang() -> Behaviour:
    async def behave(request: web.BaseRequest, answer: Callable[[], Reply]) -> web.StreamResponse:
        await asyncio.sleep(60)
        raise AssertionError("nobody waits so long")

    return behave


def late(seconds: float) -> Behaviour:
    """The good answer, but late."""

    async def behave(request: web.BaseRequest, answer: Callable[[], Reply]) -> web.StreamResponse:
        good = answer()
        await asyncio.sleep(seconds)
        return good.response()

    return behave


def reset() -> Behaviour:
    """The connection is torn down before a byte of the answer."""

    async def behave(request: web.BaseRequest, answer: Callable[[], Reply]) -> web.StreamResponse:
        return _abort(request)

    return behave


def truncated() -> Behaviour:
    """A whole response, but the JSON in it stops in the middle."""

    async def behave(request: web.BaseRequest, answer: Callable[[], Reply]) -> web.StreamResponse:
        good = answer()
        return Reply(good.status, good.raw()[: len(good.raw()) // 2], good.headers).response()

    return behave


def torn() -> Behaviour:
    """Fewer bytes than announced, then the connection ends."""

    async def behave(request: web.BaseRequest, answer: Callable[[], Reply]) -> web.StreamResponse:
        good = answer()
        response = web.StreamResponse(status=good.status, headers={"Content-Length": str(len(good.raw()) + 100)})
        await response.prepare(request)
        await response.write(good.raw()[:10])
        return _abort(request)

    return behave


def slowly(seconds: float = 1.0) -> Behaviour:
    """One byte at a time."""

    async def behave(request: web.BaseRequest, answer: Callable[[], Reply]) -> web.StreamResponse:
        good = answer()
        response = web.StreamResponse(status=good.status)
        await response.prepare(request)
        for byte in good.raw():
            await response.write(bytes([byte]))
            await asyncio.sleep(seconds)
        return response

    return behave


def without(*names: str) -> Behaviour:
    """The good JSON answer without these fields."""

    async def behave(request: web.BaseRequest, answer: Callable[[], Reply]) -> web.StreamResponse:
        good = answer()
        rest = {name: value for name, value in json.loads(good.raw()).items() if name not in names}
        return Reply(good.status, rest, good.headers).response()

    return behave


def changed(**fields: object) -> Behaviour:
    """The good JSON answer with other values."""

    async def behave(request: web.BaseRequest, answer: Callable[[], Reply]) -> web.StreamResponse:
        good = answer()
        return Reply(good.status, {**json.loads(good.raw()), **fields}, good.headers).response()

    return behave


def gzip_bomb(megabytes: int = 50, status: int = 200) -> Behaviour:
    packed = gzip.compress(b" " * (megabytes << 20))
    return reply(status, packed, Content_Encoding="gzip")


def endless(status: int = 200) -> Behaviour:
    """A body that never ends, as fast as it is read."""

    async def behave(request: web.BaseRequest, answer: Callable[[], Reply]) -> web.StreamResponse:
        response = web.StreamResponse(status=status)
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65_536)

    return behave


def _abort(request: web.BaseRequest) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    raise asyncio.CancelledError
