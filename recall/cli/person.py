"""What do we hold about one person, and how are they forgotten?"""

from __future__ import annotations

from dataclasses import asdict

import click

from recall.cli.context import App, pass_app


@click.command()
@click.argument("user")
@pass_app
def dossier(app: App, user: str) -> None:
    """Show everything held about USER as JSON: addresses, consents, each message with what the gate knew.

    It holds personal data: keep it where only the person who asked can read it.

    \b
    Example:
      recall dossier 4711 > dossier-4711.json
    """
    import json

    from recall.engine.dossier import dossier as collect

    found = collect(app.store, user)
    app.output.answer(found, json.dumps(found, ensure_ascii=False, indent=2))


@click.command()
@click.argument("user")
@click.option("--why", required=True, help="The reason, kept with your name for the audit.")
@click.option("--yes", is_flag=True, help="Really forget; this cannot be taken back.")
@pass_app
def erase(app: App, user: str, why: str, yes: bool) -> int:
    """Forget USER: addresses, attributes, events and texts go; a hash stays that keeps them from being messaged.

    \b
    Example:
      recall erase 4711 --why "request of 3 March" --yes
    """
    from recall.store.erasure import empty_log
    from recall.store.erasure import erase as forget

    if not yes:
        app.output.remark("Nothing was erased. Erasing cannot be taken back; say --yes to do it.")
        return 1
    try:
        with app.store.writing() as connection:
            done = forget(connection, app.store, user=user, who=app.who, why=why, at=app.clock.now())
    finally:  # also for whoever was forgotten already, by a process that died before it could do this
        empty_log(app.store)
    counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in asdict(done).items())
    app.output.answer({"erased": True, **asdict(done)}, f"The user is forgotten: {counts}.")
    return 0
