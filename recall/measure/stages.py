"""Which stages has a journey, and how many people reached each, against what is aimed for?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from journeys.journey import Journey
from recall.store.figures_messages import PersonFunnel

CLICK_TARGET = 20  # percent, of the source articles; of which base they do not say
LOGIN_TARGET = 80
WITHDRAW_TARGET = 50
BORROW_AGAIN_TARGET = 80
LOGIN = "visited"


@dataclass(frozen=True)
class StageLine:
    """One stage: people who got there, of those at the stage it is held against."""

    stage: str  # a key of the texts, or the name in the journey
    people: int
    base_stage: str
    base: int
    target: int | None = None  # percent
    held_out: int | None = None  # people of the holdout who got there without messages
    held_out_base: int | None = None

    @property
    def share(self) -> float | None:
        return self.people / self.base if self.base else None

    @property
    def is_below(self) -> bool:
        return self.target is not None and self.share is not None and self.share * 100 < self.target


def stage_plan(journey: Journey) -> list[tuple[str, str, str, int | None]]:
    """(stage, event, event of the stage it is held against, target in percent) after the login."""
    if journey.funnel:
        before, found = LOGIN, []
        for stage in journey.funnel:
            if stage.event != LOGIN:
                found.append((stage.stage, stage.event, before, stage.target))
                before = stage.event
        return found
    anchor = journey.entry.anchor if isinstance(journey.entry.anchor, str) else ""
    goals = journey.goal.events
    apply = [("apply", "application_started", LOGIN, None)]
    submit = [("submit", "application_submitted", "application_started", None)]
    grant = [("grant", "credit_granted", "application_submitted", None)]
    withdraw = [("withdraw", "loan_drawn", "credit_granted", WITHDRAW_TARGET)]
    match anchor:
        case "registered":
            return [*apply, *submit, *grant, *withdraw]
        case "application_started":
            return [("submit", "application_submitted", LOGIN, None), *grant, *withdraw]
        case "credit_granted":
            return [("withdraw", "loan_drawn", LOGIN, WITHDRAW_TARGET)]
        case "loan_settled":
            return [("borrow_again", "loan_drawn", LOGIN, BORROW_AGAIN_TARGET)]
        case _:
            return [("goal", goal, LOGIN, None) for goal in goals if goal != LOGIN]


def stage_events(journey: Journey) -> list[str]:
    return [LOGIN, *(event for _, event, _, _ in stage_plan(journey))]


def stage_lines(
    journey: Journey,
    reached: PersonFunnel,
    counts: Mapping[tuple[str, bool], int],
    held_out: int,
    *,
    logins: int,
) -> list[StageLine]:
    """Messages first (click on both bases), then what people did, beside the holdout."""
    target = next((stage.target for stage in journey.funnel if stage.event == LOGIN), None)
    found = [
        StageLine("messaged", reached.messaged, "assigned", reached.people),
        StageLine("delivered", reached.delivered, "messaged", reached.messaged),
        StageLine("opened", reached.opened, "delivered", reached.delivered),
        StageLine("clicked", reached.clicked, "delivered", reached.delivered, CLICK_TARGET),
        StageLine("clicked_opened", reached.opened_and_clicked, "opened", reached.opened, CLICK_TARGET),
        StageLine("login_after_click", logins, "clicked", reached.clicked, LOGIN_TARGET),
        StageLine(
            "login", counts.get((LOGIN, True), 0), "assigned", reached.people, target,
            counts.get((LOGIN, False), 0), held_out,
        ),
    ]  # fmt: skip
    names = {LOGIN: "login"}
    for stage, event, before, aim in stage_plan(journey):
        found.append(
            StageLine(
                stage,
                counts.get((event, True), 0),
                names.get(before, before),
                counts.get((before, True), 0),
                aim,
                counts.get((event, False), 0),
                counts.get((before, False), 0),
            )
        )
        names[event] = stage
    return found
