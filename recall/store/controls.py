"""What did a person switch? Kill switch, paused journeys, stopped steps and templates, approvals.

The gate reads them in the transaction that commits a send, so a switch holds from the next chunk on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, func, select, text

from recall.clock import Instant
from recall.errors import Misconfigured
from recall.store import schema


class ControlKind(StrEnum):
    KILL_SWITCH = "kill_switch"  # subject "": nothing is sent at all
    PAUSED = "paused"  # subject: journey
    STOPPED_STEP = "stopped_step"  # subject: "journey/step"
    STOPPED_TEMPLATE = "stopped_template"  # subject: template
    APPROVED = "approved"  # subject: what was approved


@dataclass(frozen=True)
class Control:
    """One switch that is on."""

    kind: ControlKind
    subject: str
    at: Instant
    who: str
    why: str


@dataclass(frozen=True)
class Controls:
    """Every switch that is on."""

    kill_switch: str | None = None  # why; None = off
    paused: frozenset[str] = frozenset()  # journeys
    stopped_steps: frozenset[str] = frozenset()  # "journey/step"
    stopped_templates: frozenset[str] = frozenset()
    approved: frozenset[str] = frozenset()


# What the audit says was done: when a switch goes on, and when it goes off.
AUDITED: Mapping[ControlKind, tuple[str, str]] = {
    ControlKind.KILL_SWITCH: ("kill-switch on", "kill-switch off"),
    ControlKind.PAUSED: ("pause", "resume"),
    ControlKind.STOPPED_STEP: ("stop step", "start step"),
    ControlKind.STOPPED_TEMPLATE: ("stop template", "start template"),
    ControlKind.APPROVED: ("approve", "withdraw approval"),
}

_SWITCH_ON = text(
    "insert into controls (kind, subject, at, who, why) values (:kind, :subject, :at, :who, :why) "
    "on conflict (kind, subject) do nothing"
)


_ALL = select(schema.controls).order_by(schema.controls.c.kind, schema.controls.c.subject)


def list_controls(connection: Connection) -> list[Control]:
    """Every switch that is on, with who and why; by kind and subject."""
    rows = connection.execute(_ALL)
    return [Control(ControlKind(row.kind), row.subject, row.at, row.who, row.why) for row in rows]


def read_controls(connection: Connection) -> Controls:
    """What the gate needs to know, in one small query."""
    rows = list_controls(connection)

    def subjects(kind: ControlKind) -> frozenset[str]:
        return frozenset(row.subject for row in rows if row.kind is kind)

    return Controls(
        kill_switch=next((row.why for row in rows if row.kind is ControlKind.KILL_SWITCH), None),
        paused=subjects(ControlKind.PAUSED),
        stopped_steps=subjects(ControlKind.STOPPED_STEP),
        stopped_templates=subjects(ControlKind.STOPPED_TEMPLATE),
        approved=subjects(ControlKind.APPROVED),
    )


def refuse_unknown_journey(connection: Connection, journey: str) -> None:
    """Raise Misconfigured unless a journey of this name was ever published; reads no program, so it always works."""
    names = connection.execute(select(schema.journeys.c.name).order_by(schema.journeys.c.name)).scalars().all()
    if journey not in names:
        raise Misconfigured(f"no journey {journey!r} was published; there are: {', '.join(names) or 'none'}")


def set_control(connection: Connection, kind: ControlKind, subject: str, *, who: str, why: str, at: Instant) -> bool:
    """Switch on; returns False when it was on already (first reason and time stay, the action is still recorded)."""
    record_action(connection, AUDITED[kind][0], subject, who=who, why=why, at=at)
    added = connection.execute(_SWITCH_ON, {"kind": kind.value, "subject": subject, "at": at, "who": who, "why": why})
    return bool(added.rowcount)


def clear_control(connection: Connection, kind: ControlKind, subject: str, *, who: str, why: str, at: Instant) -> bool:
    """Switch off; returns False when it was off already."""
    record_action(connection, AUDITED[kind][1], subject, who=who, why=why, at=at)
    table = schema.controls
    gone = connection.execute(table.delete().where(table.c.kind == kind.value, table.c.subject == subject))
    return bool(gone.rowcount)


def record_action(connection: Connection, verb: str, subject: str, *, who: str, why: str, at: Instant) -> None:
    """Write down who did what, for the audit."""
    connection.execute(schema.operator_actions.insert().values(at=at, who=who, verb=verb, subject=subject, why=why))


def last_resumed(connection: Connection, journey: str) -> Instant | None:
    """When a person last let a paused journey go on."""
    table = schema.operator_actions
    resumed = select(func.max(table.c.at)).where(
        table.c.verb == AUDITED[ControlKind.PAUSED][1], table.c.subject == journey
    )
    return connection.execute(resumed).scalar()
