"""Where do flows report that are called in this process, and how many ran? For doors that drive flows themselves."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from prefect.client.orchestration import get_client
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_KEY,
    PREFECT_API_URL,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    PREFECT_HOME,
    temporary_settings,
)

_PAGE = 200
_DRAIN_SECONDS = 20.0


@contextmanager
def reporting_to(url: str, home: Path) -> Iterator[None]:
    """Let flows called inside report to this server and to no other, and wait at the end until it knows everything.

    No heartbeat: whoever calls a flow in its own process sees it die, and a flow takes a second less.
    """
    logging.getLogger("prefect").setLevel(logging.WARNING)
    ours = {PREFECT_API_URL: url, PREFECT_HOME: home, PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}
    with temporary_settings(ours, restore_defaults={PREFECT_API_KEY, PREFECT_API_AUTH_STRING}):
        try:
            yield
        finally:
            settle()


def settle() -> None:
    """Hand over every record of a task and every log line that still waits here."""
    EventsWorker.drain_all(timeout=_DRAIN_SECONDS)
    APILogWorker.drain_all(timeout=_DRAIN_SECONDS)


def count_runs() -> Mapping[str, Mapping[str, int]]:
    """Flow runs on the server by flow and state: {"journey-run": {"Completed": 61, "Idle": 29}, …}."""
    return asyncio.run(_count_runs())


async def _count_runs() -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = {}
    async with get_client() as client:
        flows = {flow.id: flow.name for flow in await client.read_flows(limit=_PAGE)}
        offset = 0
        while page := await client.read_flow_runs(limit=_PAGE, offset=offset):
            for run in page:
                counts.setdefault(flows[run.flow_id], Counter())[run.state_name or "?"] += 1
            offset += len(page)
    return {flow: dict(sorted(states.items())) for flow, states in sorted(counts.items())}
