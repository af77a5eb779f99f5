"""Which gate passes does one step need? One per policy its people live under, with the journeys that go first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection

from journeys.journey import Journey
from journeys.program import MessageNode
from journeys.words import Channel
from recall.errors import Misconfigured
from recall.settings import Mode
from recall.store.controls import read_controls
from recall.store.gate_reasons import Case, Rivals
from recall.store.policies import LivePolicy, live_policies
from recall.store.versions import Version, all_versions_in_use

NO_SEND = "no_send"


@dataclass(frozen=True)
class GatePass:
    """One case and the people it is about: these jurisdictions, or (None) all but those."""

    of: Case
    jurisdictions: tuple[str, ...] | None = None
    but: tuple[str, ...] = ()


def gate_passes(connection: Connection, version: Version, node: MessageNode, *, mode: Mode) -> list[GatePass]:
    """Every pass needed to treat all people due on a step; raises Misconfigured for an unpublished policy."""
    policies = live_policies(connection)
    rivals = read_rivals(connection, version, policies)

    def case(name: str, *, no_send: bool = False) -> Case:
        return Case(version, node, _named(policies, name, version), mode, rivals, no_send)

    named = version.program.journey.policy
    if isinstance(named, str):
        return [GatePass(case(named))]
    groups: dict[str, list[str]] = {}
    for jurisdiction, name in named.cases.items():
        groups.setdefault(name, []).append(jurisdiction)
    some_policy = next(name for name in (*groups, named.otherwise) if name != NO_SEND)
    passes = [
        GatePass(case(some_policy if name == NO_SEND else name, no_send=name == NO_SEND), tuple(members))
        for name, members in groups.items()
    ]
    rest = named.otherwise
    last = case(some_policy if rest == NO_SEND else rest, no_send=rest == NO_SEND)
    return [*passes, GatePass(last, None, tuple(named.cases))]


def _named(policies: dict[str, LivePolicy], name: str, version: Version) -> LivePolicy:
    try:
        return policies[name]
    except KeyError:
        raise Misconfigured(
            f"journey {version.name} stands under policy {name!r}, which is not published; run `recall journey publish`"
        ) from None


def policy_names(journey: Journey) -> list[str]:
    """Every policy a journey may send under."""
    named = journey.policy
    if isinstance(named, str):
        return [named]
    return sorted({*named.cases.values(), named.otherwise} - {NO_SEND})


def read_rivals(connection: Connection, version: Version, policies: dict[str, LivePolicy]) -> tuple[Rivals, ...]:
    """Message steps of running journeys of the same brand that go before this one."""
    paused = read_controls(connection).paused
    mine = version.program.journey.entry.priority
    return tuple(
        Rivals(other.id, other.program.journey.entry.priority, steps)
        for other in all_versions_in_use(connection)
        if other.journey_id != version.journey_id
        and other.brand == version.brand
        and other.name not in paused
        and other.program.journey.entry.priority > mine
        and (steps := tuple(_counted_steps(other, policies)))
    )


def _counted_steps(version: Version, policies: dict[str, LivePolicy]) -> Iterable[tuple[int, Channel, int]]:
    counted = {
        channel
        for name in policy_names(version.program.journey)
        if name in policies
        for channel in policies[name].policy.counts
    }
    for node in version.program.nodes:
        if isinstance(node, MessageNode) and node.channel in counted:
            yield node.id, node.channel, node.expires.micros
