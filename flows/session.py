"""How does a door drive flows in its own process? They report to one named server, by one loop and one client."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.context import AsyncClientContext, SyncClientContext
from prefect.events.worker import EventsWorker
from prefect.logging.configuration import setup_logging
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_KEY,
    PREFECT_API_URL,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    PREFECT_HOME,
    PREFECT_LOGGING_LEVEL,
    temporary_settings,
)

_PAGE = 200
_DRAIN_SECONDS = 20.0

Flow = Callable[..., Coroutine[Any, Any, Any]]
Runs = dict[str, dict[str, int]]


@contextmanager
def session(url: str, home: Path) -> Iterator[Session]:
    """Let flows called in it report to the server at `url` and to no other; `home` holds Prefect's own files.

    No heartbeat: whoever calls a flow in its own process sees it die, and each run takes a second less.
    """
    ours = {
        PREFECT_API_URL: url,
        PREFECT_HOME: home,
        PREFECT_LOGGING_LEVEL: "WARNING",
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,
    }
    with temporary_settings(ours, restore_defaults={PREFECT_API_KEY, PREFECT_API_AUTH_STRING}):
        setup_logging()
        # Without these Prefect makes a client, and reads every certificate authority, a dozen times per run.
        with SyncClientContext.get_or_create(), asyncio.Runner() as runner:
            client = AsyncClientContext()
            runner.run(client.__aenter__())
            try:
                yield Session(runner)
            finally:
                EventsWorker.drain_all(timeout=_DRAIN_SECONDS)  # the server learns of tasks by events
                runner.run(client.__aexit__(None, None, None))


class Session:
    """One process that calls flows one after the other."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self._runner = runner

    def call(self, flow: Flow, *arguments: object) -> State[Any]:
        """Run a flow to its end; returns the state it ended in, which may be a red one."""
        state: State[Any] = self._runner.run(flow(*arguments, return_state=True))
        return state

    def count_runs(self) -> Runs:
        """Flow runs on the server by flow and state: {"journey-run": {"Completed": 61, "Idle": 29}, …}."""
        return self._runner.run(_count_runs())


async def _count_runs() -> Runs:
    counts: dict[str, Counter[str]] = {}
    async with get_client() as client:
        flows = {flow.id: flow.name for flow in await client.read_flows(limit=_PAGE)}
        offset = 0
        while page := await client.read_flow_runs(limit=_PAGE, offset=offset):
            for run in page:
                counts.setdefault(flows[run.flow_id], Counter())[run.state_name or "?"] += 1
            offset += len(page)
    return {flow: dict(sorted(states.items())) for flow, states in sorted(counts.items())}
