"""When does a journey look for people who may enter? On a schedule of its own, before its messages go out."""

from __future__ import annotations

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.names import verb_run
from recall.measure.funnel import told
from tasks.artifacts import show_funnel
from tasks.enrol import enrol


@flow(name="journey-enrol", flow_run_name=verb_run, persist_result=False)
async def run_enrol(journey: str) -> State[None]:
    """Let in everyone of the audience who may enter now; everybody else has one reason why not.

    Args:
        journey: Id of a published journey, such as settled-30d.
    """
    counts = enrol(journey)
    candidates = counts.pop("candidates")
    if not candidates:
        return Completed(name="Idle", message="nobody new is in the audience")
    await show_funnel(journey)
    return Completed(message=f"{candidates:,} candidates: {told({name: n for name, n in counts.items() if n})}")
