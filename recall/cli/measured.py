"""How is a comparison told to a person? Its sample ratio, its arms, what one more contact brought."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from recall.cli.output import table

if TYPE_CHECKING:
    from recall.measure.experiment import Comparison
    from recall.measure.hazard import Cap, Contact, Hazards
    from recall.measure.ratio import SampleRatio
    from recall.measure.sides import Interval


def ratio_line(ratio: SampleRatio) -> str:
    from recall.measure.ratio import Ratio

    sizes = ", ".join(f"{arm} {people:,}" for arm, people in ratio.observed.items())
    match ratio.state:
        case Ratio.UNCHECKED:
            return f"Sample ratio: not checked ({sizes}); say how large the arms were meant to be with --expected."
        case Ratio.FINE:
            return f"Sample ratio: fine ({sizes}; p = {ratio.p_value:.3f})."
        case Ratio.CAUTION:
            return f"Sample ratio: CAUTION ({sizes}; p = {ratio.p_value:.4f}). Find out who is missing."
        case _:
            return f"Sample ratio: BLOCKED ({sizes}; p = {ratio.p_value:.2g}). Somebody got lost: trust nothing below."


def arms_table(control: str, found: list[Comparison]) -> Any:
    from recall.measure.page import shown

    rows = [
        [
            each.arm,
            each.treated.people,
            each.treated.goals,
            _share(each.treated.rate),
            _share(each.control.rate),
            _points(each.lift),
            "" if each.p_value is None else shown(each.p_value, "p"),
            each.verdict.value,
        ]
        for each in found
    ]
    return table(["arm", "people", "goals", "rate", f"rate of {control}", "lift (95 %)", "p", "verdict"], rows)


def _points(lift: Interval | None) -> str:
    if lift is None:
        return ""
    return f"{100 * lift.at:+.2f} pp ({100 * lift.low:+.2f} to {100 * lift.high:+.2f})"


def judged(found: Comparison) -> str:
    parts = []
    if found.too_small:
        parts.append("too small to tell")
    if found.needed is not None:
        total = found.treated.people + found.control.people
        parts.append(
            f"to see {found.plan.relative:.0%} more than would come anyway takes {found.needed:,} people, "
            f"here are {total:,}"
        )
    if found.incremental is not None:
        low, high = found.incremental.low, found.incremental.high
        parts.append(f"incremental {round(found.incremental.at):,} ({round(low):,} to {round(high):,})")
    if found.treated.cost:
        each = found.cost_per_incremental
        parts.append(
            "not shown to recall anyone"
            if each is None
            else f"cost per incremental {each.at:,.2f} ({each.low:,.2f} to {each.high:,.2f})"
        )
    if found.net is not None and found.value is not None:
        parts.append(f"incremental value {found.value.at:,.2f} ({found.value.low:,.2f} to {found.value.high:,.2f})")
    return f"{found.arm}: {'; '.join(parts)}."


def hazard_data(found: Hazards) -> dict[str, Any]:
    """What each contact brought and each cap would cost, for a program."""
    return {
        "people": found.people,
        "successes": found.successes,
        "contacts": found.contacts,
        "by_contact": [
            {"k": c.k, "reached": c.reached, "successes": c.successes, "hazard": c.hazard, "cumulative": c.cumulative}
            for c in found.by_contact
        ],
        "caps": [_cap_data(cap) for cap in found.caps],
    }


def _cap_data(cap: Cap) -> dict[str, Any]:
    return {
        "cap": cap.k,
        "saved": cap.saved,
        "saved_share": cap.saved_share,
        "lost": cap.lost,
        "lost_share": cap.lost_share,
        "per_contact_within": cap.within,
        "per_contact_beyond": cap.beyond,
    }


def contacts_table(contacts: Sequence[Contact]) -> Any:
    """What each contact brought."""
    return table(
        ["contact", "reached", "successes", "hazard", "share of successes so far"],
        [[c.k, c.reached, c.successes, f"{c.hazard:.4f}", f"{c.cumulative:.1%}"] for c in contacts],
        title="Successes at contact k / people who reached contact k",
    )


def caps_table(caps: Sequence[Cap]) -> Any:
    """What stopping after so many contacts would save and lose."""
    rows = [
        [c.k, c.saved, f"{c.saved_share:.1%}", c.lost, f"{c.lost_share:.1%}", f"{c.within:.2%}", _share(c.beyond)]
        for c in caps
    ]
    head = ["stop after", "contacts saved", "", "successes lost", "", "per contact up to here", "beyond"]
    return table(head, rows, title="What a cap would save and lose")


def _share(share: float | None) -> str:
    return "" if share is None else f"{share:.2%}"
