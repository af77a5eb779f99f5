"""What do vendors post? Genuine requests of Twilio, SendGrid and a 106-number gateway, signed, about given sends."""

from __future__ import annotations

import json
import random
import time
from base64 import b64encode
from dataclasses import dataclass
from urllib.parse import urlencode

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from multidict import MultiDict
from twilio.request_validator import RequestValidator

from recall.store.tokens import Doors

ACCOUNT, AUTH_TOKEN, HOOK_TOKEN = "AC" + "0" * 31 + "1", "an auth token", "a-word-of-the-benchmark"
STATUSES = ("sent", "delivered", "read")  # of one message, as Twilio tells them; the first is no receipt of ours
SHARES = {"twilio_sms": 60, "sendgrid_email": 20, "cn_106": 20}  # of posts, percent
TWICE, DISORDER = 0.05, 200  # share that comes again; how far a post may be carried from its place
OURS = 2**40  # ids of our sends begin here: the people of the seed have sends of their own
Fact = tuple[str, str, str]  # provider, its id of the event, our ref


@dataclass(frozen=True)
class Post:
    """One request of a vendor, signed."""

    path: str
    body: bytes
    headers: dict[str, str]
    facts: tuple[Fact, ...]


class Vendors:
    """Makes genuine posts about sends of the seed."""

    def __init__(self, doors: Doors, people: int) -> None:
        self.doors, self.people = doors, people
        self.draw = random.Random(17)
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.validator = RequestValidator(AUTH_TOKEN)
        self.number = 0

    @property
    def public_key(self) -> str:
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return b64encode(self.key.public_key().public_bytes(serialization.Encoding.DER, form)).decode()

    def posts(self, count: int) -> list[Post]:
        """So many posts; a twentieth of them comes twice, and none quite in its order."""
        make = {"twilio_sms": self.twilio, "sendgrid_email": self.sendgrid, "cn_106": self.gateway}
        kinds = self.draw.choices(list(SHARES), list(SHARES.values()), k=count)
        posts = [make[kind]() for kind in kinds]
        for n in range(1, count):
            if self.draw.random() < TWICE:
                posts[n] = posts[self.draw.randrange(max(0, n - 1000), n)]
        order = sorted(range(count), key=lambda n: n + self.draw.uniform(0, DISORDER))
        return [posts[n] for n in order]

    def _next(self) -> int:
        self.number += 1
        return self.number

    def _ref(self, n: int) -> str:
        return ref_of(n % self.people + 1)

    def twilio(self) -> Post:
        turn, step = divmod(self._next(), len(STATUSES))
        ref, status = self._ref(turn), STATUSES[step]
        sid = f"SM{self.number // len(STATUSES):032x}"
        pairs = [
            ("ApiVersion", "2010-04-01"), ("AccountSid", ACCOUNT), ("MessageSid", sid), ("SmsSid", sid),
            ("SmsStatus", status), ("MessageStatus", status), ("From", "+15005550006"), ("To", "+8613900000001"),
        ]  # fmt: skip
        url = self.doors.hook("twilio_sms", ref)
        signature = self.validator.compute_signature(url, MultiDict(pairs))
        facts = (("twilio_sms", f"{sid}:{status}", ref),) if status != "sent" else ()
        headers = {"X-Twilio-Signature": signature, "Content-Type": "application/x-www-form-urlencoded"}
        return Post(url.removeprefix(self.doors.public_url), urlencode(pairs).encode(), headers, facts)

    def sendgrid(self) -> Post:
        rows, facts = [], []
        for _ in range(self.draw.randint(1, 10)):
            n = self._next()
            event = self.draw.choice(["delivered", "open", "click"])
            rows.append(
                {
                    "email": f"user{n}@example.com", "timestamp": int(time.time()), "event": event,
                    "smtp-id": f"<{n:032x}@ismtpd>", "category": ["settled-30d", "email-1"], "ip": "198.51.100.7",
                    "useragent": "Mozilla/5.0", "sg_event_id": f"{n:032x}", "sg_message_id": f"{n:032x}.filter",
                    "ref": self._ref(n),
                }
            )  # fmt: skip
            facts.append(("sendgrid_email", f"{n:032x}", self._ref(n)))
        body, stamp = json.dumps(rows).encode() + b"\r\n", str(int(time.time()))
        made = self.key.sign(stamp.encode() + body, ec.ECDSA(hashes.SHA256()))
        headers = {
            "X-Twilio-Email-Event-Webhook-Signature": b64encode(made).decode(),
            "X-Twilio-Email-Event-Webhook-Timestamp": stamp,
            "Content-Type": "application/json",
        }
        return Post("/hooks/sendgrid_email", body, headers, tuple(facts))

    def gateway(self) -> Post:
        reports, facts = [], []
        for _ in range(self.draw.randint(1, 3)):
            n = self._next()
            reports.append(
                {"msgid": f"m{n}", "mobile": "13900000001", "status": "DELIVRD", "time": "20260302100000",
                 "uid": self._ref(n)}
            )  # fmt: skip
            facts.append(("cn_106", f"m{n}:DELIVRD", self._ref(n)))
        body = json.dumps({"reports": reports}).encode()
        return Post(f"/hooks/cn_106?token={HOOK_TOKEN}", body, {"Content-Type": "application/json"}, tuple(facts))

    def options(self) -> str:
        """RECALL_PROVIDER_OPTIONS of a server that takes these posts."""
        return json.dumps(
            {
                "twilio_sms": {"account_sid": ACCOUNT, "auth_token": AUTH_TOKEN, "sender": "+15005550006"},
                "sendgrid_email": {"api_key": "SG.benchmark", "webhook_key": self.public_key},
                "cn_106": {"kind": "http_gateway", "profile": "cn-106", "base_url": "http://127.0.0.1:9", "user": "u",
                           "password": "a password", "hook_token": HOOK_TOKEN},
            }
        )  # fmt: skip


def ref_of(n: int) -> str:
    return f"{n + OURS:024x}"
