"""How does an enrolment get from one step to the next, or to its end?

People in one zone who leave a step at one moment fall due at one moment, so moves are grouped by due time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from journeys.policy import Policy
from journeys.program import MessageNode, Way
from journeys.windows import due_after, next_open, window_rules
from journeys.words import End
from recall.clock import DAY, Instant
from recall.store import schema
from recall.store.bulk import Sql, update_ids
from recall.store.versions import Version
from recall.store.zones import Zones


class Start(NamedTuple):
    """Where enrolments move from: those that share it fall due together."""

    zone_id: int
    base_at: Instant  # waits count from here
    due_at: Instant  # when they were due where they stand


@dataclass(frozen=True)
class Road:
    """The version people move in, and the policy whose windows the next message must meet."""

    version: Version
    policy: Policy
    zones: Mapping[int, Zones]


def move(connection: Connection, road: Road, movers: Mapping[Start, Sequence[int]], way: Way, *, now: Instant) -> None:
    """Send enrolments (ids by start) along a way: to its node, due after its waits, or to their end as `finished`."""
    if way.node is None:
        end(connection, list(chain.from_iterable(movers.values())), End.FINISHED, now=now)
        return
    groups: dict[tuple[Instant, Instant], list[int]] = defaultdict(list)
    for start, ids in movers.items():
        groups[due_time(road, way, start), start.base_at] += ids
    for (due_at, base_at), ids in groups.items():
        place(connection, ids, step_id=way.node, due_at=due_at, base_at=base_at)


def due_time(road: Road, way: Way, start: Start) -> Instant:
    """When an enrolment falls due at the end of a way: its waits, a quarter-hour slot, then the next window opening."""
    zones = road.zones.get(start.zone_id, ())
    if not way.delays:
        return start.due_at
    due_at = due_after(way.delays, start.base_at, zones or (ZoneInfo(road.version.program.journey.zone),))
    return _open_from(road, way, zones, due_at)


def _open_from(road: Road, way: Way, zones: Zones, due_at: Instant) -> Instant:
    node = road.version.program.nodes[way.node] if way.node is not None else None
    if not isinstance(node, MessageNode) or not zones:
        return due_at
    rules = window_rules(road.policy, road.version.program.journey, node.channel)
    return next_open(rules, zones, due_at) or due_at + DAY


def place(
    connection: Connection, ids: list[int], *, step_id: int, due_at: Instant, base_at: Instant, grp: int = 0
) -> None:
    """Put enrolments on a step with a clean slate."""
    changes = {
        "step_id": step_id,
        "due_at": due_at,
        "first_due_at": due_at,
        "base_at": base_at,
        "grp": grp,
        "until_at": None,
        "retry_send_id": None,
        "replay_of": None,
        "reason": None,
        "parked_until": None,
        "resume_at": None,
    }
    update_ids(connection, schema.enrolments, ids, changes, only="active")


def end(connection: Connection, ids: list[int], reason: End, *, now: Instant) -> int:
    """End enrolments; returns how many were still active."""
    changes = {"active": False, "ended_at": now, "end_reason": reason.value, "parked_until": None, "resume_at": None}
    return update_ids(connection, schema.enrolments, ids, changes, only="active")


def defer(connection: Connection, ids: list[int], *, until: Instant, reason: str) -> None:
    """Leave enrolments on their step, due later; spends no attempt."""
    update_ids(connection, schema.enrolments, ids, {"due_at": until, "reason": reason}, only="active")


def wake(connection: Connection, ids: list[int], *, at: Instant) -> None:
    """Pull resting enrolments forward; one that is due earlier already stays."""
    earlier = Sql("case when due_at < {0} then due_at else {0} end".format(int(at)))
    update_ids(connection, schema.enrolments, ids, {"due_at": earlier}, only="active")
