"""How does a request to a vendor leave, and what do we know when it fails?

One aiohttp session per provider, on the loop of the dispatcher. Nothing is ever posted twice: no retries, no
redirects, no proxy or password from the environment, no cookies (aiohttp may repeat a GET, which only reads).
Every request ends within ten seconds, and an answer is read up to 1 MB. What fails before a connection stands was
certainly not sent; what fails later is in doubt, because a failure before delivery and one after it look the same
from here.
"""

from __future__ import annotations

import asyncio
import json
import math
import zlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from ssl import SSLError
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from journeys.words import NO_TURN, Cause, Outcome
from providers.base import Outbound, SendResult
from recall.clock import SECOND, Instant, elapsed_seconds, to_instant
from recall.errors import ChannelDown, Misconfigured

CONNECT_SECONDS = 3.0  # DNS, TCP and TLS together
READ_SECONDS = 7.0  # silence between two bytes
TOTAL_SECONDS = 10.0
BATCH_SECONDS = 9.5  # all answers of a batch: a little before the dispatcher gives up on it
START_SECONDS = 2.5  # a request that could not start by then does not start: it needs 7 s
MAX_ANSWER_BYTES = 1_000_000
MAX_RETRY_AFTER_SECONDS = 3600.0
PULSE_SECONDS = 1.0  # a vendor that took a message so long ago, and has failed none since, works
IDLE_SECONDS = 10.0  # an idle connection is closed by us before a vendor closes it under a request
FIRST_AT_ONCE = 16  # requests under way before the vendor has taken the first
GIVE_UP_AFTER = 20  # failures in a row: the rest of the batch stays here

Headers = Mapping[str, str]


