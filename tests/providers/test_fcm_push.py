"""Does each push leave once, in FCM's own words, and does every answer mean what FCM says it means?"""

from __future__ import annotations

import asyncio
import base64
import json
import warnings
from dataclasses import replace
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import jwt

from journeys.words import AddressKind, Cause, Channel, Outcome
from providers.base import Address, Content, Outbound
from providers.fcm_push import SCOPE, FcmPush, Options, to_message
from providers.registry import open_provider
from recall.clock import DAY, HOUR, SECOND, FixedClock
from recall.errors import ChannelDown, Misconfigured
from recall.settings import Settings
from tests.providers import vendor as far
from tests.providers.contract import ProviderContract, Rig
from tests.providers.vendor import Reply, Seen, Vendor

NOW = 1_772_416_800_000_000  # 2026-03-02 02:00 UTC
DEAD = "dead-token-0123456789"
FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()


def error(status: int, name: str, code: str = "", message: str = "no", **more) -> Reply:
    details = [{"@type": FCM_ERROR, "errorCode": code}] if code else []
    details += [{"@type": BAD_REQUEST, "fieldViolations": more["violations"]}] if "violations" in more else []
    return Reply(status, {"error": {"code": status, "message": message, "status": name, "details": details}})


def says(reply: Reply, **headers: str):
    return far.reply(reply.status, reply.body, **headers)


UNREGISTERED = error(404, "NOT_FOUND", "UNREGISTERED", "Requested entity was not found.")
QUOTA = error(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED")


def message(n: int, *, to: str = "", link: str = "https://go.example.com/l/1", body: str = "") -> Outbound:
    return Outbound(
        ref=f"{n:024x}",
        channel=Channel.PUSH,
        user=f"user-{n}",
        address=Address(AddressKind.PUSH, to or f"token-of-device-{n}"),
        content=Content(body=body or f"第{n}位,您的额度已提升", title="欢迎回来", link=link),
        sender="",
        not_after=NOW + 3 * HOUR,
        meta={"journey": "settled-30d", "step": "push-1"},
    )


class Far:
    """FCM and Google's token endpoint."""

    def __init__(self) -> None:
        self.refs: list[str] = []
        self.vendor = Vendor(self.answer)
        self.google = Vendor(self.token)
        self.given = 0

    def token(self, seen: Seen) -> Reply:
        form = parse_qs(seen.body.decode())
        assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
        header, claims, _, _ = jwt._unverified_decode(form["assertion"][0].encode())
        public = KEY.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        assert jwt.crypt.RSAVerifier.from_string(public).verify(*_signed(form["assertion"][0]))
        assert (header["kid"], claims["scope"], claims["iss"]) == ("key-1", SCOPE, "recall@p.example")
        assert claims["exp"] - claims["iat"] == 3600
        self.given += 1
        return Reply(200, {"access_token": f"ya29.{self.given}", "expires_in": 3599, "token_type": "Bearer"})

    def answer(self, seen: Seen) -> Reply:
        assert seen.path == "/v1/projects/p-1/messages:send"
        if seen.headers.get("Authorization") != f"Bearer ya29.{self.given}":
            return error(401, "UNAUTHENTICATED")
        sent = seen.json()
        token = sent["message"].get("token", "")
        if token in (DEAD, "recall-preflight"):
            return UNREGISTERED
        if not sent.get("validate_only"):
            self.refs.append(sent["message"]["data"]["ref"])
        return Reply(200, {"name": f"projects/p-1/messages/{len(self.vendor.seen)}"})

    def close(self) -> None:
        self.vendor.close()
        self.google.close()


def _signed(token: str) -> tuple[bytes, bytes]:
    head, _, signature = token.rpartition(".")
    return head.encode(), base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))


def account(far_end: Far, **changes: str) -> str:
    made = {
        "type": "service_account",
        "project_id": "p-1",
        "client_email": "recall@p.example",
        "private_key": PEM,
        "private_key_id": "key-1",
        "token_uri": far_end.google.url + "/token",
    }
    return json.dumps({**made, **changes})


@pytest.fixture
def fcm():
    made = Far()
    yield made
    made.close()


def provider(far_end: Far, clock: FixedClock | None = None, **options) -> FcmPush:
    given = {"credentials": account(far_end), "base_url": far_end.vendor.url, **options}
    return FcmPush(Options.model_validate(given), clock or FixedClock(NOW))


def send(far_end: Far, *batch: Outbound, **options):
    async def all_of():
        made = provider(far_end, **options)
        try:
            return [result async for result in made.send(batch)]
        finally:
            await made.close()

    return asyncio.run(all_of())


