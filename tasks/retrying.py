"""When is a piece tried again, and after how long? The errors say whether (`retryable`), the settings how soon."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import exponential_backoff

P = ParamSpec("P")
R = TypeVar("R")

TRIES_AGAIN = 3
FIRST_PAUSE_SECONDS = 10.0


def worth_retrying(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:
    """Only what is known not to have happened. A plain function: Prefect 3.8 silently ignores any other callable."""
    return bool(getattr(state.result(raise_on_failure=False), "retryable", False))


def pauses(first_seconds: float) -> Callable[[int], list[float]]:
    """Pauses between tries: 10, 20, 40 s when the first is 10; Prefect adds jitter."""
    return exponential_backoff(backoff_factor=first_seconds)


def piece(name: str, run_name: str) -> Callable[[Callable[P, R]], Task[P, R]]:
    """A task of ours. Nothing is cached or kept: whoever takes due rows must ask the store each time."""
    return task(
        name=name,
        task_run_name=run_name,
        retries=TRIES_AGAIN,
        retry_delay_seconds=pauses(FIRST_PAUSE_SECONDS),
        retry_jitter_factor=0.5,
        retry_condition_fn=worth_retrying,
        cache_policy=NO_CACHE,
        persist_result=False,
    )
