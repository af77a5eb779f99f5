"""Does a request leave at most once, end in time, and say whether it can have arrived?"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time

import aiohttp
import pytest

from journeys.words import AddressKind, Cause, Channel, Outcome
from providers import wire as wire_file
from providers.base import Address, Content, Outbound, SendResult
from providers.masking import code_of, excerpt, mask
from providers.wire import (
    FIRST_AT_ONCE,
    GIVE_UP_AFTER,
    Answer,
    NoAnswer,
    Pulse,
    Wire,
    base_url,
    no_answer,
    retry_after_seconds,
    send_each,
)
from recall.clock import SECOND
from recall.errors import ChannelDown, Misconfigured
from tests.providers import vendor as far
from tests.providers.vendor import Reply, Vendor

NOW = 1_772_416_800_000_000  # Mon, 02 Mar 2026 02:00:00 GMT


@pytest.fixture
def vendor():
    vendor = Vendor(lambda seen: Reply(201, {"sid": "SM1"}))
    yield vendor
    vendor.close()


def ask(url: str, method: str = "POST", **kwargs) -> Answer:
    async def once() -> Answer:
        wire = Wire()
        try:
            return await wire.ask(method, url, **kwargs)
        finally:
            await wire.close()

    return asyncio.run(once())


def failure(url: str, **kwargs) -> NoAnswer:
    with pytest.raises(NoAnswer) as caught:
        ask(url, **kwargs)
    assert "127.0.0.1" not in str(caught.value)
    return caught.value


def test_an_answer_comes_back_whole(vendor: Vendor):
    answer = ask(vendor.url + "/a?b=%2B1", headers={"X-A": "1"}, body=b"To=%2B1")
    assert (answer.status, answer.json(), answer.is_success) == (201, {"sid": "SM1"}, True)
    (seen,) = vendor.seen
    assert (seen.method, seen.path, seen.body) == ("POST", "/a?b=%2B1", b"To=%2B1")
    assert seen.headers["X-A"] == "1"
    assert seen.headers["Accept-Encoding"] == "identity"


def test_connections_are_reused(vendor: Vendor):
    async def twice() -> list[int]:
        wire = Wire()
        ports = []
        for _ in range(2):
            await wire.ask("POST", vendor.url)
            ports.append(len(wire._session.connector._conns))
        await wire.close()
        return ports

    assert asyncio.run(twice()) == [1, 1]


@pytest.mark.parametrize(
    ("behaviour", "outcome"),
    [
        (far.reset(), Outcome.IN_DOUBT),
        (far.taken(far.reset()), Outcome.IN_DOUBT),
        (far.torn(), Outcome.IN_DOUBT),
        (far.gzip_bomb(), Outcome.IN_DOUBT),
        (far.endless(), Outcome.IN_DOUBT),
        (far.reply(200, b"x" * 1_000_001), Outcome.IN_DOUBT),
        (far.reply(200, b"no gzip", Content_Encoding="gzip"), Outcome.IN_DOUBT),
        (far.reply(200, b"?", Content_Encoding="br"), Outcome.IN_DOUBT),
    ],
)
def test_what_breaks_after_the_connection_stands_is_in_doubt_and_not_tried_again(
    vendor: Vendor, behaviour, outcome: Outcome
):
    vendor.behave(behaviour)
    assert failure(vendor.url).outcome is outcome
    assert len(vendor.seen) == 1


def test_a_kept_connection_that_breaks_is_no_reason_to_send_again(vendor: Vendor):
    async def run() -> NoAnswer:
        wire = Wire()
        await wire.ask("POST", vendor.url)
        vendor.behave(far.reset())
        with pytest.raises(NoAnswer) as caught:
            await wire.ask("POST", vendor.url)
        await wire.close()
        return caught.value

    assert asyncio.run(run()).outcome is Outcome.IN_DOUBT
    assert len(vendor.seen) == 2


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_answer_and_not_followed(vendor: Vendor, status: int):
    vendor.behave(far.redirect(vendor.url + "/inside", status))
    assert ask(vendor.url).status == status
    assert len(vendor.seen) == 1


def test_a_packed_answer_is_unpacked(vendor: Vendor):
    vendor.behave(far.gzip_bomb(megabytes=0))
    assert ask(vendor.url).body == b""


def test_silence_ends_by_itself(vendor: Vendor, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(wire_file, "READ_SECONDS", 0.2)
    for behaviour in (far.hang(), far.taken(far.hang())):
        vendor.behave(behaviour)
        assert (failure(vendor.url).outcome, failure(vendor.url).code) == (Outcome.IN_DOUBT, "timeout")


def test_dripping_ends_by_itself(vendor: Vendor, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(wire_file, "TOTAL_SECONDS", 0.5)
    vendor.behave(far.slowly(0.1))
    assert failure(vendor.url).outcome is Outcome.IN_DOUBT


def test_the_limits_are_those_of_the_protocol():
    assert (wire_file.CONNECT_SECONDS, wire_file.READ_SECONDS, wire_file.TOTAL_SECONDS) == (3.0, 7.0, 10.0)
    assert wire_file.START_SECONDS + wire_file.READ_SECONDS <= wire_file.BATCH_SECONDS < 10.0


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_a_refused_connection_was_not_sent():
    error = failure(f"http://127.0.0.1:{closed_port()}")
    assert (error.outcome, error.cause, error.code) == (Outcome.NOT_SENT, Cause.CONNECT, "connect")
    assert error.result("r1") == SendResult("r1", Outcome.NOT_SENT, Cause.CONNECT, code="connect")


def test_a_name_that_does_not_resolve_was_not_sent():
    error = failure("https://vendor.invalid")
    assert (error.outcome, error.code) == (Outcome.NOT_SENT, "dns")


def test_a_failed_handshake_was_not_sent(vendor: Vendor):
    error = failure(vendor.url.replace("http:", "https:"))  # answers in plain HTTP
    assert (error.outcome, error.cause, error.code) == (Outcome.NOT_SENT, Cause.CONNECT, "tls")


def test_a_handshake_that_never_ends_was_not_sent(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(wire_file, "CONNECT_SECONDS", 0.3)
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        error = failure(f"https://127.0.0.1:{mute.getsockname()[1]}")
    assert (error.outcome, error.code) == (Outcome.NOT_SENT, "connect_timeout")


def test_a_connection_lost_during_the_handshake_was_not_sent():
    with socket.socket() as rude:
        rude.bind(("127.0.0.1", 0))
        rude.listen()
        thread = threading.Thread(target=lambda: rude.accept()[0].close())
        thread.start()
        error = failure(f"https://127.0.0.1:{rude.getsockname()[1]}")
        thread.join()
    assert error.outcome is Outcome.NOT_SENT


@pytest.mark.parametrize(
    "error",
    [
        aiohttp.ServerDisconnectedError(),
        aiohttp.ClientOSError(32, "Broken pipe"),
        aiohttp.SocketTimeoutError(),
        aiohttp.ClientPayloadError(),
        TimeoutError(),
        ConnectionResetError(),
        ssl.SSLError(),
        RuntimeError(),
        ValueError(),
    ],
)
def test_whatever_else_goes_wrong_is_in_doubt(error: Exception):
    assert no_answer(error).outcome is Outcome.IN_DOUBT


def test_the_environment_names_no_proxy(vendor: Vendor, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{closed_port()}")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{closed_port()}")
    assert ask(vendor.url).status == 201


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        (" 7 ", 7.0),
        ("0.5", 0.5),
        ("Mon, 02 Mar 2026 02:00:30 GMT", 30.0),
        ("Mon, 02 Mar 2026 01:00:00 GMT", 0.0),
        ("99999999999", 3600.0),
        ("inf", 3600.0),
        ("-5", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 3600.0),
        ("nan", None),
        ("", None),
        ("soon", None),
        ("Mon, 99 Mar 2026 02:00:30 GMT", None),
        ("7" * 5000, 3600.0),
    ],
)
def test_retry_after_is_read_in_each_form_and_capped(text: str, seconds: float | None):
    assert retry_after_seconds(text, NOW) == seconds


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 200_000, b"null", b"<html>"])
def test_a_body_that_is_no_object_reads_as_nothing(body: bytes):
    assert Answer(200, {}, body).json() == {}


@pytest.mark.parametrize("url", ["http://api.example.com", "ftp://x", "https://", "https://u:p@x.example", "x", ""])
def test_a_base_url_is_https_and_holds_no_secret(url: str):
    with pytest.raises(Misconfigured):
        base_url(url)


def test_a_base_url_may_be_this_machine():
    assert base_url("http://127.0.0.1:8080/") == "http://127.0.0.1:8080"
    assert base_url("https://api.example.com") == "https://api.example.com"


# --- one request per message ---------------------------------------------------------------------------------


def message(n: int) -> Outbound:
    address = Address(AddressKind.PHONE, f"+86139{n:08d}")
    return Outbound(f"{n:024x}", Channel.SMS, f"user-{n}", address, Content("hi"), "", NOW + 60 * SECOND)


def send(one, count: int = 5, at_once: int = 4):
    async def all_of():
        results, down = [], None
        try:
            async for result in send_each([message(n) for n in range(count)], one, at_once=at_once):
                results.append(result)
        except ChannelDown as error:
            down = error
        return results, down

    return asyncio.run(all_of())


def accepted(each: Outbound) -> SendResult:
    return SendResult(each.ref, Outcome.ACCEPTED, provider_id="1")


def test_each_message_is_asked_for_once_and_so_many_at_once():
    under_way, most, asked = 0, 0, []

    async def one(each: Outbound) -> SendResult:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        asked.append(each.ref)
        await asyncio.sleep(0.001)
        under_way -= 1
        return accepted(each)

    results, down = send(one, 100, at_once=8)
    assert sorted(asked) == sorted(result.ref for result in results) == [f"{n:024x}" for n in range(100)]
    assert (most, down) == (8, None)


def test_a_bug_in_an_adapter_is_a_doubt_of_one_message():
    async def one(each: Outbound) -> SendResult:
        if each.user == "user-2":
            raise KeyError("+8613900000002")
        return accepted(each)

    results, _ = send(one)
    doubt = next(result for result in results if result.outcome is Outcome.IN_DOUBT)
    assert (doubt.ref, doubt.code) == (f"{2:024x}", "adapter: KeyError")
    assert sum(result.outcome is Outcome.ACCEPTED for result in results) == 4


def test_a_stop_hands_over_what_is_under_way_and_leaves_the_rest():
    asked = []

    async def one(each: Outbound) -> SendResult:
        asked.append(each.user)
        if each.user == "user-1":
            await asyncio.sleep(0.001)
            raise ChannelDown("key")
        await asyncio.sleep(0.02)
        return accepted(each)

    results, down = send(one, count=10, at_once=3)
    assert down is not None
    assert asked == ["user-0", "user-1", "user-2"]
    assert {result.ref for result in results} == {message(0).ref, message(2).ref}


def test_a_stop_beside_a_doubt_is_told_message_by_message():
    """The caller takes a batch that ends in ChannelDown for unsent; a doubt must not be among it."""

    async def one(each: Outbound) -> SendResult:
        if each.user == "user-1":
            await asyncio.sleep(0.001)
            raise ChannelDown("key")
        await asyncio.sleep(0.02)
        raise NoAnswer(Outcome.IN_DOUBT, "reset")

    results, down = send(one, count=6, at_once=3)
    assert down is None
    kinds = {result.ref: (result.outcome, result.code) for result in results}
    assert kinds == {
        message(0).ref: (Outcome.IN_DOUBT, "reset"),
        message(2).ref: (Outcome.IN_DOUBT, "reset"),
        **{message(n).ref: (Outcome.NOT_SENT, "configuration") for n in (1, 3, 4, 5)},
    }


@pytest.mark.parametrize(
    ("outcome", "cause", "rest"),
    [
        (Outcome.IN_DOUBT, None, Cause.CONNECT),
        (Outcome.NOT_SENT, Cause.THROTTLED, Cause.THROTTLED),
        (Outcome.NOT_SENT, Cause.CONNECT, Cause.CONNECT),
    ],
)
def test_an_outage_is_noticed_after_twenty_failures(outcome: Outcome, cause: Cause | None, rest: Cause):
    asked = []

    async def one(each: Outbound) -> SendResult:
        asked.append(each.ref)
        await asyncio.sleep(0)
        raise NoAnswer(outcome, "x", cause)

    results, down = send(one, count=1000, at_once=256)
    assert (len(asked) <= GIVE_UP_AFTER + 16, down) == (True, None)
    kept = [result for result in results if result.code == "gave_up"]
    assert len(kept) == 1000 - len(asked)
    assert {(result.outcome, result.cause) for result in kept} == {(Outcome.NOT_SENT, rest)}


def most_at_once(pulse: Pulse, *answers: SendResult | None) -> int:
    """How many of a hundred messages are under way before the vendor has answered one?"""
    for answer in filter(None, answers):
        pulse.feel(answer)
    asked = []

    async def one(each: Outbound) -> SendResult:
        asked.append(each.ref)
        await asyncio.sleep(10)
        return accepted(each)

    async def look() -> int:
        results = send_each([message(n) for n in range(100)], one, at_once=64, pulse=pulse)
        waiting = asyncio.ensure_future(anext(results))
        await asyncio.sleep(0.01)
        waiting.cancel()
        return len(asked)

    return asyncio.run(look())


def test_a_vendor_that_took_something_a_moment_ago_gets_as_many_as_ever_at_once():
    taken = accepted(message(0))
    assert most_at_once(Pulse()) == FIRST_AT_ONCE
    assert most_at_once(Pulse(), taken) == 64


@pytest.mark.parametrize("outcome", [Outcome.IN_DOUBT, Outcome.NOT_SENT])
def test_a_vendor_that_has_failed_since_is_tried_carefully(outcome: Outcome):
    taken = accepted(message(0))
    assert most_at_once(Pulse(), taken, SendResult("r", outcome)) == FIRST_AT_ONCE


def test_what_a_vendor_took_long_ago_says_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(wire_file, "PULSE_SECONDS", 0.0)
    assert most_at_once(Pulse(), accepted(message(0))) == FIRST_AT_ONCE


def test_at_the_end_of_a_batch_what_was_answered_stays_answered(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(wire_file, "BATCH_SECONDS", 0.1)

    async def one(each: Outbound) -> SendResult:
        await asyncio.sleep(0.001 if each.user in ("user-0", "user-1") else 10)
        return accepted(each)

    results, _ = send(one, count=6, at_once=3)
    assert {(result.ref, result.outcome) for result in results[:2]} == {
        (message(n).ref, Outcome.ACCEPTED) for n in (0, 1)
    }
    rest = {result.ref: (result.outcome, result.code) for result in results[2:]}
    assert rest == {message(n).ref: (Outcome.IN_DOUBT, "timeout") for n in (2, 3, 4)} | {
        message(5).ref: (Outcome.NOT_SENT, "no_turn")
    }


def test_what_cannot_start_in_time_stays_here(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(wire_file, "START_SECONDS", 0.05)

    async def one(each: Outbound) -> SendResult:
        await asyncio.sleep(0.03)
        return accepted(each)

    results, _ = send(one, count=20, at_once=2)
    late = [result for result in results if result.code == "no_turn"]
    assert late
    assert {(result.outcome, result.cause) for result in late} == {(Outcome.NOT_SENT, Cause.THROTTLED)}
    assert len(results) == 20


def test_a_request_that_outlives_the_batch_is_a_doubt(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(wire_file, "BATCH_SECONDS", 0.05)

    async def one(each: Outbound) -> SendResult:
        await asyncio.sleep(10)
        return accepted(each)

    results, _ = send(one, count=3)
    assert {(result.outcome, result.code) for result in results} == {(Outcome.IN_DOUBT, "timeout")}


def test_a_caller_who_leaves_leaves_nothing_running():
    running = 0

    async def one(each: Outbound) -> SendResult:
        nonlocal running
        running += 1
        try:
            await asyncio.sleep(10)
        finally:
            running -= 1
        return accepted(each)

    async def leave() -> None:
        async with asyncio.timeout(0.05):
            async for _ in send_each([message(n) for n in range(9)], one, at_once=4):
                pass

    started = time.monotonic()
    with pytest.raises(TimeoutError):
        asyncio.run(leave())
    assert running == 0
    assert time.monotonic() - started < 5


# --- what may be shown ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "The 'To' number +8613900001234 is not a valid phone number.",
        "To=%2B8613900001234",
        "call (139) 0000-1234 now",
        "139 0000 1234",
        "１３９００００１２３４",
        "+86 139-0000-1234",
        "Li.Lei+x@example.com is unknown",
        "li%40example.com",
        "see https://x.example/p?phone=13900001234",
    ],
)
def test_phones_and_mails_are_masked(text: str):
    shown = mask(text)
    assert "1234" not in shown
    assert "example.com" not in shown


def test_codes_and_words_stay_and_secrets_go():
    assert mask("Error 21211: not allowed") == "Error 21211: not allowed"
    assert mask("token abc-def failed", ["abc-def"]) == "token <hidden> failed"
    assert excerpt("a\n" * 500) == "a " * 100
    assert code_of(21211) == "21211"
    assert code_of(None) == ""
    assert code_of("x +8613900001234") == "x<number>"