class TestFcmKeepsTheContract(ProviderContract):
    @pytest.fixture
    def rig(self, fcm: Far) -> Rig:
        clock = FixedClock(NOW)
        return Rig(
            provider=provider(fcm, clock),
            clock=clock,
            message=message,
            refused=lambda: message(901, to=DEAD),
            opted_out=lambda: message(902),
            break_it=lambda fail: fcm.vendor.break_with(
                fail,
                unsent=says(QUOTA, Retry_After="7"),
                config=says(error(401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR")),
            ),
            accepted=lambda: list(fcm.refs),
        )

    def test_an_opt_out_known_to_the_provider_is_told_as_such(self, rig: Rig):
        """FCM knows none: who switches notifications off keeps a living token."""
        assert rig.send(rig.opted_out())[0].outcome is Outcome.ACCEPTED


def test_one_request_field_by_field(fcm: Far):
    send(fcm, message(1), click_action="OPEN_LOAN")
    (seen,) = fcm.vendor.posts
    ref = message(1).ref
    assert seen.headers["Content-Type"] == "application/json"
    assert seen.json() == {
        "message": {
            "token": "token-of-device-1",
            "notification": {"title": "欢迎回来", "body": "第1位,您的额度已提升"},
            "data": {"ref": ref, "link": "https://go.example.com/l/1"},
            "android": {
                "collapse_key": ref,
                "ttl": "10800s",
                "priority": "high",
                "notification": {"tag": ref, "click_action": "OPEN_LOAN"},
            },
            "apns": {
                "headers": {"apns-collapse-id": ref, "apns-expiration": str(NOW // SECOND + 10800)},
                "payload": {"aps": {"sound": "default", "category": "OPEN_LOAN"}},
            },
            "webpush": {"headers": {"TTL": "10800"}, "fcm_options": {"link": "https://go.example.com/l/1"}},
        }
    }


@pytest.mark.parametrize(
    ("sent", "action"),
    [
        (message(1), ""),
        (message(2, to="fid:fid-of-device"), "OPEN"),
        (message(3, link=""), ""),
        (message(4, link="example://loan"), ""),
        (replace(message(5), not_after=NOW + 400 * DAY), ""),
        (replace(message(6), not_after=NOW - DAY), ""),
        (replace(message(7), content=Content(body="only a body")), ""),
    ],
)
def test_the_official_encoder_writes_the_same(sent: Outbound, action: str):
    """firebase-admin is the oracle: it is fed the same wishes and must agree on every field."""
    from firebase_admin import messaging

    made = to_message(sent, now=NOW, click_action=action)
    android, apns, web = made["android"], made["apns"], made.get("webpush")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # `token` is deprecated for `fid`
        oracle = messaging.Message(
            data=made["data"],
            notification=messaging.Notification(made["notification"].get("title"), sent.content.body),
            android=messaging.AndroidConfig(
                collapse_key=sent.ref,
                ttl=int(android["ttl"][:-1]),
                priority="high",
                notification=messaging.AndroidNotification(tag=sent.ref, click_action=action or None),
            ),
            apns=messaging.APNSConfig(
                headers=apns["headers"],
                payload=messaging.APNSPayload(messaging.Aps(sound="default", category=action or None)),
            ),
            webpush=messaging.WebpushConfig(
                headers=web["headers"], fcm_options=messaging.WebpushFCMOptions(sent.content.link)
            )
            if web
            else None,
            **{key: made[key] for key in ("token", "fid") if key in made},
        )
        assert messaging._MessagingService.encode_message(oracle) == made
    assert all(isinstance(value, str) for value in made["data"].values())


def test_a_message_lives_as_long_as_its_window_and_never_longer_than_fcm_allows():
    for window, seconds in ((90 * SECOND, "90s"), (400 * DAY, "2419200s"), (-DAY, "0s")):
        made = to_message(replace(message(1), not_after=NOW + window), now=NOW)
        assert made["android"]["ttl"] == seconds


def test_nothing_leaves_after_its_window(fcm: Far):
    (result,) = send(fcm, replace(message(1), not_after=NOW))
    assert (result.outcome, result.code) == (Outcome.NOT_SENT, "window_over")
    assert fcm.vendor.seen == []


@pytest.mark.parametrize(
    ("reply", "outcome", "cause"),
    [
        (UNREGISTERED, Outcome.REFUSED, Cause.ADDRESS),
        (error(403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH"), Outcome.REFUSED, Cause.ADDRESS),
        (
            error(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", "The registration token is not a valid FCM token"),
            Outcome.REFUSED,
            Cause.ADDRESS,
        ),
        (error(400, "INVALID_ARGUMENT", violations=[{"field": "message.token"}]), Outcome.REFUSED, Cause.ADDRESS),
        (
            error(400, "INVALID_ARGUMENT", violations=[{"field": "message.data[0].value"}]),
            Outcome.REFUSED,
            Cause.CONTENT,
        ),
        (error(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", "Message too big"), Outcome.REFUSED, Cause.CONTENT),
        (QUOTA, Outcome.NOT_SENT, Cause.THROTTLED),
        (Reply(429, "slow down"), Outcome.NOT_SENT, Cause.THROTTLED),
        (error(503, "UNAVAILABLE", "UNAVAILABLE"), Outcome.IN_DOUBT, None),
        (error(500, "INTERNAL", "INTERNAL"), Outcome.IN_DOUBT, None),
        (error(500, "INTERNAL", "UNREGISTERED"), Outcome.IN_DOUBT, None),  # a vendor that is broken
        (Reply(502, "<html>Bad Gateway</html>"), Outcome.IN_DOUBT, None),
        (Reply(200, {"name": ""}), Outcome.IN_DOUBT, None),
        (Reply(200, {"name": 5}), Outcome.IN_DOUBT, None),
        (Reply(200, "<html>Sign in</html>"), Outcome.IN_DOUBT, None),
        (Reply(302, b"", {"Location": "/v1/other"}), Outcome.IN_DOUBT, None),
        (Reply(409, {"error": "odd"}), Outcome.REFUSED, None),
    ],
)
def test_every_answer_means_what_fcm_says(fcm: Far, reply: Reply, outcome: Outcome, cause: Cause | None):
    fcm.vendor.behave(far.reply(reply.status, reply.body, **{k: v for k, v in reply.headers.items()}))
    (result,) = send(fcm, message(1))
    assert (result.outcome, result.cause) == (outcome, cause)
    assert len(fcm.vendor.posts) == 1


@pytest.mark.parametrize(
    "reply",
    [
        error(401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR"),
        error(403, "PERMISSION_DENIED"),
        error(404, "NOT_FOUND"),
        Reply(401, "no"),
    ],
)
def test_what_holds_for_everybody_stops_the_step(fcm: Far, reply: Reply):
    fcm.vendor.behave(says(reply))
    with pytest.raises(ChannelDown):
        send(fcm, *[message(n) for n in range(40)])


def test_one_token_serves_many_messages_and_is_renewed_in_time(fcm: Far):
    clock = FixedClock(NOW)

    async def run():
        made = provider(fcm, clock)
        try:
            for wait in (0, 50 * 60 * SECOND, 6 * 60 * SECOND):
                clock.instant += wait
                assert {r.outcome async for r in made.send([message(n) for n in range(20)])} == {Outcome.ACCEPTED}
        finally:
            await made.close()

    asyncio.run(run())
    assert (fcm.given, len(fcm.refs)) == (2, 60)


def test_a_token_that_is_not_accepted_any_more_is_not_used_again(fcm: Far):
    async def run():
        made = provider(fcm)
        try:
            fcm.vendor.behave(says(error(401, "UNAUTHENTICATED")), times=1)
            with pytest.raises(ChannelDown):
                [r async for r in made.send([message(1)])]
            assert [r.outcome async for r in made.send([message(1)])] == [Outcome.ACCEPTED]
        finally:
            await made.close()

    asyncio.run(run())
    assert fcm.given == 2


@pytest.mark.parametrize("behaviour", [far.reset(), far.reply(503), far.html_with_200(), far.reply(429)])
def test_without_a_token_nothing_left(fcm: Far, behaviour):
    fcm.google.behave(behaviour)
    results = send(fcm, message(1), message(2))
    assert {(r.outcome, r.cause) for r in results} == {(Outcome.NOT_SENT, Cause.CONNECT)}
    assert fcm.vendor.seen == []


def test_a_service_account_that_was_deleted_stops_the_step(fcm: Far):
    fcm.google.behave(far.reply(400, {"error": "invalid_grant", "error_description": "account not found"}))
    with pytest.raises(ChannelDown):
        send(fcm, message(1))
    assert fcm.vendor.seen == []


def test_a_dry_run_delivers_nothing(fcm: Far):
    (result,) = send(fcm, message(1), validate_only="true")
    assert result.outcome is Outcome.ACCEPTED
    assert fcm.vendor.posts[0].json()["validate_only"] is True
    assert fcm.refs == []


@pytest.mark.parametrize("credentials", ["{}", "no json", '{"client_email": "a@b.c", "private_key": "no key"}'])
def test_credentials_nobody_can_read_are_a_mistake_at_the_door(fcm: Far, credentials: str, tmp_path):
    (tmp_path / "account.json").write_text(credentials)
    options = {"fcm_push": {"credentials_file": "account.json"}}
    with pytest.raises(Misconfigured) as told:
        open_provider("fcm_push", Settings(project_dir=tmp_path, provider_options=options))
    assert "no key" not in str(told.value)


def test_no_repr_shows_the_key(fcm: Far):
    made = provider(fcm)
    assert "PRIVATE KEY" not in repr((made, made.options, made._tokens.account))
