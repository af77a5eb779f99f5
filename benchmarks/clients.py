"""What does a message through our clients cost, against a bare aiohttp post of the same fields?

    .venv/bin/python -m benchmarks.clients [--messages 4000] [--at-once 32] [--rounds 5]

CPU of this process per message; the far end gives canned answers in another process. SMS and push go one by one,
e-mail by a thousand in a request. Rounds alternate; medians count.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from journeys.words import ADDRESS_OF, Channel
from providers import fcm_push, sendgrid_email, twilio_sms
from providers.base import Address, Content, Outbound
from recall.clock import DAY, SystemClock
from recall.settings import load

ACCOUNT = "AC" + "0" * 32
FAR_END = """
import asyncio, json, re, sys
class Canned(asyncio.Protocol):
    n = 0
    def connection_made(self, transport): self.transport, self.kept = transport, bytearray()
    def data_received(self, data):
        self.kept += data
        while (end := self.kept.find(b"\\r\\n\\r\\n")) >= 0:
            head = bytes(self.kept[:end])
            length = int(re.search(rb"content-length: (\\d+)", head.lower()).group(1))
            if len(self.kept) < end + 4 + length: return
            form = bytes(self.kept[end + 4:end + 4 + length]); del self.kept[:end + 4 + length]
            self.answer(head, form)
    def answer(self, head, form):
        Canned.n += 1
        if b"/token" in head: return self.say(b"200 OK", {"access_token": "t", "expires_in": 3599})
        if b"/v1/projects" in head: return self.say(b"200 OK", {"name": "projects/p/messages/%d" % Canned.n})
        if b"/v3/mail" in head: return self.say(b"202 ACCEPTED", None, b"X-Message-Id: m%d\\r\\n" % Canned.n)
        to = re.search(rb"To=%2B(\\d+)", form).group(1).decode()
        self.say(b"201 CREATED", {"sid": "SM%032x" % Canned.n, "to": "+" + to, "status": "queued", "num_segments": "1",
            "date_created": "Mon, 02 Mar 2026 02:00:00 +0000", "body": "x" * 100, "price": None})
    def say(self, status, answer, more=b""):
        body = b"" if answer is None else json.dumps(answer).encode()
        self.transport.write(b"HTTP/1.1 " + status + b"\\r\\nContent-Type: application/json\\r\\n" + more +
            b"Content-Length: %d\\r\\n\\r\\n" % len(body) + body)
async def main():
    server = await asyncio.get_running_loop().create_server(Canned, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""
_VALUE = {Channel.SMS: "+1500{:07d}", Channel.PUSH: "token-of-device-{:07d}", Channel.EMAIL: "user{:07d}@example.com"}

Way = Callable[[str, list[Outbound], int], Awaitable[int]]


def message(channel: Channel, n: int) -> Outbound:
    return Outbound(
        ref=f"{n:024x}",
        channel=channel,
        user=str(n),
        address=Address(ADDRESS_OF[channel], _VALUE[channel].format(n)),
        content=Content(f"Hello {n}, 欢迎回来 " + "x" * 60, "欢迎回来", link="https://go.example.com/l/1"),
        sender="+15005550006" if channel is Channel.SMS else "hello@example.com" if channel is Channel.EMAIL else "",
        not_after=SystemClock().now() + DAY // 24,
        meta={"callback": f"https://recall.example/hooks/twilio_sms/{n:024x}", "journey": "j", "step": "s"},
    )


# --- the bare side: the same fields, nothing kept or looked at but that it was taken ------------------------------


def sms_fields(each: Outbound) -> dict[str, Any]:
    fields = {"To": each.address.value, "From": each.sender, "Body": each.content.body, "ValidityPeriod": 36000}
    return {"data": fields | {"StatusCallback": each.meta["callback"]}}


def push_fields(each: Outbound) -> dict[str, Any]:
    return {"json": fcm_push.to_message(each, now=SystemClock().now())}


def bare(path: str, fields: Callable[[Outbound], dict[str, Any]]) -> Way:
    async def way(url: str, batch: list[Outbound], at_once: int) -> int:
        headers, rest, taken = {"Authorization": "Basic eA=="}, iter(batch), 0

        async def work(session: aiohttp.ClientSession) -> None:
            nonlocal taken
            for each in rest:
                async with session.post(url + path, headers=headers, **fields(each)) as response:
                    taken += bool(await response.json())

        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=at_once)) as session:
            await asyncio.gather(*[work(session) for _ in range(at_once)])
        return taken

    return way


# --- ours ---------------------------------------------------------------------------------------------------------


def ours(make: Callable[..., Any], name: str, chunk: int, options: Callable[[str], dict[str, str]]) -> Way:
    """In chunks, as the engine sends."""

    async def way(url: str, batch: list[Outbound], at_once: int) -> int:
        provider = make(name, load(), SystemClock(), options(url) | {"base_url": url, "at_once": str(at_once)})
        taken = 0
        for start in range(0, len(batch), chunk):
            async for result in provider.send(batch[start : start + chunk]):
                taken += result.outcome == "accepted"
        await provider.close()
        return taken

    return way


def service_account(url: str) -> dict[str, str]:
    return {"credentials": json.dumps(_ACCOUNT | {"token_uri": f"{url}/token"})}


_PEM = (
    rsa.generate_private_key(public_exponent=65537, key_size=2048)
    .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    .decode()
)
_ACCOUNT = {"project_id": "p", "private_key": _PEM, "private_key_id": "k", "client_email": "recall@p.example"}

WAYS: dict[str, tuple[Channel, Way]] = {
    "bare sms": (Channel.SMS, bare(f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json", sms_fields)),
    "twilio_sms": (
        Channel.SMS,
        ours(twilio_sms.make, "twilio_sms", 500, lambda _: {"account_sid": ACCOUNT, "auth_token": "x"}),
    ),
    "bare push": (Channel.PUSH, bare("/v1/projects/p/messages:send", push_fields)),
    "fcm_push": (Channel.PUSH, ours(fcm_push.make, "fcm_push", 500, service_account)),
    "sendgrid_email": (Channel.EMAIL, ours(sendgrid_email.make, "sendgrid_email", 1000, lambda _: {"api_key": "SG.x"})),
}


def measure(messages: int, at_once: int, rounds: int) -> dict[str, list[float]]:
    """CPU microseconds per message, by way, round by round."""
    spent: dict[str, list[float]] = {name: [] for name in WAYS}
    batches = {channel: [message(channel, n) for n in range(messages)] for channel in _VALUE}
    with subprocess.Popen([sys.executable, "-c", FAR_END], stdout=subprocess.PIPE, text=True) as far_end:
        assert far_end.stdout is not None
        url = f"http://127.0.0.1:{int(far_end.stdout.readline())}"
        for _ in range(rounds):
            for name, (channel, way) in WAYS.items():
                before = time.process_time()
                taken = asyncio.run(way(url, batches[channel], at_once))
                spent[name].append((time.process_time() - before) / messages * 1e6)
                assert taken == messages, (name, taken)
        far_end.terminate()
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--messages", type=int, default=4000)
    parser.add_argument("--at-once", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    medians = {name: statistics.median(each) for name, each in measure(**vars(asked)).items()}
    told = {
        "cpu_us_per_message": {name: round(each, 1) for name, each in medians.items()},
        "sms_of_bare": round(medians["twilio_sms"] / medians["bare sms"], 2),
        "push_of_bare": round(medians["fcm_push"] / medians["bare push"], 2),
        "email_ms": round(medians["sendgrid_email"] / 1000, 4),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
