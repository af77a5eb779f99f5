"""Is a card taken at once, and is none lost?"""

from __future__ import annotations

import asyncio

import pytest

from journeys.words import AddressKind, Channel, Outcome
from providers.base import Address, Content, InDoubt, Outbound
from providers.in_app import InApp
from providers.registry import open_provider
from recall.clock import DAY, FixedClock
from recall.errors import ChannelDown, Misconfigured
from recall.settings import Settings
from tests.providers.contract import ProviderContract, Rig

NOW = 1_772_416_800_000_000


def message(n: int, channel: Channel = Channel.IN_APP) -> Outbound:
    return Outbound(
        ref=f"{n:024x}",
        channel=channel,
        user=f"user-{n}",
        address=Address(AddressKind.NONE, ""),
        content=Content(body=f"第{n}位,您有一张优惠券", title="回来"),
        sender="",
        not_after=NOW + DAY,
    )


class Watched:
    """Keeps what was taken, by ref: in the ledger a row is there once."""

    def __init__(self, provider) -> None:
        self._provider = provider
        self.taken: dict[str, None] = {}

    def __getattr__(self, name: str):
        return getattr(self._provider, name)

    async def send(self, batch):
        async for result in self._provider.send(batch):
            self.taken[result.ref] = None
            yield result


def rig_of(provider, channel: Channel) -> Rig:
    watched = Watched(provider)
    return Rig(
        provider=watched,
        clock=FixedClock(NOW),
        message=lambda n: message(n, channel),
        refused=lambda: message(901, channel),
        opted_out=lambda: message(902, channel),
        break_it=lambda fail: None,
        accepted=lambda: list(watched.taken),
        can=frozenset(),  # nothing leaves this machine, so nothing can go wrong on the way
    )


class TakesEverything(ProviderContract):
    """The contract of channels without an address and without a way that could fail."""

    def test_a_refused_address_does_not_spoil_its_neighbours(self, rig: Rig):
        """There is no address; who has no app is known to the gate."""
        assert {result.outcome for result in rig.send(rig.message(0), rig.refused())} == {Outcome.ACCEPTED}

    def test_an_opt_out_known_to_the_provider_is_told_as_such(self, rig: Rig):
        """There is no vendor that could know one."""
        assert rig.send(rig.opted_out())[0].outcome is Outcome.ACCEPTED

    def test_absence_means_not_sent_only_when_the_lookup_is_authoritative(self, rig: Rig):
        """What passed its gate is in the ledger, so it is never absent."""
        item = InDoubt("0" * 24, rig.message(0).channel, rig.message(0).address, "", gate_at=NOW)
        assert rig.look_up([item]) == {item.ref: Outcome.ACCEPTED}

    def test_no_text_shows_an_address(self, rig: Rig):
        batch = [rig.message(0), rig.message(1)]
        assert "优惠券" not in repr((batch, rig.send(*batch), rig.provider._provider))


class TestInAppKeepsTheContract(TakesEverything):
    @pytest.fixture
    def rig(self) -> Rig:
        settings = Settings(public_url="https://r.example.com")
        return rig_of(open_provider("in_app", settings), Channel.IN_APP)


def test_a_route_to_the_wrong_provider_stops_the_step():
    async def send():
        return [result async for result in InApp().send([message(1), message(2, Channel.SMS)])]

    with pytest.raises(ChannelDown, match="sms"):
        asyncio.run(send())


def test_without_a_public_address_no_app_can_ask():
    preflight = asyncio.run(open_provider("in_app", Settings()).preflight())
    assert not preflight.ok
    assert "RECALL_PUBLIC_URL" in preflight.checks[0].detail


def test_it_takes_no_options():
    with pytest.raises(Misconfigured):
        open_provider("in_app", Settings(provider_options={"in_app": {"key": "x"}}))
