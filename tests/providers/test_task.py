"""Is a task taken at once, and is none lost?"""

from __future__ import annotations

import asyncio

import pytest

from journeys.words import Channel
from providers.registry import open_provider
from recall.errors import ChannelDown, Misconfigured
from recall.settings import Settings
from tests.providers.contract import Rig
from tests.providers.test_in_app import TakesEverything, message, rig_of


class TestTaskKeepsTheContract(TakesEverything):
    @pytest.fixture
    def rig(self) -> Rig:
        return rig_of(open_provider("task", Settings()), Channel.TASK)


def test_a_card_is_no_task():
    async def send():
        return [result async for result in open_provider("task", Settings()).send([message(1, Channel.IN_APP)])]

    with pytest.raises(ChannelDown, match="in_app"):
        asyncio.run(send())


def test_it_takes_no_options():
    with pytest.raises(Misconfigured):
        open_provider("task", Settings(provider_options={"task": {"key": "x"}}))
