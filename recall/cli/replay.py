"""Which messages did not go out, and shall they go now? Shown first; a person says yes, and the gate decides again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from recall.cli.context import App, pass_app
from recall.cli.desk import moment
from recall.cli.output import table
from recall.errors import Misconfigured

if TYPE_CHECKING:
    from recall.engine.replay import Preview, Replayed

_MOST_SHOWN = 50
_OUTCOMES = ("refused", "not_sent", "skipped")


def _duration(ctx: click.Context, option: click.Parameter, value: str) -> int:
    from journeys.durations import Duration

    try:
        return Duration.parse(value).micros
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, option) from None


@click.command()
@click.argument("journey")
@click.option("--step", help="Only this step, such as sms-2.")
@click.option(
    "--since", default="7d", show_default=True, callback=_duration, help="Missed at most so long ago: 2h, 3d."
)
@click.option("--outcome", type=click.Choice(_OUTCOMES), help="Only these.")
@click.option("--reason", help="Part of the gate's reason, the cause or the vendor's code.")
@click.option("--user", help="Only this user.")
@click.option("--yes", is_flag=True, help="Make them due; without it nothing is changed.")
@click.option("--why", default="", help="The reason, kept with your name for the audit.")
@pass_app
def replay(
    app: App,
    journey: str,
    step: str | None,
    since: int,
    outcome: str | None,
    reason: str | None,
    user: str | None,
    yes: bool,
    why: str,
) -> None:
    """Send again what was refused, not sent or skipped in a JOURNEY. Shows what would happen; --yes does it.

    Only messages known to have reached nobody: what is in doubt is settled by `recall reconcile`. Each goes through
    the whole gate again, as a new message; not when the person has gone on to a later step, left, or it expired.

    \b
    Example:
      recall replay settled-30d --step sms-2 --since 2h --outcome refused
      recall replay settled-30d --step sms-2 --since 2h --outcome refused --yes --why "template was stopped by mistake"
    """
    if yes and not why:
        raise click.UsageError("say why: --yes --why TEXT (the next person will want to know)")
    from recall.cli.desk import reading_setup
    from recall.engine.replay import Wanted
    from recall.engine.replay import replay as replay_missed

    _refuse_unknown(app, journey, step)
    setup = reading_setup(app)
    wanted = Wanted(journey, step, setup.clock.now() - since, outcome, reason, user)
    done = replay_missed(setup, wanted, dry_run=not yes, who=app.who, why=why)
    app.output.answer(_as_data(done), *_lines(done, journey))


def _refuse_unknown(app: App, journey: str, step: str | None) -> None:
    from recall.store.controls import refuse_unknown_journey
    from recall.store.versions import versions_in_use

    with app.store.reading() as connection:
        refuse_unknown_journey(connection, journey)
        versions = versions_in_use(connection, journey)
    names = dict.fromkeys(node.name for version in versions for node in version.program.nodes)
    if step is not None and step not in names:
        raise Misconfigured(f"{journey} has no step {step!r}; there are: {', '.join(names)}")


def _as_data(done: Replayed) -> dict[str, Any]:
    return {
        "dry_run": done.dry_run,
        "replayed": done.replayed,
        "counts": done.counts(),
        "missed": [dict(zip(_COLUMNS, _row(preview), strict=True)) for preview in done.previews],
    }


_COLUMNS = ("user", "step", "outcome", "why", "at", "now")


def _row(preview: Preview) -> list[str]:
    item = preview.item
    return [item.user, item.step, item.outcome, item.why, f"{moment(item.at)} UTC", preview.verdict]


def _lines(done: Replayed, journey: str) -> list[Any]:
    if not done.previews:
        return ["Nothing was missed by that description; a longer --since looks further back."]
    lines: list[Any] = [table(_COLUMNS, [_row(preview) for preview in done.previews[:_MOST_SHOWN]])]
    if len(done.previews) > _MOST_SHOWN:
        lines.append(f"… and {len(done.previews) - _MOST_SHOWN} more; --json lists all.")
    lines.append(", ".join(f"{count} {verdict}" for verdict, count in done.counts().items()) + ".")
    may = sum(preview.may_be_replayed for preview in done.previews)
    if not done.dry_run:
        lines.append(f"{done.replayed} are due again; the next run asks the gate: recall run {journey}")
    elif may:
        lines.append(f"Nothing was changed. To make {may} due again: the same with --yes --why TEXT")
    else:
        lines.append("None of them may be sent again.")
    return lines
