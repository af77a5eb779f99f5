"""What became more frequent by messages that should not? Counted in both arms, from entering until now.

Not only within the window: a borrower who came back is in arrears later. Both arms are watched equally long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from recall.measure.experiment import difference
from recall.measure.sides import Interval, Side
from recall.store.figures import Asked, count_stages, count_stops

HARM = ("app_uninstalled", "complaint_filed", "loan_overdue")  # events, where the host tells them


@dataclass(frozen=True)
class HarmLine:
    """One of them; people whose windows are closed, as assigned."""

    event: str
    treated: Side
    held_out: Side

    @property
    def more(self) -> Interval | None:
        """Treated less held out."""
        return difference(self.treated, self.held_out)

    @property
    def is_shown(self) -> bool:
        """More frequent with the messages, by the whole interval."""
        return self.more is not None and self.more.low > 0


def read_harm(asked: Asked, journey_id: int, *, treated: int, held_out: int) -> Sequence[HarmLine]:
    """Of so many people of each side: opt-outs by whatever way, and each event of HARM that anybody did."""
    stops = count_stops(asked, journey_id)
    counts = count_stages(asked, journey_id, HARM, name="harm", later_too=True)
    found = {"opted_out": (stops.get(True, 0), stops.get(False, 0))}
    found |= {event: (counts.get((event, True), 0), counts.get((event, False), 0)) for event in HARM}
    return [
        HarmLine(event, Side(treated, ours), Side(held_out, theirs))
        for event, (ours, theirs) in found.items()
        if ours or theirs or event == "opted_out"
    ]
