"""How did it go? Read and write the weekly page, look at yesterday; once for all journeys."""

from __future__ import annotations

from dataclasses import dataclass

from recall.clock import to_datetime
from recall.engine.owners import mail_owners
from recall.measure.daily import read_day
from recall.measure.headlines import mail_of
from recall.measure.outcomes import Outcome
from recall.measure.review import read_review, write_read
from recall.store.figures import Asked
from tasks.edge import edge
from tasks.retrying import piece
from tasks.setup import project_settings, setup

Line = dict[str, str | int]
WHO = "recall-review"


@dataclass(frozen=True)
class Written:
    """What one week's review did; nothing here names a person."""

    page: str  # file in var/reviews
    lines: list[Line]  # the headline of every journey
    mailed: str  # what became of the owners' e-mails; "" where nobody is named


@piece("review-week", "review week")
def write_week(lang: str) -> Written:
    """Write the page into `var/reviews`, then send it to the owners. The e-mails come last: nothing repeats them."""
    with edge("review"):
        settings, store, now = project_settings(), setup().store, setup().clock.now()
        found = read_review(store, now=now)
        page = settings.var_dir / "reviews" / f"{to_datetime(now):%Y-%m-%d}.html"
        write_read(found, page, lang=lang)
        mailed = ""
        if settings.owners:
            mailed = mail_owners(store, settings, mail_of(found, page, lang), who=WHO, now=now).told()
        return Written(page.name, [_line(outcome) for outcome in found.outcomes], mailed)


def _line(outcome: Outcome) -> Line:
    each = outcome.comparison
    known = None if outcome.is_blocked else each.incremental
    return {
        "journey": outcome.name,
        "treated": outcome.treated,
        "held out": outcome.held_out,
        "incremental": "not shown" if known is None else f"{round(known.at):+,}",
        "95 %": "" if known is None else f"{round(known.low):,} to {round(known.high):,}",
        "sample ratio": outcome.ratio.state.value,
        "result": "too small to tell" if each.too_small else each.verdict.value,
    }


@piece("review-day", "review day")
def look_at_day() -> list[str]:
    """What a person should look at, from yesterday."""
    with edge("review"), setup().store.reading() as connection:
        return read_day(Asked(connection, now=setup().clock.now())).alerts
