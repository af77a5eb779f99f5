"""What holds when the n-th HTTP request of a run goes wrong: refused, torn down, silent, 500, 429, or the process dies?

The real adapter of a vendor with one request per message, against a vendor on the loopback that keeps its own log.
"""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from yarl import URL

from providers import wire
from providers.twilio_sms import make as make_sms
from recall.engine.reconcile import reconcile
from recall.settings import load
from recall.store.tokens import Doors, Signer
from tests.engine.conftest import Scene
from tests.faults.ground import Site
from tests.faults.moments import MOMENTS
from tests.faults.scripts import JOURNEY, PEOPLE, Script, paced, prepared
from tests.providers import vendor as far
from tests.providers.twilio_far import TwilioFar, error

MISBEHAVIOURS = {
    "is_reset": far.reset(),
    "is_torn": far.taken(far.torn()),
    "is_taken_and_reset": far.taken(far.reset()),
    "times_out": far.hang(),
    "is_taken_and_times_out": far.taken(far.hang()),
    "is_500": far.reply(500, error(20500, 500)),
    "is_taken_and_500": far.taken(far.reply(500, "<html>Internal Server Error</html>")),
    "is_429": far.throttle(7, error(20429, 429)),
}
HOWS = ("dies", "dies after", "is_refused", *MISBEHAVIOURS)
_READ_SECONDS = 0.25


class _Site:
    """The vendor of all cases of a script, on a clock that is each case's own."""

    def __init__(self, site: Site) -> None:
        self.twilio = TwilioFar(site.clock)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.closed_port = free.getsockname()[1]


def _far(site: Site) -> TwilioFar:
    if "http" not in site.shared:
        site.shared["http"] = _Site(site)
    twilio: TwilioFar = site.shared["http"].twilio
    if site.memory.setdefault("begun", False) is False:
        site.memory["begun"] = True
        twilio.log.clear()
        twilio.clock = site.clock
    return twilio


@contextmanager
def on_the_wire(site: Site) -> Iterator[Scene]:
    """A process whose SMS leave by HTTP; each request is a moment, and silence is short."""
    twilio, real, seconds = _far(site), wire.Wire.ask, wire.READ_SECONDS

    async def ask(self: Any, method: str, url: Any, **named: Any) -> Any:
        MOMENTS.reach("http")
        how = MOMENTS.strike("http", ("is_refused", *MISBEHAVIOURS))
        if how == "is_refused":
            url = URL(str(url)).with_port(site.shared["http"].closed_port)
        elif how:
            twilio.vendor.behave(MISBEHAVIOURS[how], times=1, only=lambda seen: True)
        answer = await real(self, method, url, **named)
        MOMENTS.leave("http")
        return answer

    wire.Wire.ask, wire.READ_SECONDS = ask, _READ_SECONDS  # type: ignore[method-assign, assignment]
    try:
        provider = make_sms("outbox", load(), site.clock, twilio.options(at_once="1"))
        doors = Doors("https://recall.example", Signer(["a signing key of the tests"]))
        with paced(site), site.process(provider=provider, doors=doors) as scene:
            try:
                yield scene
            finally:
                scene.setup.dispatcher.run(provider.close())
    finally:
        wire.Wire.ask, wire.READ_SECONDS = real, seconds  # type: ignore[method-assign]
        twilio.vendor.behave(None)


def run_http(site: Site) -> None:
    with on_the_wire(site) as scene:
        scene.run(JOURNEY)


def come_back_http(site: Site) -> None:
    """Twilio's word on absence counts after an hour."""
    for _ in range(5):
        site.clock.instant += 40 * 60 * 1_000_000
        with on_the_wire(site) as scene:
            reconcile(scene.setup)
            scene.run(JOURNEY)


def judge_http(site: Site) -> Iterator[str]:
    """By the vendor's log."""
    taken = Counter(str(row["to"]) for row in _far(site).log)
    yield from (f"duplicate: {to} was taken {n} times" for to, n in taken.items() if n > 1)
    with site.process() as scene:
        rows = scene.sends()
        yield from (
            f"silent_doubt: send {row.id} is {row.state}" for row in rows if row.state in ("calling", "in_doubt")
        )
        accepted = sum(row.state == "accepted" for row in rows)
    if len(rows) != len(PEOPLE):
        yield f"lost: {len(rows)} messages of {len(PEOPLE)}"
    if accepted != len(taken):
        yield f"lost: {accepted} messages are accepted here, {len(taken)} there"
    if accepted < len(PEOPLE) - 4:
        yield f"lost: only {accepted} messages left, though a chunk has four"


OVER_HTTP = (Script("sms over http", prepared("  - {sms: words}"), run_http, come_back_http, judge_http, ("http",)),)
