"""What should Prefect do by itself? Automations kept as code; each is made once, by name, and then belongs to you.

What a person changes in the UI stays as it is: `recall deploy` never touches an automation that is there. Those
that only watch do nothing until somebody adds whom to tell, since a notification needs an address of yours.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from prefect.automations import Automation
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ActionTypes, ChangeFlowRunState, DoNothing, RunDeployment
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

from tasks.artifacts import DAY_ALERT, DOUBT_RAISED, PROVIDER_DOWN, SOURCE_STALE

_RUN = "prefect.flow-run."
_ENDED = ("Completed", "Failed", "Cancelled", "Crashed")
HEARTBEAT_SECONDS = 30  # what workers are asked for: PREFECT_FLOWS_HEARTBEAT_FREQUENCY
SILENT_SECONDS = 3 * HEARTBEAT_SECONDS
START_SECONDS = 300  # a busy machine needs half a minute from Pending to the first heartbeat


def automations(reconcile: UUID) -> list[Automation]:
    """All of ours; `reconcile` is the id of the deployment that looks for evidence."""
    return [
        Automation(
            name="recall: no heartbeat -> crashed",
            description=f"A run that beat once and then stayed silent for {SILENT_SECONDS} s has lost its process. "
            "What it had handed to a provider becomes a doubt; the rest is due next time.",
            trigger=_silence("heartbeat", SILENT_SECONDS),
            actions=[ChangeFlowRunState(state=StateType.CRASHED, message=f"no heartbeat for {SILENT_SECONDS} s")],
        ),
        Automation(
            name="recall: never started -> crashed",
            description=f"A run that a worker took and that did not beat within {START_SECONDS} s lost its process "
            "before it began. Else it would hold a slot of the work pool for ever.",
            trigger=_silence("Pending", START_SECONDS),
            actions=[ChangeFlowRunState(state=StateType.CRASHED, message=f"not started within {START_SECONDS} s")],
        ),
        Automation(
            name="recall: doubt raised -> look for evidence",
            description="A message may or may not have arrived. Asks the providers at once, not at the next schedule.",
            trigger=_seen(DOUBT_RAISED, within=timedelta(minutes=1)),
            actions=[RunDeployment(source="selected", deployment_id=reconcile)],
        ),
        _watch("recall: provider down", PROVIDER_DOWN, "A provider could not be reached or is misconfigured."),
        _watch("recall: source stale", SOURCE_STALE, "A journey waits because its source of events is too old."),
        _watch("recall: yesterday below target", DAY_ALERT, "A stage of a journey is below target, or fell."),
    ]


async def ensure_automations(client: PrefectClient, reconcile: UUID) -> list[str]:
    """Make those that are not there; returns their names."""
    made = []
    for automation in automations(reconcile):
        if not await client.read_automations_by_name(automation.name):
            await client.create_automation(AutomationCore(**automation.model_dump(exclude={"id"})))
            made.append(automation.name)
    return made


def _silence(after: str, seconds: int) -> EventTrigger:
    return EventTrigger(
        posture=Posture.Proactive,
        threshold=1,
        within=timedelta(seconds=seconds),
        after={f"{_RUN}{after}"},
        expect={f"{_RUN}{name}" for name in ("heartbeat", *_ENDED)},
        match={"prefect.resource.id": [f"{_RUN}*"]},
        for_each={"prefect.resource.id"},
    )


def _seen(event: str, *, within: timedelta) -> EventTrigger:
    """The first such event of a journey; further ones within the time belong to it."""
    return EventTrigger(
        posture=Posture.Reactive,
        threshold=1,
        within=within,
        expect={event},
        match={"prefect.resource.id": "recall.journey.*"},
        for_each={"prefect.resource.id"},
    )


def _watch(name: str, event: str, what: str) -> Automation:
    actions: list[ActionTypes] = [DoNothing()]
    text = f"{what} Does nothing until you add an action here, such as a notification."
    return Automation(name=name, description=text, trigger=_seen(event, within=timedelta(minutes=10)), actions=actions)
