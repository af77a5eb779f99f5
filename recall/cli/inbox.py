"""Which replies must a person read, and what do they mean? `STOP PLEASE` is no word of the list, and may be a stop."""

from __future__ import annotations

from typing import Any

import click

from recall.cli.context import App, pass_app
from recall.cli.desk import moment
from recall.cli.output import table
from recall.errors import Misconfigured

PERSON_NEEDED = 1
_ids = click.argument("ids", nargs=-1, required=True, type=click.IntRange(1), metavar="ID…")


@click.group()
def inbox() -> None:
    """Replies that hold a stop word among others: a person says what was meant."""


@inbox.command("list")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 1000), help="At most so many.")
@pass_app
def list_(app: App, limit: int) -> int:
    """List replies nobody has judged yet, oldest first; phones and e-mails in them are masked.

    Exit code 1 when there are any.

    \b
    Example:
      recall inbox list
    """
    from recall.store.inbound import count_reviews, open_reviews

    with app.store.reading() as connection:
        waiting, some = count_reviews(connection), open_reviews(connection, limit=limit)
    data = [{"id": each.id, "at": moment(each.at), "channel": each.channel, "text": each.text} for each in some]
    rows = [list(row.values()) for row in data]
    lines: list[Any] = (
        [table(["id", "at (UTC)", "channel", "text"], rows)] if data else ["No reply waits for a person."]
    )
    if waiting > len(data):
        lines.append(f"{waiting - len(data)} more wait.")
    app.output.answer({"waiting": waiting, "replies": data}, *lines)
    return PERSON_NEEDED if waiting else 0


@inbox.command("opt-out")
@_ids
@pass_app
def opt_out(app: App, ids: tuple[int, ...]) -> int:
    """These replies mean stop: their addresses are not messaged again, whoever has them. The texts are forgotten.

    \b
    Example:
      recall inbox opt-out 17 18
    """
    return _judge(app, ids, is_stop=True)


@inbox.command("dismiss")
@_ids
@pass_app
def dismiss(app: App, ids: tuple[int, ...]) -> int:
    """These replies do not mean stop. The texts are forgotten.

    \b
    Example:
      recall inbox dismiss 17
    """
    return _judge(app, ids, is_stop=False)


def _judge(app: App, ids: tuple[int, ...], *, is_stop: bool) -> int:
    """All in one transaction; who is kept with each. Judging again what somebody judged before changes nothing."""
    from recall.store.controls import record_action
    from recall.store.inbound import close_review

    now, verdict = app.clock.now(), "stop" if is_stop else "nothing"
    with app.store.writing() as connection:
        done = [n for n in ids if close_review(connection, n, is_stop=is_stop, who=app.who, now=now)]
        for n in done:
            record_action(connection, f"judge {verdict}", f"reply {n}", who=app.who, why="", at=now)
    missing = sorted(set(ids) - set(done))
    if missing and not done:
        raise Misconfigured(
            f"no reply with number {', '.join(map(str, missing))} waits; `recall inbox list` shows which do"
        )
    line = f"{len(done)} {'reply' if len(done) == 1 else 'replies'} judged: {verdict}."
    more = [f"Not waiting: {', '.join(map(str, missing))}."] if missing else []
    app.output.answer({"judged": done, "verdict": verdict, "not_waiting": missing}, line, *more)
    return PERSON_NEEDED if missing else 0
