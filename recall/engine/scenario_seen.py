"""What happened to each person of a scenario, by their own clock? Read from the ledger and the decisions."""

from __future__ import annotations

from collections.abc import Iterator
from zoneinfo import ZoneInfo

from journeys.scenarios import GivenUser, Happening, Outcomes
from journeys.words import Action, SendState
from recall.clock import Instant, to_datetime
from recall.engine.scenario_given import Given
from recall.store.connect import Connection, Store
from recall.store.histories import Passage, read_passages
from recall.store.versions import read_version

_SENT = (SendState.ACCEPTED, SendState.IN_DOUBT, SendState.CALLING)  # a doubt counts as a message


def seen(store: Store, given: Given) -> Outcomes:
    """Everything that happened to the people of a scenario in its journey."""
    happenings: list[Happening] = []
    entered: dict[str, Instant] = {}  # user -> when they entered last
    with store.reading() as connection:
        for name, user in given.users.items():
            for passage in _passages(connection, given.ids[name], given.journey.id):
                entered[name] = passage.entered_at
                happenings += _of_passage(connection, passage, user)
    return Outcomes(tuple(sorted(happenings, key=lambda each: (each.at, each.user))), _not_entered(given, entered))


def _not_entered(given: Given, entered: dict[str, Instant]) -> dict[str, str]:
    """Those who never entered; others only where the scenario asks why they were not let in again."""
    asked = given.scenario.not_entered
    why = {user: "audience" for user in given.users if user not in entered}
    for user, (at, reason) in given.refused.items():
        if user not in entered or (user in asked and at > entered[user]):
            why[user] = reason
    return why


def dues(store: Store, given: Given) -> list[Instant]:
    """When the people of a scenario are due next."""
    with store.reading() as connection:
        return [
            passage.due_at
            for user_id in given.ids.values()
            for passage in read_passages(connection, user_id)
            if passage.active
        ]


def _passages(connection: Connection, user_id: int, journey: str) -> Iterator[Passage]:
    for passage in read_passages(connection, user_id):
        if read_version(connection, passage.version_id).name == journey:
            yield passage


def _of_passage(connection: Connection, passage: Passage, user: GivenUser) -> Iterator[Happening]:
    nodes = read_version(connection, passage.version_id).program.nodes
    zone = ZoneInfo(user.zone)
    for send in passage.sends:
        what = "shadow" if send.state == SendState.SHADOW else "send" if send.state in _SENT else None
        if what:
            yield Happening(user.id, local(send.gate_at, zone), what, nodes[send.step_id].name)
    for decision in passage.decisions:
        if decision.action in (Action.SKIP, Action.DEFER):
            step = nodes[decision.step_id].name
            yield Happening(user.id, local(decision.at, zone), decision.action, decision.reason, step)
    if passage.ended_at is not None:
        yield Happening(user.id, local(passage.ended_at, zone), "exit", passage.end_reason)


def local(at: Instant, zone: ZoneInfo) -> str:
    """An instant as scenario files write it."""
    return f"{to_datetime(at).astimezone(zone):%Y-%m-%d %H:%M}"
