"""What is held against what? A provider's own log, message by message, against everything the store knew and when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from journeys.journey import Journey
from journeys.policy import Policy
from journeys.program import MessageNode, Node
from recall.clock import SECOND, Instant
from recall.store.connect import Connection
from recall.store.invariants import (
    Consented,
    Published,
    Sent,
    Stop,
    Switched,
    Which,
    first_goals_known,
    read_consents,
    read_policies,
    read_stops,
    read_switches,
    read_versions,
    read_withdrawals,
)
from recall.store.versions import Version
from recall.store.zones import Zones, read_zones

# From a fact in the store to the last byte of a message: the gate of a chunk, 5 s to the call, 10 s for the answer.
TOTAL_DELAY = 15 * SECOND


@dataclass(frozen=True, order=True)
class Violation:
    """One thing that must never happen and did; the text names ids, never a person."""

    invariant: str  # "I1" … "I14"
    text: str

    def __str__(self) -> str:
        return f"{self.invariant}: {self.text}"


class Taken(NamedTuple):
    """One message a provider took, with the ledger's row of it."""

    at: Instant  # by the provider's log
    row: Sent
    bound_by: tuple[Which, ...]  # whose stops count: the person, and the address in the provider's log
    body: str

    @property
    def address(self) -> Which | None:
        """The address in the provider's log, as a hash; None for channels without one."""
        return self.bound_by[1] if len(self.bound_by) > 1 else None


@dataclass(frozen=True)
class Evidence:
    """What the store knows that a message may not contradict."""

    versions: Mapping[int, Version]
    published: list[Published]
    policies: Mapping[str, Policy]  # by hash
    zones: Mapping[int, Zones]
    goals: Mapping[int, Instant]  # enrolment -> first known
    stops: Mapping[Which, list[Stop]]
    switches: list[Switched]
    consents: Mapping[int, Consented]
    withdrawals: Mapping[tuple[int, str, str, str], list[Instant]]

    def policy(self, row: Sent) -> Policy:
        """The policy a message went out under."""
        return self.policies[row.policy_hash]

    def journey(self, row: Sent) -> Journey:
        return self.versions[row.version_id].program.journey

    def node(self, version_id: int, step_id: int) -> Node:
        return self.versions[version_id].program.nodes[step_id]

    def message(self, row: Sent) -> MessageNode:
        return self.versions[row.version_id].program.message(row.step_id)

    def named(self, row: Sent) -> str:
        """A send as texts name it."""
        step = self.node(row.version_id, row.step_id).name
        return f"send {row.id} (enrolment {row.enrolment_id}, {self.versions[row.version_id].name}/{step})"


def read_evidence(connection: Connection) -> Evidence:
    """Everything at once, in one consistent look."""
    versions, published = read_versions(connection), read_policies(connection)
    return Evidence(
        versions=versions,
        published=published,
        policies={each.hash: each.policy for each in published},
        zones=read_zones(connection),
        goals=first_goals_known(connection, versions),
        stops=read_stops(connection),
        switches=read_switches(connection),
        consents=read_consents(connection),
        withdrawals=read_withdrawals(connection),
    )
