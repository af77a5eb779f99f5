"""How do several workers share one big run? Each lane is a run of its own; SKIP LOCKED keeps them apart."""

from __future__ import annotations

import asyncio
from typing import Annotated

from prefect import flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.deployments import arun_deployment
from prefect.exceptions import ObjectNotFound
from prefect.states import Completed, Failed
from pydantic import Field

from flows.names import lane_run
from flows.step import StepDone, run_steps
from recall.clock import SECOND
from recall.engine.run import CLAIM_FOR
from tasks.started import begin
from tasks.turn import turn

LANE_FLOW = "journey-lane"
PATIENCE_SECONDS = 2 * CLAIM_FOR / SECOND  # a lane stops claiming after CLAIM_FOR; it may have started late
ASK_EACH_SECONDS = 2.0

LaneNumber = Annotated[int, Field(ge=1, le=64)]


@flow(name=LANE_FLOW, flow_run_name=lane_run, persist_result=False)
async def run_lane(journey: str, lane: LaneNumber = 1, lanes: LaneNumber = 1) -> State[None]:
    """Take batches of what is due in a journey, until nobody is: a lane that is quicker takes more.

    Args:
        journey: Id of a published journey.
        lane: Which lane this is; only for its name, every lane takes whatever is due.
        lanes: How many lanes there are.
    """
    begin()
    done = await run_steps(journey, turn(journey).due)
    what = "; ".join(f"{step.step}: {step.failure or step.text}" for step in done) or "nobody was due any more"
    if any(step.failure for step in done):
        return Failed(message=what)
    return Completed(message=what)


async def run_lanes(journey: str, lanes: int) -> list[StepDone]:
    """Start all lanes and wait for them; what each says stands for its steps."""
    return list(await asyncio.gather(*(_run_lane(journey, lane, lanes) for lane in range(1, lanes + 1))))


async def _run_lane(journey: str, lane: int, lanes: int) -> StepDone:
    name = f"lane {lane}/{lanes}"
    try:
        run = await arun_deployment(
            f"{LANE_FLOW}/{journey}",
            parameters={"journey": journey, "lane": lane, "lanes": lanes},
            timeout=PATIENCE_SECONDS,
            poll_interval=ASK_EACH_SECONDS,
        )
    except ObjectNotFound:
        return StepDone(name, "lane", failure="its deployment is missing; run `recall deploy`")
    return _done(name, run)


def _done(name: str, run: FlowRun) -> StepDone:
    state = run.state
    if state is None or not state.is_final():
        return StepDone(name, "lane", failure="did not end in time; give the workers more slots than there are lanes")
    done = StepDone(name, "lane", said=state.message or state.type.value.lower())
    if not state.is_completed():
        done.failure = done.said
    return done
