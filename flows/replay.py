"""When a person has put right what was wrong: which missed messages should be sent again?"""

from __future__ import annotations

from datetime import date
from typing import Literal

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.names import verb_run
from recall.measure.funnel import told
from tasks.artifacts import show_replay
from tasks.replay import replay


@flow(name="recall-replay", flow_run_name=verb_run, persist_result=False)
async def run_replay(
    journey: str,
    step: str = "",
    since: date | None = None,
    outcome: Literal["any", "refused", "not_sent", "skipped"] = "any",
    reason: str = "",
    dry_run: bool = True,
    why: str = "",
) -> State[None]:
    """Show how many missed messages could be sent again now, and with dry_run switched off make them due.

    Nobody gets a message twice: only what is known not to have reached anybody is taken, only while the person
    is still on that step, and the whole gate decides again when the next run of the journey sends it.

    Args:
        journey: Id of a published journey, such as settled-30d.
        step: Only this step, such as sms-2. Empty means every step.
        since: Only messages missed since the beginning of this day in the journey's zone. None means seven days.
        outcome: Only those the provider refused, those not sent, or those skipped.
        reason: Only those whose cause, provider code or gate reason contains this text. Empty means any.
        dry_run: On, the run only shows what would happen. Switch it off to make the messages due.
        why: What was put right, for the audit. No names, phones or e-mails.
    """
    counts = replay(journey, step, since, outcome, reason, dry_run, why)
    found, replayed = counts.pop("found"), counts.pop("replayed")
    what = f"{found:,} missed, {replayed:,} due again" if not dry_run else f"{found:,} missed; nothing was changed"
    await show_replay(journey, counts, what)
    return Completed(message=f"{what} · {told(counts)}" if counts else what)
