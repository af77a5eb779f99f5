"""When does a journey that needs approval begin to send? When a person says so here, in a form."""

from __future__ import annotations

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.names import plain_run
from tasks.approve import approve


@flow(name="recall-approve", flow_run_name=plain_run, persist_result=False)
async def run_approve(plan: str, approved: bool = False, reason: str = "") -> State[None]:
    """Approve the version of a journey, or take an approval back. Sent untouched, the form approves nothing.

    Args:
        plan: The plan hash that was shown to you; its first 8 characters are enough.
        approved: Switch on to approve. Off takes an earlier approval back.
        reason: Why, for the audit. No names, phones or e-mails.
    """
    what = approve(plan, approved, reason)
    return Completed(message=f"{what} may send" if approved else f"{what} may not send")
