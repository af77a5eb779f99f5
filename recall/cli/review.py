"""Did it work? A daily look at yesterday, and the weekly page with what came back because of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from recall.cli.context import App, pass_app
from recall.cli.output import table
from recall.clock import to_datetime

if TYPE_CHECKING:
    from recall.engine.owners import Mailed
    from recall.measure.daily import Day
    from recall.measure.review import Review

PERSON_NEEDED = 1


@click.command()
@click.option("--day", "look", flag_value="day", help="Yesterday, stage by stage; exit code 1 on an alert.")
@click.option("--week", "look", flag_value="week", default=True, help="The weekly page [usual].")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Where the page goes [var/reviews/].")
@click.option("--lang", default="en", show_default=True, type=click.Choice(["en", "zh-CN"]))
@click.option("--mail", is_flag=True, help="Send the page to the owners by e-mail (RECALL_OWNERS).")
@pass_app
def review(app: App, look: str, out: Path | None, lang: str, mail: bool) -> int:
    """Tell what came back because of recall, what it cost, and what to change.

    The weekly page is one HTML file that needs no network, with its tables as CSV in a folder beside it. Exit code 1
    when a person is needed: by day an alert, by week a blocked sample ratio or an owner whose e-mail was not taken.

    \b
    Example:
      recall review --week --out review.html --lang zh-CN
      recall review --day
    """
    if look == "day":
        if out is not None or mail:
            raise click.UsageError("--out and --mail belong to --week; the daily look is told here")
        return _day(app)
    return _week(app, out, lang, mail=mail)


def _week(app: App, out: Path | None, lang: str, *, mail: bool) -> int:
    from recall.engine.owners import owners_of
    from recall.measure.headlines import headlines
    from recall.measure.page import tables_folder
    from recall.measure.review import read_review, write_read
    from recall.measure.words import Words

    if mail:
        owners_of(app.settings)  # said before the work, not after
    now = app.clock.now()
    path = out or app.settings.var_dir / "reviews" / f"{to_datetime(now):%Y-%m-%d}.html"
    found = read_review(app.store, now=now)
    write_read(found, path, lang=lang)
    mailed = _mail(app, found, path, lang) if mail else None
    data = week_data(found) | {"page": str(path), "tables": str(tables_folder(path))}
    if mailed is not None:
        data["mailed"] = {"outcomes": dict(mailed.outcomes), "problems": mailed.problems}
    where = f"The page: {path}; its tables as CSV: {tables_folder(path)}"
    app.output.answer(data, *headlines(found, Words(lang)), where, *([mailed.told()] if mailed else []))
    return PERSON_NEEDED if found.blocked or (mailed and not mailed.is_well) else 0


def _mail(app: App, found: Review, page: Path, lang: str) -> Mailed:
    from recall.engine.owners import mail_owners
    from recall.measure.headlines import mail_of

    return mail_owners(app.store, app.settings, mail_of(found, page, lang), who=app.who, now=app.clock.now())


def week_data(found: Review) -> dict[str, Any]:
    """The headline for programs."""
    from recall.measure.experiment_data import comparison_data, ratio_data

    return {
        "outcomes": [
            {
                "name": outcome.name,
                "passages": outcome.passages,
                "assigned": {"treated": outcome.treated, "holdout": outcome.held_out},
                "open_windows": outcome.open_people,
                "sample_ratio": ratio_data(outcome.ratio),
                **comparison_data(outcome.comparison),
                "currency": outcome.money.currency,
                "attributed_secondary": outcome.attributed.after_message if outcome.attributed else None,
                "incremental_share": outcome.incremental_share,
            }
            for outcome in found.outcomes
        ],
        "blocked": found.blocked,
        "in_doubt": found.in_doubt,
    }


def _day(app: App) -> int:
    from recall.measure.daily import read_day
    from recall.store.figures import Asked

    with app.store.reading() as connection:
        day = read_day(Asked(connection, now=app.clock.now()))
    app.output.answer(_day_data(day), *_day_lines(day))
    return PERSON_NEEDED if day.alerts else 0


def _day_data(day: Day) -> dict[str, Any]:
    return {
        "begins": f"{to_datetime(day.begins):%Y-%m-%dT%H:%M:%SZ}",
        "ends": f"{to_datetime(day.ends):%Y-%m-%dT%H:%M:%SZ}",
        "stages": [
            {
                "journey": line.journey,
                "stage": line.stage,
                "people": line.people,
                "base": line.base,
                "share": line.share,
                "week_before": line.before,
                "share_week_before": line.before_share,
                "target_percent": line.target,
                "alert": line.alert or None,
            }
            for line in day.lines
        ],
        "in_doubt": day.in_doubt,
        "receipts_waiting": day.receipts_waiting,
        "blocked": list(day.blocked),
        "stale_sources": [source.source for source in day.stale],
        "alerts": day.alerts,
    }


def _day_lines(day: Day) -> list[Any]:
    from recall.measure.daily import COLUMNS, row_of

    title = f"{to_datetime(day.begins):%Y-%m-%d %H:%M} to {to_datetime(day.ends):%Y-%m-%d %H:%M} UTC"
    rows = [row_of(line) for line in day.lines]
    lines: list[Any] = [table(COLUMNS, rows, title=title)] if rows else ["No journey is published."]
    return [*lines, *(f"ALERT {alert}" for alert in day.alerts)] if day.alerts else [*lines, "No alert."]
