"""When does a journey send? Each run means "everything due now": a missed one costs nothing, a late one is not stale.

Converge, turn, then one subflow per message step with people due. The run ends red if any step did.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from pydantic import Field

from flows.lane import run_lanes
from flows.names import journey_run
from flows.step import StepDone, run_steps
from recall.measure.funnel import told
from tasks.artifacts import show_funnel, show_summary
from tasks.converge import converge
from tasks.started import begin, may_claim
from tasks.turn import turn

Lanes = Annotated[int, Field(ge=1, le=64)]


@flow(name="journey-run", flow_run_name=journey_run, persist_result=False)
async def run_journey(journey: str, lanes: Lanes = 1) -> State[None]:
    """Send everything that is due in one journey now.

    Args:
        journey: Id of a published journey, such as settled-30d.
        lanes: How many flow runs share the work; each needs a free slot of a worker, beside this one.
    """
    begin()
    left = converge(journey)
    turned = turn(journey)
    if not turned.due:
        return _idle(left, turned.turned)
    if lanes > 1:
        done = await run_lanes(journey, lanes)
    else:
        done = await run_steps(journey, turned.due)
    await show_summary(journey, [_line(step) for step in done], _description(journey, left, turned.turned))
    await show_funnel(journey)
    return _verdict(journey, done)


def _idle(left: dict[str, int], turned: int) -> State[None]:
    return Completed(name="Idle", message=f"nobody is due for a message · {_before(left, turned)}")


def _before(left: dict[str, int], turned: int) -> str:
    """What happened before anything was sent."""
    ended = told({name: n for name, n in left.items() if name != "changed" and n})
    return " · ".join(part for part in (f"{left['changed']:,} people changed", ended, f"{turned:,} turns") if part)


def _line(done: StepDone) -> dict[str, str | int]:
    state = "FAILED" if done.failure else "held back" if done.blocked else "done"
    return {"step": f"{done.step} [{done.channel}]", "state": state, "what": done.failure or done.text}


def _description(journey: str, left: dict[str, int], turned: int) -> str:
    rest = "" if may_claim() else " · ten minutes are over, the rest is due next time"
    return f"**{journey}**, this run · {_before(left, turned)}{rest}"


def _verdict(journey: str, done: Sequence[StepDone]) -> State[None]:
    """Red if any step is, naming each and what is wrong."""
    red = [f"{step.step} failed: {step.failure}" for step in done if step.failure]
    if red:
        return Failed(message=f"{journey}: {'; '.join(red)}")
    return Completed(message="; ".join(f"{step.step}: {step.text}" for step in done))
