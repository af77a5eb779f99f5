"""How did it go? Read and write the weekly page, look at yesterday; once for all journeys."""

from __future__ import annotations

from recall.clock import to_datetime
from recall.measure.daily import read_day
from recall.measure.review import read_review, write_read
from recall.store.figures import Asked
from tasks.edge import edge
from tasks.retrying import piece
from tasks.setup import project_settings, setup

Lines = list[dict[str, str | int]]


@piece("review-week", "review week")
def write_week(lang: str) -> dict[str, str | Lines]:
    """Write the page into `var/reviews`; its file name and the headline of every journey."""
    with edge("review"):
        now = setup().clock.now()
        found = read_review(setup().store, now=now)
        path = project_settings().var_dir / "reviews" / f"{to_datetime(now):%Y-%m-%d}.html"
        write_read(found, path, lang=lang)
        lines: Lines = []
        for outcome in found.outcomes:
            each = outcome.comparison
            verdict = "too small to tell" if each.too_small else each.verdict.value
            known = each.incremental if outcome.name not in found.blocked else None
            lines.append(
                {
                    "journey": outcome.name,
                    "treated": outcome.treated,
                    "held out": outcome.held_out,
                    "incremental": "not shown" if known is None else f"{known.at:+,.0f}",
                    "95 %": "" if known is None else f"{known.low:,.0f} to {known.high:,.0f}",
                    "sample ratio": outcome.ratio.state.value,
                    "result": verdict,
                }
            )
        return {"page": path.name, "lines": lines}


@piece("review-day", "review day")
def look_at_day() -> list[str]:
    """What a person should look at, from yesterday."""
    with edge("review"), setup().store.reading() as connection:
        return read_day(Asked(connection, now=setup().clock.now())).alerts
