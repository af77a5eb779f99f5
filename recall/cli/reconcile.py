"""What became of messages nobody knows about? Evidence is looked for; where there is none, a person decides."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from journeys.words import Outcome, SendState
from recall.cli.context import App, pass_app
from recall.cli.desk import moment, sending_setup
from recall.cli.output import table
from recall.errors import Misconfigured

if TYPE_CHECKING:
    from recall.engine.reconcile import Reconciled

PERSON_NEEDED = 1


@click.command()
@click.option("--accept", multiple=True, metavar="REF", help="This message was taken; you know it.")
@click.option("--not-sent", multiple=True, metavar="REF", help="This message reached nobody; you know it.")
@click.option("--why", default="", help="How you know, kept with your name for the audit.")
@pass_app
def reconcile(app: App, accept: tuple[str, ...], not_sent: tuple[str, ...], why: str) -> int:
    """Look for evidence of messages in doubt and list those that stay open; nothing is ever sent again blind.

    With --accept or --not-sent you decide yourself, for example after looking into the provider's own log. What was
    not sent goes on to the next step; `recall replay` sends it again. Exit code 1 while a doubt is open.

    \b
    Example:
      recall reconcile
      recall reconcile --not-sent 5f0c6a1e9b7d4c3a2b1f0e9d --why "not in the provider's log of 3 March"
    """
    if accept or not_sent:
        if not why:
            raise click.UsageError("say how you know: --why TEXT (it stands in for the missing evidence)")
        if both := set(accept) & set(not_sent):
            raise click.UsageError(f"{', '.join(sorted(both))} cannot be both; name each REF once")
        _decide(app, dict.fromkeys(accept, Outcome.ACCEPTED) | dict.fromkeys(not_sent, Outcome.NOT_SENT), why)
        return _tell(app, None, decided=len({*accept, *not_sent}))
    from recall.engine.reconcile import reconcile as look_for_evidence

    with sending_setup(app) as setup:
        done = look_for_evidence(setup)
    return _tell(app, done)


def _decide(app: App, decisions: dict[str, Outcome], why: str) -> None:
    """All of them or none, in one transaction."""
    from recall.store.controls import record_action
    from recall.store.ledger import read_open, resolve
    from recall.store.policies import live_policies
    from recall.store.purse import Key, give_back

    at = app.clock.now()
    with app.store.writing() as connection:
        sends = {send.ref: send for send in read_open(connection, decisions)}
        for ref in decisions:
            if ref not in sends or sends[ref].state != SendState.IN_DOUBT:
                raise Misconfigured(f"no message in doubt has the ref {ref!r}; `recall reconcile` lists them")
        policies, returned = live_policies(connection), Counter[Key]()
        for ref, outcome in decisions.items():
            resolve(connection, sends[ref], outcome, policies, evidence=why, who=app.who, now=at, returned=returned)
            record_action(connection, f"decide {outcome.value}", ref, who=app.who, why=why, at=at)
        give_back(connection, returned)


def _tell(app: App, done: Reconciled | None, *, decided: int = 0) -> int:
    doubts = _open(app)
    lines: list[Any] = [_sentence(done)] if done else [f"{decided} decided, noted with your name."]
    if doubts:
        lines += [table(list(doubts[0]), [list(doubt.values()) for doubt in doubts])]
        lines.append(
            "A person decides what no evidence tells: recall reconcile --accept REF | --not-sent REF --why TEXT"
        )
    else:
        lines.append("No message is in doubt.")
    counts = {**(asdict(done) if done else {}), "decided": decided, "open": len(doubts)}
    app.output.answer({**counts, "doubts": doubts}, *lines)
    return PERSON_NEEDED if doubts else 0


def _sentence(done: Reconciled) -> str:
    return (
        f"{done.spooled} answers from the spool, {done.receipts} receipts, {done.raised} new doubts; "
        f"by evidence {done.accepted} accepted, {done.not_sent} not sent."
    )


def _open(app: App) -> list[dict[str, str]]:
    """Every open doubt, without anything personal."""
    from recall.store.ledger import open_doubts
    from recall.store.versions import read_version

    with app.store.reading() as connection:
        found = [(send, read_version(connection, send.version_id)) for send in open_doubts(connection)]
    return [
        {
            "ref": send.ref,
            "journey": version.name,
            "step": version.program.nodes[send.step_id].name,
            "provider": send.provider,
            "since": f"{moment(send.gate_at)} UTC",
            "why": send.code or "",
        }
        for send, version in found
    ]
