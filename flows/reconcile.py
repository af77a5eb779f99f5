"""When do we look for evidence of sends in doubt? Each few minutes; the backstop of `recall serve` and `recall up`."""

from __future__ import annotations

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.names import plain_run
from recall.measure.funnel import told
from tasks.artifacts import DOUBT_RAISED, tell
from tasks.reconcile import open_doubts, reconcile


@flow(name="recall-reconcile", flow_run_name=plain_run, persist_result=False)
async def run_reconcile() -> State[None]:
    """Settle what evidence settles; what stays in doubt is shown, and never sent again blind."""
    before = open_doubts()
    counts = reconcile()
    for journey, doubts in open_doubts().items():
        if doubts > before.get(journey, 0):
            tell(DOUBT_RAISED, journey, {"doubts": doubts - before.get(journey, 0)})
    done = {name: count for name, count in counts.items() if count}
    if not done:
        return Completed(name="Idle", message="nothing is in doubt")
    return Completed(message=told(done))
