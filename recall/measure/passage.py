"""How far do the people of a journey get, message by message and stage by stage, against what is aimed for?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from journeys.journey import Journey, PolicyByJurisdiction
from journeys.policy import Policy
from journeys.program import MessageNode
from recall.measure.experiment import Comparison, compare
from recall.measure.harm import HarmLine, read_harm
from recall.measure.sides import Side
from recall.measure.stages import LOGIN, StageLine, stage_events, stage_lines
from recall.store.figures import (
    Asked,
    Stayed,
    count_held_out,
    count_stages,
    read_active_later,
    read_retention,
)
from recall.store.figures_messages import (
    ContactCount,
    PersonFunnel,
    StepLine,
    count_logins,
    read_contacts,
    read_person_funnel,
    read_steps,
)
from recall.store.versions import Version

DAYS = (1, 7, 28)


@dataclass(frozen=True)
class HazardLine:
    """Contact k, beside what happened at the same moments without it."""

    k: int
    reached: int
    successes: int
    cost: float  # units
    held_out: int
    held_out_successes: int
    saved: float  # units, if nobody had got contacts after this one
    lost: int  # attributed successes after it

    @property
    def hazard(self) -> float:
        return self.successes / self.reached if self.reached else 0.0

    @property
    def held_out_hazard(self) -> float | None:
        return self.held_out_successes / self.held_out if self.held_out else None

    @property
    def cost_per_success(self) -> float | None:
        return self.cost / self.successes if self.successes else None


@dataclass(frozen=True)
class RetentionLine:
    day: int
    people: int
    active: int


@dataclass(frozen=True)
class Passage:
    """Everything the page tells about one journey beside its lift."""

    journey: Journey
    reached: PersonFunnel
    stages: Sequence[StageLine]
    hazards: Sequence[HazardLine]
    cap: int | None
    steps: Sequence[StepLine]
    templates: Mapping[tuple[str, str], StepLine]  # (template, channel)
    retention: Sequence[RetentionLine]
    active_later: Comparison
    harm: Sequence[HarmLine]


def read_passage(asked: Asked, version: Version, versions: Mapping[int, Version], policy: Policy | None) -> Passage:
    """One journey."""
    journey, number = version.program.journey, version.journey_id
    steps = read_steps(asked, number)
    reached = read_person_funnel(asked, number)
    counts = count_stages(asked, number, stage_events(journey))
    held_out = count_held_out(asked, number)
    contacts = read_contacts(asked, number, _counted(policy, steps))
    return Passage(
        journey=journey,
        reached=reached,
        stages=stage_lines(
            journey, reached, counts, count_held_out(asked, number), logins=count_logins(asked, number, LOGIN)
        ),
        hazards=hazard_lines(contacts),
        cap=policy.unresponsive.after.sends if policy and policy.unresponsive else None,
        steps=steps,
        templates=_by_template(steps, versions),
        retention=[_retention(asked, number, day) for day in DAYS],
        active_later=_later(read_active_later(asked, number)),
        harm=read_harm(asked, number, treated=reached.people, held_out=held_out),
    )


def policy_of(journey: Journey, policies: Mapping[str, Policy]) -> Policy | None:
    """The one policy of a journey; None when it depends on the person."""
    return None if isinstance(journey.policy, PolicyByJurisdiction) else policies.get(journey.policy)


# --- contacts ----------------------------------------------------------------------------------------------


def _counted(policy: Policy | None, steps: Iterable[StepLine]) -> tuple[str, ...]:
    """Channels that count to the cap, so that it can be drawn in; all of them when the journey uses none."""
    used = {step.channel for step in steps}
    counted = tuple(channel.value for channel in policy.counts) if policy else ()
    return counted if used & set(counted) else ()


def hazard_lines(contacts: Iterable[ContactCount]) -> list[HazardLine]:
    """One line per contact number of treated people, and what stopping after it would have saved and lost."""
    treated = {c.k: c for c in contacts if c.treated}
    held = {c.k: c for c in contacts if not c.treated}
    found, saved, lost = [], 0.0, 0
    for k in sorted(treated, reverse=True):
        mine, other = treated[k], held.get(k)
        line = HazardLine(
            k, mine.reached, mine.successes, mine.micros / 1e6,
            other.reached if other else 0, other.successes if other else 0, saved, lost,
        )  # fmt: skip
        found.append(line)
        saved, lost = saved + line.cost, lost + line.successes
    return found[::-1]


def _by_template(steps: Iterable[StepLine], versions: Mapping[int, Version]) -> dict[tuple[str, str], StepLine]:
    found: dict[tuple[str, str], StepLine] = {}
    for line in steps:
        node = versions[line.version_id].program.nodes[line.step_id]
        if isinstance(node, MessageNode):
            key = (node.template, line.channel)
            found[key] = add_lines(found[key], line) if key in found else line
    return dict(sorted(found.items()))


_SUMMED = StepLine._fields[5:-1]  # all but what it is and the currency


def add_lines(one: StepLine, other: StepLine) -> StepLine:
    return one._replace(**{name: getattr(one, name) + getattr(other, name) for name in _SUMMED})


def steps_over_versions(steps: Iterable[StepLine]) -> list[StepLine]:
    """One line per step, channel and arm, versions added up."""
    found: dict[tuple[str, str, str], StepLine] = {}
    for line in steps:
        key = (line.step, line.channel, line.arm)
        found[key] = add_lines(found[key], line) if key in found else line
    return list(found.values())


# --- afterwards --------------------------------------------------------------------------------------------


def _retention(asked: Asked, journey_id: int, day: int) -> RetentionLine:
    """Treated people; descriptive, since those who came back are selected."""
    sides = [stayed for stayed in read_retention(asked, journey_id, day) if stayed.treated]
    return RetentionLine(day, sum(side.people for side in sides), sum(side.active for side in sides))


def _later(sides: Iterable[Stayed]) -> Comparison:
    found = {stayed.treated: Side(stayed.people, stayed.active) for stayed in sides}
    return replace(compare(found.get(True, Side(0, 0)), found.get(False, Side(0, 0))), arm="active_later")
