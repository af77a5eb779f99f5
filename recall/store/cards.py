"""Which card does the app show this user? The latest message of the in-app channel that still holds."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import Connection, or_, select

from journeys.words import Channel, End, SendState
from recall.clock import Instant
from recall.store import schema
from recall.store.controls import read_controls

_S, _E, _U, _J = schema.sends, schema.enrolments, schema.users, schema.journeys
# After these nothing more is said, not even what was accepted before.
_OVER = (End.GOAL_REACHED, End.OPTED_OUT, End.SUPPRESSED, End.ERASED)


@dataclass(frozen=True)
class Card:
    """One message inside the app."""

    ref: str
    text: str = field(repr=False)  # title, empty line, text
    link: str
    expires_at: Instant | None


def pending_card(connection: Connection, user: str, *, now: Instant) -> Card | None:
    """The newest accepted card of a user (the host's id); None when it was dismissed, clicked or does not hold."""
    controls = read_controls(connection)
    if controls.kill_switch is not None:
        return None
    newest = (
        select(_S, _J.c.name.label("journey"), _E.c.end_reason)
        .join(_U, _U.c.id == _S.c.user_id)
        .join(_E, _E.c.id == _S.c.enrolment_id)
        .join(_J, _J.c.id == _S.c.journey_id)
        .where(
            _U.c.user_id == user,
            _U.c.erased_at.is_(None),
            _U.c.suppressed.is_(False),
            _S.c.channel == Channel.IN_APP.value,
            _S.c.state == SendState.ACCEPTED.value,
            _S.c.body.is_not(None),
            or_(_S.c.expires_at.is_(None), _S.c.expires_at > now),
        )
        .order_by(_S.c.gate_at.desc(), _S.c.id.desc())
        .limit(1)
    )
    row = connection.execute(newest).first()
    if row is None or row.dismissed_at or row.clicked_at or row.journey in controls.paused:
        return None
    if row.end_reason in {end.value for end in _OVER} or _was_told(connection, row.ref):
        return None
    return Card(row.ref, row.body, row.link or "", row.expires_at)


def _was_told(connection: Connection, ref: str) -> bool:
    """Was it dismissed or clicked a moment ago, in a receipt that still lies in the inbox?"""
    inbox = schema.receipts
    told = select(inbox.c.id).where(inbox.c.ref == ref, inbox.c.kind.in_(("dismissed", "clicked")))
    return connection.execute(told.where(inbox.c.applied_at.is_(None)).limit(1)).first() is not None


def is_card_of(connection: Connection, ref: str, user: str) -> bool:
    """Is this send a card that this user (the host's id) got?"""
    found = select(_S.c.id).join(_U, _U.c.id == _S.c.user_id)
    mine = found.where(_S.c.ref == ref, _U.c.user_id == user, _S.c.channel == Channel.IN_APP.value)
    return connection.execute(mine).first() is not None
