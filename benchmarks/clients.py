"""What does a message through Twilio's client on our transport cost, against a bare aiohttp post?

    .venv/bin/python -m benchmarks.clients [--messages 4000] [--at-once 32] [--rounds 5]

CPU of this process per message; the far end is a canned answer in another process. Rounds alternate; medians count.
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

import aiohttp

from journeys.words import AddressKind, Channel
from providers.base import Address, Content, Outbound
from providers.twilio_sms import TwilioSms, make
from recall.clock import DAY, SystemClock
from recall.settings import load

ACCOUNT = "AC" + "0" * 32
FAR_END = """
import asyncio, json, re, sys
class Canned(asyncio.Protocol):
    n = 0
    def connection_made(self, transport): self.transport, self.kept = transport, b""
    def data_received(self, data):
        self.kept += data
        while (end := self.kept.find(b"\\r\\n\\r\\n")) >= 0:
            length = int(re.search(rb"content-length: (\\d+)", self.kept[:end].lower()).group(1))
            if len(self.kept) < end + 4 + length: return
            form, self.kept = self.kept[end + 4:end + 4 + length], self.kept[end + 4 + length:]
            Canned.n += 1
            to = re.search(rb"To=%2B(\\d+)", form).group(1).decode()
            body = json.dumps({"sid": "SM%032x" % Canned.n, "to": "+" + to, "status": "queued", "num_segments": "1",
                "date_created": "Mon, 02 Mar 2026 02:00:00 +0000", "body": "x" * 100, "price": None}).encode()
            self.transport.write(b"HTTP/1.1 201 CREATED\\r\\nContent-Type: application/json\\r\\n"
                b"Content-Length: %d\\r\\n\\r\\n" % len(body) + body)
async def main():
    server = await asyncio.get_running_loop().create_server(Canned, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


def message(n: int) -> Outbound:
    return Outbound(
        ref=f"{n:024x}",
        channel=Channel.SMS,
        user=str(n),
        address=Address(AddressKind.PHONE, f"+1500{n:07d}"),
        content=Content(f"Hello {n}, 欢迎回来 " + "x" * 60),
        sender="+15005550006",
        not_after=SystemClock().now() + DAY,
        meta={"callback": f"https://recall.example/hooks/twilio_sms/{n:024x}"},
    )


async def bare(url: str, batch: list[Outbound], at_once: int) -> int:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=at_once)) as session:
        headers, rest, taken = {"Authorization": "Basic eA=="}, iter(batch), 0

        async def work() -> None:
            nonlocal taken
            for each in rest:
                fields = {
                    "To": each.address.value,
                    "From": each.sender,
                    "Body": each.content.body,
                    "StatusCallback": each.meta["callback"],
                    "ValidityPeriod": 36000,
                }
                path = f"{url}/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
                async with session.post(path, data=fields, headers=headers) as response:
                    taken += bool((await response.json())["sid"])

        await asyncio.gather(*[work() for _ in range(at_once)])
        return taken


async def adapter(url: str, batch: list[Outbound], at_once: int) -> int:
    """In chunks of 500, as the engine sends."""
    options = {"account_sid": ACCOUNT, "auth_token": "x", "base_url": url, "at_once": str(at_once)}
    provider: TwilioSms = make("twilio_sms", load(), SystemClock(), options)
    taken = 0
    for start in range(0, len(batch), 500):
        async for result in provider.send(batch[start : start + 500]):
            taken += result.outcome == "accepted"
    await provider.close()
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--messages", type=int, default=4000)
    parser.add_argument("--at-once", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    batch = [message(n) for n in range(asked.messages)]
    ways: dict[str, Callable[[str, list[Outbound], int], Awaitable[int]]] = {
        "bare aiohttp": bare,
        "twilio_sms": adapter,
    }
    spent: dict[str, list[float]] = {name: [] for name in ways}
    with subprocess.Popen([sys.executable, "-c", FAR_END], stdout=subprocess.PIPE, text=True) as far_end:
        assert far_end.stdout is not None
        url = f"http://127.0.0.1:{int(far_end.stdout.readline())}"
        for _ in range(asked.rounds):
            for name, way in ways.items():
                before = time.process_time()
                taken = asyncio.run(way(url, batch, asked.at_once))
                spent[name].append((time.process_time() - before) / len(batch) * 1e6)
                assert taken == len(batch), (name, taken)
        far_end.terminate()
    medians = {name: statistics.median(each) for name, each in spent.items()}
    ratio = medians["twilio_sms"] / medians["bare aiohttp"]
    print(json.dumps({"cpu_us_per_message": {n: round(m) for n, m in medians.items()}, "ratio": round(ratio, 2)}))


if __name__ == "__main__":
    main()
