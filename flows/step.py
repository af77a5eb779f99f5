"""How does one message step with people due go? Batch after batch; the first that fails stops the step, not the run."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.exceptions import MissingResult
from prefect.futures import PrefectConcurrentFuture, PrefectFuture
from prefect.states import Completed, Failed
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from journeys.words import Outcome, Reason
from recall.measure.funnel import told
from tasks.artifacts import DOUBT_RAISED, PROVIDER_DOWN, SOURCE_STALE, move_progress, show_progress, tell
from tasks.retrying import pauses
from tasks.send import Sent, send_batch
from tasks.setup import project_settings, setup
from tasks.started import may_claim
from tasks.turn import Due

THREADS = 8  # more than any setup's `gates`, which says how many batches go side by side


@dataclass
class StepDone:
    """What became of one step in one run; counts only."""

    step: str
    channel: str
    batches: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    blocked: str = ""  # the reason that held the whole step back
    failure: str = ""  # what is wrong; "" = nothing
    said: str = ""  # a lane's own words, in place of counts
    emptied: bool = False  # a batch found nobody: who was due is sent to, or held by another worker right now

    def add(self, sent: Sent) -> None:
        self.batches += 1
        self.emptied = self.emptied or not (sent.counts or sent.blocked)
        self.blocked = self.blocked or sent.blocked
        for name, count in sent.counts.items():
            self.counts[name] = self.counts.get(name, 0) + count

    @property
    def text(self) -> str:
        held = f"held back: {self.blocked}" if self.blocked else ""
        return " · ".join(part for part in (told(self.counts), held, self.said) if part) or "nobody was due any more"

    @property
    def is_over(self) -> bool:
        """No further batch makes sense: the provider is away, the whole step is held back, or nobody is left."""
        return bool(self.failure or self.blocked or self.emptied)


async def run_steps(journey: str, due: Sequence[Due]) -> list[StepDone]:
    """One subflow per step with people due, in journey order; a red one does not stop the others."""
    done = []
    for step in due:
        if not may_claim():
            break
        state = await run_step(
            journey, step.step, step.channel, step.version, step.batches, step.batch_size, return_state=True
        )
        done.append(await to_done(state, step))
    return done


async def to_done(state: State[Any], step: Due) -> StepDone:
    """What a step's subflow came to. A busy server may be told the same end twice; to the second time it answers
    with its own copy of the state, which has our words and not our data (prefect 3.8.8).
    """
    try:
        found: object = await state.aresult(raise_on_failure=False)
    except MissingResult:
        return StepDone(step.step, step.channel, said=state.message or "done")
    return found if isinstance(found, StepDone) else StepDone(step.step, step.channel, failure=str(found))


@flow(
    name="journey-step",
    flow_run_name="{journey} {step} [{channel}]",
    task_runner=cast(TaskRunner[PrefectFuture[Any]], ThreadPoolTaskRunner[Any](max_workers=THREADS)),
    persist_result=False,
)
async def run_step(
    journey: str, step: str, channel: str, version: int, batches: int, batch_size: int
) -> State[StepDone]:
    """Send one step of one version to everybody due, in batches; some go side by side."""
    done = StepDone(step, channel)
    side_by_side = min(setup().gates, batches)
    bar = await show_progress(journey, step, batches)
    numbers = iter(range(1, batches + 1))
    one_at_a_time = asyncio.Lock()  # else an earlier, lower progress may arrive last

    async def send_on() -> None:
        for number in _while_it_makes_sense(numbers, done):
            await _send(journey, done, version, number, batch_size)
            async with one_at_a_time:
                await move_progress(bar, journey, step, done=done.batches, batches=batches)

    await asyncio.gather(*(send_on() for _ in range(side_by_side)))
    if done.emptied:
        await move_progress(bar, journey, step, done=batches, batches=batches)
    _tell(journey, done)
    if done.failure:
        return Failed(message=f"{step}: {done.failure}", data=done)
    return Completed(message=done.text, data=done)


def _while_it_makes_sense(numbers: Iterator[int], done: StepDone) -> Iterator[int]:
    while not done.is_over and may_claim():
        number = next(numbers, None)
        if number is None:
            return
        yield number


async def _send(journey: str, done: StepDone, version: int, number: int, batch_size: int) -> None:
    """One batch in a thread; its failure, after the tries it is worth, is the step's."""
    batch = send_batch.with_options(retry_delay_seconds=pauses(project_settings().retry_seconds))
    future = cast(
        PrefectConcurrentFuture[Any], batch.submit(journey, done.step, done.channel, version, number, batch_size)
    )  # what the thread runner gives; its own wait would block the loop
    await asyncio.wrap_future(future.wrapped_future)
    sent = future.result(raise_on_failure=False)
    if isinstance(sent, Sent):
        done.add(sent)
    else:
        done.failure = str(sent).removeprefix(f"{journey}/{done.step}: ")


def _tell(journey: str, done: StepDone) -> None:
    """Events of this step for automations."""
    doubts = done.counts.get(Outcome.IN_DOUBT.value, 0)
    if doubts:
        tell(DOUBT_RAISED, journey, {"step": done.step, "doubts": doubts})
    if done.failure:
        tell(PROVIDER_DOWN, journey, {"step": done.step, "what": done.failure})
    if done.blocked == Reason.STALE_DATA.value:
        tell(SOURCE_STALE, journey, {"step": done.step})
