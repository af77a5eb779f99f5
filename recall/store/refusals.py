"""What does a final refusal teach us? The address is dead, the person said stop, or the text is not allowed."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from journeys.program import MessageNode
from journeys.words import ADDRESS_OF, AddressKind, Cause, Channel, End
from recall.clock import Instant, slot_up
from recall.store import schema
from recall.store.controls import ControlKind, set_control
from recall.store.standing import still_where_gate_left_it
from recall.store.suppressions import mark_unreachable, opt_out_address
from recall.store.versions import Version

_E = schema.enrolments


def learn(connection: Connection, send: Any, *, cause: Cause | None, code: str, version: Version, now: Instant) -> None:
    """Remember what the refusal says, and take the step's `else` where the person cannot be reached this way."""
    channel = Channel(send.channel)
    node = version.program.message(send.step_id)
    match cause:
        case Cause.ADDRESS if ADDRESS_OF[channel] is not AddressKind.NONE:
            mark_unreachable(connection, [send.address_id], code or "refused", at=now)
        case Cause.OPTED_OUT if ADDRESS_OF[channel] is not AddressKind.NONE:
            opt_out_address(
                connection,
                None,
                address_id=send.address_id,
                source=f"provider:{send.provider}",
                at=now,
            )
        case Cause.CONTENT:
            why = f"refused by {send.provider}: {code}"
            set_control(connection, ControlKind.STOPPED_TEMPLATE, node.template, who="recall", why=why, at=now)
            return
        case _:
            return
    _fall_back(connection, send, node, opted_out=cause is Cause.OPTED_OUT, now=now)


def _fall_back(connection: Connection, send: Any, node: MessageNode, *, opted_out: bool, now: Instant) -> None:
    values: dict[str, object]
    if node.otherwise is not None and node.otherwise.node is not None:
        slot = slot_up(now + 1)
        values = {
            "step_id": node.otherwise.node,
            "due_at": slot,
            "first_due_at": slot,
            "grp": 0,
            "reason": None,
            "active": True,
            "ended_at": None,
            "end_reason": None,
        }
    elif node.otherwise_exits or set(node.channels_after) <= {node.channel}:
        end = End.OPTED_OUT if opted_out else End.EXIT_RULE if node.otherwise_exits else End.FINISHED
        values = {"active": False, "ended_at": now, "end_reason": end.value}
    else:
        return
    connection.execute(_E.update().where(still_where_gate_left_it(send)).values(**values))
