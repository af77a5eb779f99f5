"""Which arm of a split is better? The arms people were put on, compared with the first one written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from journeys.program import SplitNode
from recall.clock import Instant
from recall.errors import Misconfigured
from recall.measure.experiment import Comparison, Plan, Verdict, compare_arms
from recall.measure.horizon import LOOKS, declared_looks, look_now
from recall.measure.ratio import SampleRatio, check_ratio
from recall.measure.sides import Side
from recall.store.connect import Connection
from recall.store.figures import ArmCount, Asked, read_arms
from recall.store.versions import Version, current_version


@dataclass(frozen=True)
class SplitResult:
    """One split of a journey, closed windows of treated people; the shares are those of the current version."""

    journey: str
    split: str
    control: str
    ratio: SampleRatio
    arms: Sequence[Comparison]
    open_people: int

    @property
    def winner(self) -> str | None:
        """The arm a person may promote: past the boundary, and the best of those."""
        won = [arm for arm in self.arms if arm.verdict is Verdict.STOP and arm.lift and arm.lift.at > 0]
        best = max(won, key=lambda arm: arm.lift.at if arm.lift else 0.0, default=None)
        if best is not None:
            return best.arm
        lost = [arm for arm in self.arms if arm.verdict is Verdict.STOP]
        return self.control if lost and len(lost) == len(self.arms) else None


def arm_of(text: str, split: str) -> str | None:
    """The arm of one split in "split-1=b;split-2=a"."""
    found = dict(part.partition("=")[::2] for part in text.split(";") if part)
    return found.get(split)


def splits_of(version: Version) -> dict[str, dict[str, float]]:
    """Split -> arm -> percent, in written order."""
    return {
        node.name: {name: float(percent) for name, percent, _ in node.arms}
        for node in version.program.nodes
        if isinstance(node, SplitNode)
    }


def read_splits(asked: Asked, version: Version) -> list[SplitResult]:
    """Every split of the current version of a journey."""
    shares = splits_of(version)
    if not shares:
        return []
    counts = read_arms(asked, version.journey_id)
    return [_result(asked.connection, version, split, arms, counts, now=asked.now) for split, arms in shares.items()]


def read_split(asked: Asked, journey: str, split: str) -> SplitResult:
    """One split; raises Misconfigured when the current version has none of this name."""
    version = current_version(asked.connection, journey)
    found = {result.split: result for result in read_splits(asked, version)}
    if split not in found:
        there = ", ".join(found) or "none"
        raise Misconfigured(f"{journey} has no split {split!r}; its splits are: {there}")
    return found[split]


def _result(
    connection: Connection,
    version: Version,
    split: str,
    shares: Mapping[str, float],
    counts: Iterable[ArmCount],
    *,
    now: Instant,
) -> SplitResult:
    closed = {arm: Side(0, 0) for arm in shares}
    waiting, began = 0, now
    everybody = dict.fromkeys(shares, 0)
    for count in counts:
        arm = arm_of(count.arm, split)
        if arm is None:
            continue
        closed.setdefault(arm, Side(0, 0))  # an arm that only older versions had
        began = min(began, count.began)
        everybody[arm] = everybody.get(arm, 0) + count.people
        if count.closed:
            closed[arm] += Side(count.people, count.goals, count.value, count.value_squares)
        else:
            waiting += count.people
    looks = declared_looks(connection, f"{version.name}/{split}") or LOOKS
    plan = Plan(looks, look_now(began, version.program.journey.goal.window.micros, looks, now=now))
    # An arm that only older versions had leaves no intended sizes to compare with.
    ratio = check_ratio(everybody, shares if set(closed) == set(shares) else None)
    control = next(iter(shares))
    _, arms = compare_arms(closed, control, ratio=ratio, plan=plan)
    return SplitResult(version.name, split, control, ratio, arms, waiting)
