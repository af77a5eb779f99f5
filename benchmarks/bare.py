"""What do the parts cost that no engine can avoid? A client, a template, a SELECT, each on its own.

.venv/bin/python -m benchmarks.bare client --people 20000 [--at-once 256] [--delay-ms 50] [--size 1]
.venv/bin/python -m benchmarks.bare render --messages 100000
.venv/bin/python -m benchmarks.bare select --store postgresql --people 100000
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Iterator
from typing import Any

import aiohttp
import orjson
from jinja2.sandbox import ImmutableSandboxedEnvironment

from benchmarks import places, seed
from benchmarks.meter import Meter
from benchmarks.stub import running
from benchmarks.written import opened
from journeys.compile import compile_journey
from journeys.loader import read_journey
from journeys.rendering import Rendered, Renderer
from journeys.templates import load_template
from journeys.words import Channel

_TEXT = "【示例金融】您的借款已结清，额度仍可使用，可登录App查看。拒收请回复R"


async def post_all(url: str, messages: int, *, at_once: int, size: int) -> int:
    """A bare aiohttp session, as many requests under way as connections; every answer is read."""
    numbers = iter(range(0, messages, size))
    taken = 0

    async def work(session: aiohttp.ClientSession) -> None:
        nonlocal taken
        for first in numbers:
            several = [_fields(n) for n in range(first, min(first + size, messages))]
            path, body = ("/send", orjson.dumps(several[0])) if size == 1 else ("/batch", orjson.dumps(several))
            async with session.post(f"{url}{path}", data=body, headers=_HEADERS) as answer:
                read = orjson.loads(await answer.read())
                taken += len(read) if size > 1 else bool(read["id"])

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=at_once)) as session:
        await asyncio.gather(*(work(session) for _ in range(at_once)))
    return taken


_HEADERS = {"Content-Type": "application/json"}


def _fields(n: int) -> dict[str, str]:
    return {"ref": f"{n:024x}", "to": f"+86138{n:08d}", "from": "", "text": _TEXT}


def measure_client(people: int, *, at_once: int, size: int, delay: float) -> dict[str, Any]:
    """As many messages as the engine sends to so many people; told per person, as the engine's."""
    messages = seed.going(people)
    with places.alone(), running(delay=delay) as stub:
        meter = Meter.of(stub=stub.pid)
        with meter.section():
            taken = asyncio.run(post_all(stub.url, messages, at_once=at_once, size=size))
        counted = stub.counts()["messages"]
    assert taken == messages == counted, (taken, messages, counted)
    return {"what": "bare client", "at_once": at_once, "size": size, **meter.told(people, not_ours=["stub"])}


def measure_render(messages: int) -> dict[str, Any]:
    """The gate's own renderer, a thousand people a time, beside compiled Jinja one by one."""
    template = load_template(seed.ROOT / "journeys/templates/come-back.yaml").noun
    journey = read_journey(seed.JOURNEY, "bench.yaml").noun
    program = compile_journey(journey, templates={"come-back": template})
    renderer = Renderer(program, Channel.SMS, "come-back", brand="示例金融")
    source = next(iter(template.sms.values())).parts()["body"]
    single = ImmutableSandboxedEnvironment().from_string(source)
    together, apart = Meter(), Meter()
    with together.section():
        for _ in range(0, messages, 1000):
            written = renderer.render_many([{"link": ""}] * 1000, ["zh-CN"] * 1000)
    with apart.section():
        for _ in range(messages):
            single.render(brand="示例金融")
    assert all(isinstance(each, Rendered) for each in written)
    return {
        "what": "bare render",
        **together.told(messages),
        "one_by_one_us": apart.told(messages)["us"],
        "times_faster": round(apart.cpu["self"] / together.cpu["self"], 1),
    }


_DUE = f"""
select e.id, e.user_id, u.user_id, a.value, s.s1, s.streak from enrolments e
join users u on u.id = e.user_id join contact_state s on s.user_id = e.user_id and s.brand = 'default'
join addresses a on a.id = u.phone_id
where e.active and e.due_at <= {seed.NOW}
"""


def measure_select(kind: places.Kind, people: int) -> dict[str, Any]:
    """Everybody due with person, address and state in one SELECT, fetched by the driver: no rule, no lock."""
    with places.alone(), places.copy_of(kind, *places.people(people)) as (url, _), opened(url) as connection:
        meter = Meter.of(postgresql=places.server().get_pid() if kind == "postgresql" else None)
        with meter.section():
            rows = sum(1 for _ in _fetch(connection))
    assert rows == people, rows
    return {"what": "bare select", "store": kind, **meter.told(people)}


def _fetch(connection: Any) -> Iterator[Any]:
    yield from connection.execute(_DUE)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("part", choices=("client", "render", "select"))
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--at-once", type=int, default=256)
    parser.add_argument("--delay-ms", type=float, default=50.0)
    parser.add_argument("--size", type=int, default=1, help="messages per request")
    parser.add_argument("--store", choices=places.KINDS, default="sqlite")
    parser.add_argument("--people", type=int, default=10_000)
    asked = parser.parse_args()
    if asked.part == "client":
        delay = asked.delay_ms / 1000
        told = measure_client(asked.people, at_once=asked.at_once, size=asked.size, delay=delay)
    elif asked.part == "render":
        told = measure_render(asked.messages)
    else:
        told = measure_select(asked.store, asked.people)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
