"""What is said in a call? The text that passed the gate, in the person's language."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import Connection, select

from journeys.words import Channel
from recall.store import schema

_S, _U = schema.sends, schema.users


@dataclass(frozen=True)
class Script:
    """One call's text."""

    text: str = field(repr=False)
    locale: str = ""


def read_script(connection: Connection, provider: str, ref: str) -> Script | None:
    """None when this provider has no such call, or its text was erased."""
    found = select(_S.c.body, _U.c.locale).join(_U, _U.c.id == _S.c.user_id)
    call = found.where(_S.c.ref == ref, _S.c.provider == provider, _S.c.channel == Channel.CALL.value)
    row = connection.execute(call.where(_S.c.body.is_not(None))).first()
    return None if row is None else Script(row.body, row.locale)
