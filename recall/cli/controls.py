"""Which switches may a person turn? Journeys, everything at once, and single users."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from recall.cli.context import App, pass_app
from recall.cli.output import table
from recall.clock import to_datetime

if TYPE_CHECKING:
    from recall.store.controls import Control

_why = click.option("--why", default="", help="The reason, kept with your name for the audit.")


@click.command()
@click.argument("journey")
@_why
@pass_app
def pause(app: App, journey: str, why: str) -> None:
    """Stop sending for one JOURNEY; users stay where they are and nobody enters.

    Messages already handed to a provider still arrive.

    \b
    Example:
      recall pause settled-30d --why "wrong coupon in the text"
    """
    from recall.store.controls import ControlKind, refuse_unknown_journey, set_control

    with app.store.writing() as connection:
        refuse_unknown_journey(connection, journey)
        changed = set_control(connection, ControlKind.PAUSED, journey, who=app.who, why=why, at=app.clock.now())
    text = f"{journey} is paused; `recall resume {journey}` goes on."
    app.output.answer({"journey": journey, "paused": True, "changed": changed}, text)


@click.command()
@click.argument("journey")
@_why
@pass_app
def resume(app: App, journey: str, why: str) -> None:
    """Go on sending for a paused JOURNEY. What expired meanwhile is skipped, nothing is sent in a burst.

    \b
    Example:
      recall resume settled-30d --why "coupon corrected"
    """
    from recall.store.controls import ControlKind, clear_control, refuse_unknown_journey

    with app.store.writing() as connection:
        refuse_unknown_journey(connection, journey)
        changed = clear_control(connection, ControlKind.PAUSED, journey, who=app.who, why=why, at=app.clock.now())
    text = f"{journey} goes on." if changed else f"{journey} was not paused."
    app.output.answer({"journey": journey, "paused": False, "changed": changed}, text)


@click.command("kill-switch")
@click.argument("state", type=click.Choice(["on", "off"]), required=False)
@_why
@pass_app
def kill_switch(app: App, state: str | None, why: str) -> None:
    """Stop, or allow, everything that is sent, in every journey. Without a state: show what is switched.

    On takes effect with the next chunk of every worker, within seconds.

    \b
    Example:
      recall kill-switch on --why "complaints about night calls"
    """
    if state is None:
        _show(app)
        return
    if state == "on" and not why:
        raise click.UsageError("say why: recall kill-switch on --why TEXT (the next person will want to know)")
    from recall.store.controls import ControlKind, clear_control, set_control

    turn = set_control if state == "on" else clear_control
    with app.store.writing() as connection:
        changed = turn(connection, ControlKind.KILL_SWITCH, "", who=app.who, why=why, at=app.clock.now())
    text = (
        "Nothing is sent any more; `recall kill-switch off` allows it again."
        if state == "on"
        else "Sending is allowed."
    )
    app.output.answer({"kill_switch": state, "changed": changed}, text)


def _show(app: App) -> None:
    from recall.store.controls import list_controls

    with app.store.reading() as connection:
        controls = list_controls(connection)
    data = [{"kind": c.kind, "subject": c.subject, "at": _utc(c), "who": c.who, "why": c.why} for c in controls]
    rows = [list(row.values()) for row in data]
    shown = table(["switch", "subject", "since", "who", "why"], rows) if rows else "Nothing is switched off."
    app.output.answer({"controls": data}, shown)


def _utc(control: Control) -> str:
    return f"{to_datetime(control.at):%Y-%m-%d %H:%M} UTC"


@click.command()
@click.argument("user")
@_why
@pass_app
def suppress(app: App, user: str, why: str) -> None:
    """Never message this USER again, on any channel; also holds when the user is only imported later.

    \b
    Example:
      recall suppress u-1001 --why "asked on the phone"
    """
    from recall.store.controls import record_action
    from recall.store.suppressions import USER, suppress_user

    at = app.clock.now()
    # The audit names the user by hash: it outlives their erasure.
    with app.store.writing() as connection:
        changed = suppress_user(connection, app.store, user=user, reason="operator", source="cli", at=at)
        record_action(connection, "suppress", app.store.hash_address(USER, user), who=app.who, why=why, at=at)
    text = f"{user} is not messaged any more." if changed else f"{user} was suppressed already."
    app.output.answer({"user": user, "suppressed": True, "changed": changed}, text)


@click.command()
@click.argument("user")
@click.option("--why", required=True, help="What makes it right to message this user again.")
@pass_app
def unsuppress(app: App, user: str, why: str) -> None:
    """Take back what was decided about this USER. What the person said (opt-outs, complaints) stays in force.

    \b
    Example:
      recall unsuppress u-1001 --why "suppressed by mistake, ticket 4711"
    """
    from recall.store.controls import record_action
    from recall.store.suppressions import USER, unsuppress

    at = app.clock.now()
    with app.store.writing() as connection:
        changed = unsuppress(connection, app.store, user=user, at=at)
        record_action(connection, "unsuppress", app.store.hash_address(USER, user), who=app.who, why=why, at=at)
    text = f"{user} may be messaged, where nothing else forbids it." if changed else f"{user} was not suppressed."
    app.output.answer({"user": user, "suppressed": False, "changed": changed}, text)
