"""How do our sends fare? Shares of complaints, opt-outs, refusals and answers, per journey and per sender."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Integer, cast, func, select

from recall.clock import Instant
from recall.store import schema

_S = schema.sends
_SHARE = 1_000_000  # shares are parts per million


@dataclass(frozen=True)
class Health:
    """Counts of sends and what came of them."""

    sends: int
    refused: int
    opted_out: int
    complained: int
    answered: int

    def share(self, count: int) -> int:
        """Parts per million of the sends."""
        return count * _SHARE // self.sends if self.sends else 0


_COUNTS = (
    func.count().label("sends"),
    func.sum(cast(_S.c.state == "refused", Integer)).label("refused"),
    func.count(_S.c.opted_out_at).label("opted_out"),
    func.count(_S.c.complained_at).label("complained"),
    func.count(_S.c.answered_at).label("answered"),
)
_TRIED = _S.c.state.in_(("accepted", "refused", "in_doubt"))


def journey_health(connection: Connection, journey_id: int, *, since: Instant) -> Health:
    """How the sends of one journey fared since an instant."""
    row = connection.execute(select(*_COUNTS).where(_S.c.journey_id == journey_id, _S.c.gate_at >= since, _TRIED)).one()
    return Health(row.sends, row.refused or 0, row.opted_out, row.complained, row.answered)


def sender_health(connection: Connection, channel: str, *, since: Instant) -> dict[tuple[str, str], Health]:
    """How each (provider, sender) of a channel fared since an instant."""
    rows = (
        select(_S.c.provider, _S.c.sender, *_COUNTS)
        .where(_S.c.channel == channel, _S.c.gate_at >= since, _TRIED)
        .group_by(_S.c.provider, _S.c.sender)
    )
    return {
        (row.provider, row.sender): Health(row.sends, row.refused or 0, row.opted_out, row.complained, row.answered)
        for row in connection.execute(rows)
    }