class NoAnswer(Exception):
    """A request without a usable answer. The text has no address, no body, no host."""

    def __init__(self, outcome: Outcome, code: str, cause: Cause | None = None) -> None:
        super().__init__(f"{outcome} ({code})")
        self.outcome = outcome
        self.cause = cause
        self.code = code

    def result(self, ref: str) -> SendResult:
        return SendResult(ref, self.outcome, self.cause, code=self.code)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a vendor answered, whole and unpacked."""

    status: int
    headers: Headers
    body: bytes

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    def text(self) -> str:
        return self.body.decode("utf-8", errors="replace")

    def json(self) -> dict[str, object]:
        """The JSON object of the body; {} for anything else, however broken."""
        try:
            read = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return read if isinstance(read, dict) else {}

    def retry_after_seconds(self, now: Instant, *, header: str = "Retry-After") -> float | None:
        return retry_after_seconds(self.headers.get(header, ""), now)


def retry_after_seconds(value: str, now: Instant) -> float | None:
    """Seconds or an HTTP date, at most an hour; None when it says nothing."""
    text = value.strip()[:100]
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = (to_instant(parsedate_to_datetime(text)) - now) / SECOND
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
    return None if math.isnan(seconds) else min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)


class Pulse:
    """Does the vendor work? It does when it took a message a moment ago, and has failed none since."""

    def __init__(self) -> None:
        self._felt_at = -math.inf

    @property
    def is_felt(self) -> bool:
        return elapsed_seconds() - self._felt_at < PULSE_SECONDS

    def feel(self, result: SendResult) -> None:
        self._felt_at = -math.inf if _is_failure(result) else elapsed_seconds()


def _is_failure(result: SendResult) -> bool:
    return result.outcome in (Outcome.NOT_SENT, Outcome.IN_DOUBT)


class Wire:
    """The HTTP session of one provider. All calls on one loop; opened by the first request, closed by `close`."""

    def __init__(self, *, at_once: int = 64) -> None:
        self.at_once = at_once
        self.pulse = Pulse()
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def ask(
        self, method: str, url: str | URL, *, headers: Headers | None = None, body: bytes | None = None
    ) -> Answer:
        """One request, sent at most once; raises NoAnswer, which says whether it can have arrived.

        `url` is sent as it is written: quote what you put into it.
        """
        target = url if isinstance(url, URL) else URL(url, encoded=True)
        session = self._open()
        # All headers by request: aiohttp merges a session's own ones by lists and copies, for each request anew.
        sent = {"Accept-Encoding": "identity", **(headers or {})}
        skip = None if "Content-Type" in sent else ("Content-Type",)
        try:
            request = session.request(
                method, target, headers=sent, data=body, allow_redirects=False, skip_auto_headers=skip
            )
            async with request as response:
                return Answer(response.status, response.headers, await _read(response))
        except NoAnswer:
            raise
        except Exception as error:
            raise no_answer(error) from None  # its text may show the address or the host

    async def close(self) -> None:
        """Close all connections; the next request opens a new session."""
        session, self._session = self._session, None
        if session is not None and self._loop is asyncio.get_running_loop():
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        if self._session is None or self._loop is not loop:
            self._loop = loop
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self.at_once, keepalive_timeout=IDLE_SECONDS),
                timeout=aiohttp.ClientTimeout(
                    total=TOTAL_SECONDS,
                    connect=CONNECT_SECONDS,
                    sock_connect=CONNECT_SECONDS,
                    sock_read=READ_SECONDS,
                    ceil_threshold=2 * TOTAL_SECONDS,  # aiohttp rounds timeouts from this on up to whole seconds
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,  # a small answer may unpack to gigabytes: see _unpack
                trust_env=False,
            )
        return self._session


async def _read(response: aiohttp.ClientResponse) -> bytes:
    parts, size = [], 0
    async for part in response.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > MAX_ANSWER_BYTES:
            response.close()
            raise NoAnswer(Outcome.IN_DOUBT, "answer_too_big")
    return _unpack(b"".join(parts), response.headers.get("Content-Encoding", ""))


def _unpack(data: bytes, encoding: str) -> bytes:
    """We ask for no compression; who compresses anyway is read up to the same limit."""
    kind = encoding.strip().lower()
    if kind in ("", "identity"):
        return data
    if kind not in ("gzip", "x-gzip", "deflate"):
        raise NoAnswer(Outcome.IN_DOUBT, "unreadable_encoding")
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # zlib or gzip, by its head
    try:
        unpacked = unpacker.decompress(data, MAX_ANSWER_BYTES + 1)
    except zlib.error:
        raise NoAnswer(Outcome.IN_DOUBT, "unreadable_encoding") from None
    if len(unpacked) > MAX_ANSWER_BYTES:
        raise NoAnswer(Outcome.IN_DOUBT, "answer_too_big")
    return unpacked


_Kinds = type[BaseException] | tuple[type[BaseException], ...]

# Raised by aiohttp only while a connection is made, so nothing of the request has left. In order of precedence.
_BEFORE_THE_WIRE: tuple[tuple[_Kinds, str], ...] = (
    (aiohttp.ClientConnectorDNSError, "dns"),
    ((aiohttp.ClientSSLError, aiohttp.ServerFingerprintMismatch), "tls"),
    (aiohttp.ClientConnectorError, "connect"),
    (aiohttp.ConnectionTimeoutError, "connect_timeout"),
    (aiohttp.InvalidURL, "bad_url"),
)
# Bytes may have left.
_AFTER: tuple[tuple[_Kinds, str], ...] = (
    ((aiohttp.SocketTimeoutError, TimeoutError), "timeout"),
    (aiohttp.ServerDisconnectedError, "disconnected"),
    (aiohttp.ClientPayloadError, "torn"),
    (aiohttp.ClientResponseError, "malformed"),
    (SSLError, "tls_broken"),
    (OSError, "reset"),
)


def no_answer(error: BaseException) -> NoAnswer:
    """Any exception of a request as what it means; in doubt unless it can only come from making the connection."""
    for kind, code in _BEFORE_THE_WIRE:
        if isinstance(error, kind):
            return NoAnswer(Outcome.NOT_SENT, code, Cause.CONNECT)
    for kind, code in _AFTER:
        if isinstance(error, kind):
            return NoAnswer(Outcome.IN_DOUBT, code)
    return NoAnswer(Outcome.IN_DOUBT, f"adapter: {type(error).__name__}")


Send = Callable[[Outbound], Awaitable[SendResult]]


async def send_each(
    batch: Sequence[Outbound], one: Send, *, at_once: int, pulse: Pulse | None = None
) -> AsyncIterator[SendResult]:
    """Send messages by one request each, `at_once` at a time; for vendors without batches.

    `one` returns the result of a message or raises ChannelDown, when the vendor did not take it for reasons
    that hold for all. Then nothing more is started, what is under way is waited for, its results are handed
    over, and ChannelDown is raised for the rest. If one of those results is a doubt, it is not raised: the
    caller would take the whole batch for unsent. The rest is `not_sent` then, and the next batch finds out.

    A request starts within START_SECONDS or not at all, and after GIVE_UP_AFTER failures in a row the rest
    stays here: an outage must not turn a thousand messages into a thousand doubts. For the same reason no more
    than FIRST_AT_ONCE are under way until one is taken, unless `pulse`, the wire's, tells that the vendor works.
    """
    work = _Work(batch, one, at_once, pulse or Pulse())
    async with aclosing(work.results()) as results:
        async for result in results:
            yield result
    for result in work.left_over():
        yield result
    if work.down is not None and not work.has_doubt:
        raise work.down


class _Work:
    """One batch under way."""

    def __init__(self, batch: Sequence[Outbound], one: Send, at_once: int, pulse: Pulse) -> None:
        self.at_once = at_once
        self.pulse = pulse
        self.waiting = deque(batch)
        self.one = one
        self.started = elapsed_seconds()
        self.is_over = False
        self.done: asyncio.Queue[SendResult | None] = asyncio.Queue()
        self.workers: list[asyncio.Task[None]] = []
        self.down: ChannelDown | None = None
        self.declined: list[Outbound] = []  # asked for, and not taken for reasons that hold for all
        self.has_doubt = False
        self.failures = 0  # in a row
        self.last_failure: SendResult | None = None

    async def results(self) -> AsyncGenerator[SendResult, None]:
        self._hire(self.at_once if self.pulse.is_felt else min(self.at_once, FIRST_AT_ONCE))
        # One timer for all: one per message would cost as much as reading its answer.
        end = asyncio.get_running_loop().call_later(BATCH_SECONDS, self._end)
        gone = 0
        try:
            while gone < len(self.workers):
                result = await self.done.get()
                if result is None:
                    gone += 1
                    continue
                yield result
        finally:
            end.cancel()
            for worker in self.workers:
                worker.cancel()
            await asyncio.gather(*self.workers, return_exceptions=True)

    def _end(self) -> None:
        """Whatever has no answer by now is a doubt."""
        self.is_over = True
        for worker in self.workers:
            worker.cancel()

    def left_over(self) -> list[SendResult]:
        """Results for messages that were never tried."""
        if self.down is not None and not self.has_doubt:
            return []
        rest = [*self.declined, *self.waiting]
        if self.down is not None:
            return [SendResult(each.ref, Outcome.NOT_SENT, Cause.CONNECT, code="configuration") for each in rest]
        last = self.last_failure
        if self._is_broken() and last is not None:
            cause, pause = last.cause or Cause.CONNECT, last.retry_after_seconds
            return [
                SendResult(each.ref, Outcome.NOT_SENT, cause, code="gave_up", retry_after_seconds=pause)
                for each in rest
            ]
        return [SendResult(each.ref, Outcome.NOT_SENT, Cause.THROTTLED, code=NO_TURN) for each in rest]

    def _hire(self, number: int) -> None:
        for _ in range(min(number, len(self.waiting))):
            self.workers.append(asyncio.create_task(self._work()))

    async def _work(self) -> None:
        try:
            while self.waiting and self._may_start():
                message = self.waiting.popleft()
                try:
                    result = await self._answer(message)
                except ChannelDown as down:
                    self.down = self.down or down
                    self.declined.append(message)
                    return
                self._note(result)
                self.done.put_nowait(result)
        finally:
            self.done.put_nowait(None)

    async def _answer(self, message: Outbound) -> SendResult:
        """The result of one message: in doubt whenever we cannot tell."""
        try:
            return await self.one(message)
        except ChannelDown:
            raise
        except asyncio.CancelledError:
            if not self.is_over:
                raise
            return SendResult(message.ref, Outcome.IN_DOUBT, code="timeout")
        except NoAnswer as failure:
            return failure.result(message.ref)
        except TimeoutError:
            return SendResult(message.ref, Outcome.IN_DOUBT, code="timeout")
        except Exception as error:  # a bug in an adapter or an SDK: the vendor may have taken it
            return SendResult(message.ref, Outcome.IN_DOUBT, code=f"adapter: {type(error).__name__}")

    def _note(self, result: SendResult) -> None:
        self.pulse.feel(result)
        self.has_doubt |= result.outcome is Outcome.IN_DOUBT
        if _is_failure(result):
            self.failures += 1
            self.last_failure = result
            return
        self.failures = 0
        self._hire(self.at_once - len(self.workers))  # the vendor works: more at once

    def _is_broken(self) -> bool:
        return self.failures >= GIVE_UP_AFTER

    def _may_start(self) -> bool:
        is_early = elapsed_seconds() - self.started < START_SECONDS
        return is_early and not self.is_over and self.down is None and not self._is_broken()


def base_url(text: str) -> str:
    """A vendor's base URL from the options, without a slash at its end; https unless it is this machine."""
    parts = urlsplit(text)
    is_local = parts.hostname in ("127.0.0.1", "::1", "localhost")
    if not parts.hostname or parts.username or parts.query or not (parts.scheme == "https" or is_local):
        raise Misconfigured("base_url must be an https URL without password and query")
    return text.rstrip("/")
