"""How long after "stop" may a message still reach that address? Measured from the accepted answer to the last request.

A real `recall serve` and three real `recall run` processes (SMS, e-mail, calls; three journeys of each, one after the
other) send to people on a paced, loopback vendor. Meanwhile people say stop: a signed inbound STOP, a one-click POST
from the header of a letter, key 9 in a call. The vendor's own log says what still came. A stop counts when the door
answered 2xx; design 6, I2 allows 15 s. Who said nothing must get everything: else the silence proves nothing.

    python -m benchmarks.opt_out                              SQLite, 1,200 people, stops all the time
    python -m benchmarks.opt_out --postgresql --people 3000 --rate 3 --slow 0.5 --every 0.1
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import socket
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import aiohttp
from aiohttp import web
from multidict import MultiDict
from twilio.request_validator import RequestValidator

from benchmarks.opt_out_people import ACCOUNT, CHANNELS, JOURNEYS, PER_SECOND, SENDER, TOKEN, environment_of, fill
from benchmarks.served import database, served

LAW_SECONDS = 15.0
MOST_ROUNDS = 5
NEXT_UP = 40  # half of those who say stop are among so many who would be written to next


@dataclass
class Far:
    """Twilio and SendGrid at once: what reached whom when, and how each may say stop."""

    slow: float
    reached: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))  # address -> arrivals
    latest: dict[str, str] = field(default_factory=dict)  # channel -> who was reached last
    clicks: dict[str, str] = field(default_factory=dict)  # e-mail -> its one-click address
    gathers: dict[str, tuple[str, str]] = field(default_factory=dict)  # number -> sid and where a key is told
    count: int = 0

    def routes(self) -> web.Application:
        app = web.Application()
        app.router.add_post(f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json", self.take)
        app.router.add_post(f"/2010-04-01/Accounts/{ACCOUNT}/Calls.json", self.take)
        app.router.add_post("/v3/mail/send", self.take_letters)
        return app

    async def take(self, request: web.Request) -> web.Response:
        arrived, form = time.monotonic(), await request.post()
        number = str(form["To"])
        self.reached[number].append(arrived)
        self.latest["call" if "Twiml" in form else "sms"] = number
        self.count += 1
        sid = f"{'CA' if 'Twiml' in form else 'SM'}{self.count:032x}"
        if "Twiml" in form:
            gather = ElementTree.fromstring(str(form["Twiml"])).find("Gather")
            assert gather is not None
            self.gathers[number] = (sid, gather.attrib["action"])
        await asyncio.sleep(self.slow)
        made = {"sid": sid, "to": number, "from": SENDER, "status": "queued", "num_segments": "0", "price": None}
        return web.json_response({**made, "account_sid": ACCOUNT}, status=201)

    async def take_letters(self, request: web.Request) -> web.Response:
        arrived, sent = time.monotonic(), await request.json()
        for entry in sent["personalizations"]:
            email = entry["to"][0]["email"]
            self.reached[email].append(arrived)
            self.latest["email"] = email
            self.clicks[email] = entry["headers"]["List-Unsubscribe"].strip("<>")
        self.count += 1
        await asyncio.sleep(self.slow)
        return web.Response(status=202, headers={"X-Message-Id": f"m-{self.count}"})


@dataclass(frozen=True)
class Stop:
    """Somebody said stop, and the door took it."""

    way: str
    address: str
    at: float  # when our answer came
    before: int  # messages that had reached them by then


class People:
    """Say stop at random, one after the other, while messages go out."""

    def __init__(
        self, far: Far, url: str, groups: dict[str, list[str]], session: aiohttp.ClientSession, *, every: float
    ) -> None:
        self.far, self.url, self.session, self.every = far, url, session, every
        self.draw = random.Random(17)
        self.quiet = {name: list(group) for name, group in groups.items()}
        self.order = {name: {each: n for n, each in enumerate(group)} for name, group in groups.items()}
        self.must_stay = {name: len(group) // 4 for name, group in groups.items()}  # who show that the stream went on
        self.stops: list[Stop] = []
        self.refused = 0
        self._validator = RequestValidator(TOKEN)

    async def go_on(self, done: asyncio.Event) -> None:
        while not done.is_set():
            way = self.draw.choice(CHANNELS)
            address = self._somebody(way)
            if address:
                await getattr(self, f"_by_{way}")(address)
            await asyncio.sleep(self.every)

    def _somebody(self, way: str) -> str:
        """Of SMS anybody (also who was not written to yet); a letter or a call must have come to be answered."""
        able = {"sms": None, "email": self.far.clicks, "call": self.far.gathers}[way]
        may = [each for each in self.quiet[way] if able is None or each in able]
        if not may or len(self.quiet[way]) <= self.must_stay[way]:
            return ""
        near = [each for each in may if each in self._next_up(way)]
        address = self.draw.choice(near if near and self.draw.random() < 0.5 else may)
        self.quiet[way].remove(address)
        return address

    def _next_up(self, way: str) -> list[str]:
        """Whom the next messages go to: there a stop meets a message that has passed its gate already."""
        after = self.order[way].get(self.far.latest.get(way, ""), -1) + 1
        return list(self.order[way])[after : after + NEXT_UP]

    async def _by_sms(self, number: str) -> None:
        sid = f"SM{len(self.stops):016x}{'b' * 16}"
        fields = {"AccountSid": ACCOUNT, "MessageSid": sid, "From": number, "To": SENDER, "Body": "STOP"}
        await self._post("sms", number, f"{self.url}/hooks/twilio_sms", fields)

    async def _by_email(self, email: str) -> None:
        await self._post("email", email, self.far.clicks[email], {"List-Unsubscribe": "One-Click"})

    async def _by_call(self, number: str) -> None:
        sid, action = self.far.gathers[number]
        fields = {"AccountSid": ACCOUNT, "CallSid": sid, "CallStatus": "in-progress", "Digits": "9"}
        await self._post("call", number, action, fields)

    async def _post(self, way: str, address: str, url: str, fields: dict[str, str]) -> None:
        signature = self._validator.compute_signature(url, MultiDict(fields))
        async with self.session.post(url, data=fields, headers={"X-Twilio-Signature": signature}) as answer:
            await answer.read()
        if answer.status >= 300:
            self.refused += 1
            return
        self.stops.append(Stop(way, address, time.monotonic(), len(self.far.reached[address])))


async def run_all(environment: dict[str, str], folder: Path, channel: str) -> None:
    """One worker: `recall run` for each journey of a channel; again later for those who had no turn."""
    for _ in range(MOST_ROUNDS):
        left = [await run_one(environment, folder, f"{channel}-{n}") for n in range(1, JOURNEYS + 1)]
        if not sum(left):
            return
        await asyncio.sleep(80)  # the first back-off


async def run_one(environment: dict[str, str], folder: Path, journey: str) -> int:
    """How many messages were not sent, because the vendor was too slow for their turn to come in time."""
    command = (sys.executable, "-m", "recall.cli.main", "run", journey, "--json")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, cwd=folder, env=environment, stdout=pipe, stderr=pipe)
    out, err = await asyncio.wait_for(process.communicate(), 900)
    if process.returncode:
        raise SystemExit((out + err).decode()[-2000:])
    steps = json.loads(out)["journeys"][journey]["steps"].values()
    return sum(step.get("not_sent", 0) for step in steps)


async def measure(url: str, database_url: str, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    far = Far(options.slow)
    runner = web.AppRunner(far.routes())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    environment = environment_of(f"http://127.0.0.1:{runner.addresses[0][1]}", url, database_url)
    groups = await asyncio.to_thread(fill, database_url, folder, options.people, options.rate)
    with served(folder, environment, int(url.rpartition(":")[2])):
        async with aiohttp.ClientSession() as session:
            people, done = People(far, url, groups, session, every=options.every), asyncio.Event()
            talking = asyncio.create_task(people.go_on(done))
            await asyncio.gather(*(run_all(environment, folder, channel) for channel in CHANNELS))
            done.set()
            await talking
    await runner.cleanup()
    return report(far, people)


def report(far: Far, people: People) -> dict[str, Any]:
    """Per way: how many stopped, how long messages still came, and whether the others got everything."""
    found: dict[str, Any] = {}
    print(f"{'way':8}{'stops':>8}{'more due':>10}{'still came':>12}{'median s':>10}{'longest s':>11}{'others':>8}")
    for way in CHANNELS:
        mine = [stop for stop in people.stops if stop.way == way]
        late = sorted(max([0.0, *(at - stop.at for at in far.reached[stop.address])]) for stop in mine)
        came = [seconds for seconds in late if seconds]
        whole = [address for address in people.quiet[way] if len(far.reached[address]) == JOURNEYS]
        due = sum(stop.before < JOURNEYS for stop in mine)
        found[way] = {"n": len(mine), "more_due": due, "still_came": len(came), "late": late}
        others = f"{len(whole)}/{len(people.quiet[way])}"
        middle, longest = (came[len(came) // 2], came[-1]) if came else (0.0, 0.0)
        print(f"{way:8}{len(mine):8}{due:10}{len(came):12}{middle:10.3f}{longest:11.3f}{others:>14}")
        if len(whole) < len(people.quiet[way]):
            raise SystemExit(
                f"{way}: not everybody who said nothing got {JOURNEYS} messages, so nothing is proved: slower, please"
            )
    late = [seconds for each in found.values() for seconds in each.pop("late")]
    return {
        "n": len(late),
        "max_seconds": round(max(late, default=0.0), 3),
        "later_than_15s": sum(seconds > LAW_SECONDS for seconds in late),
        "not_taken": people.refused,
        "messages": sum(map(len, far.reached.values())),
        "ways": found,
    }


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=1200)
    parser.add_argument("--postgresql", action="store_true")
    parser.add_argument("--slow", type=float, default=0.3, help="seconds the vendor takes to answer")
    parser.add_argument("--rate", type=int, default=1, help="so many times the usual messages per second")
    parser.add_argument("--every", type=float, default=0.25, help="seconds between two people who say stop")
    options = parser.parse_args()
    url = f"http://127.0.0.1:{free_port()}"
    with tempfile.TemporaryDirectory() as name, database(Path(name), postgresql=options.postgresql) as database_url:
        found = asyncio.run(measure(url, database_url, Path(name), options))
    rates = {name: rate * options.rate for name, rate in PER_SECOND.items()}
    store = "postgresql" if options.postgresql else "sqlite"
    print(json.dumps({**found, "people": options.people, "store": store, "slow": options.slow, "per_second": rates}))


if __name__ == "__main__":
    main()
