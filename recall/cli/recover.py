"""How does a store that forgot messages learn of them again? From the provider's own log."""

from __future__ import annotations

from pathlib import Path

import click

from recall.cli.context import App, pass_app


@click.command()
@click.option("--log", "logs", multiple=True, type=click.Path(exists=True, path_type=Path), metavar="FILE",
              help="What the provider took, one JSON object per line (as the outbox keeps it).")  # fmt: skip
@click.option("--why", required=True, help="What happened, kept with your name for the audit.")
@pass_app
def recover(app: App, logs: tuple[Path, ...], why: str) -> None:
    """After a restored backup: read what was really sent, end those passages, and let recall send again.

    Whoever got a message the store no longer knows leaves that journey (`operator`), so nobody gets it twice.
    Give the log of every provider since the backup was made.

    \b
    Example:
      recall recover --log twilio-since-sunday.jsonl --why "restored Sunday's backup after the disk failed"
    """
    from providers.accepted import from_line
    from recall.engine.guards import MARK_FILE, Marker
    from recall.store.controls import record_action
    from recall.store.guards import end_for_good, unknown_refs

    if not logs:
        raise click.UsageError("give the provider's log: --log FILE (an empty file when nothing was sent since)")
    lines = [line for path in logs for line in path.read_text("utf-8").splitlines() if line.strip()]
    rows = [row for line in lines if (row := from_line(line)) is not None]
    if len(rows) != len(lines):
        raise click.UsageError(f"{len(lines) - len(rows)} of {len(lines)} lines are no messages; nothing was changed")
    now = app.clock.now()
    with app.store.writing() as connection:
        unknown = unknown_refs(connection, (row.ref for row in rows))
        forgotten = [(row.user, row.meta.get("journey", "")) for row in rows if row.ref in unknown]
        ended = end_for_good(connection, forgotten, now=now)
        record_action(connection, "recover", f"{len(unknown)} messages", who=app.who, why=why, at=now)
    path = app.settings.var_dir / MARK_FILE
    Marker(app.store, path).trust_store(now)
    found = {"messages": len(rows), "forgotten": len(unknown), "ended": ended}
    app.output.answer(
        found, f"{len(unknown)} of {len(rows)} messages were forgotten; {ended} passages ended. recall sends again."
    )
