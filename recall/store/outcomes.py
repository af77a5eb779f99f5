"""What does an outcome of a call make us do? Exit, stop this number, stop this person, or note an opt-out."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from journeys.words import ADDRESS_OF, AddressKind, Channel, End
from recall.clock import Instant
from recall.store import schema
from recall.store.connect import Store
from recall.store.suppressions import opt_out_address, suppress_address, suppress_user

_S, _U = schema.sends, schema.users


def act_on_outcome(
    connection: Connection, store: Store, action: str, enrolment_ids: Sequence[int], step_id: int, *, now: Instant
) -> End | None:
    """Do what the journey declared for an outcome; returns how the enrolments end, None to go on."""
    match action:
        case "exit":
            return End.EXIT_RULE
        case "suppress_address":
            for address_id, _ in _called(connection, enrolment_ids, step_id):
                suppress_address(connection, store, address_id=address_id, reason="wrong_person", source="call", at=now)
            return End.SUPPRESSED
        case "suppress_user":
            for _, user in _called(connection, enrolment_ids, step_id):
                suppress_user(connection, store, user=user, reason="asked on the phone", source="call", at=now)
            return End.SUPPRESSED
        case "opt_out":
            for address_id, _ in _called(connection, enrolment_ids, step_id):
                opt_out_address(connection, store, address_id=address_id, channels=_PHONE, source="call", at=now)
            return End.OPTED_OUT
        case _:
            return None


_PHONE = tuple(channel for channel in Channel if ADDRESS_OF[channel] is AddressKind.PHONE)


def _called(connection: Connection, enrolment_ids: Sequence[int], step_id: int) -> list[tuple[int, str]]:
    """Address and host's user id behind the calls of a step."""
    rows = (
        select(_S.c.address_id, _U.c.user_id)
        .join(_U, _U.c.id == _S.c.user_id)
        .where(_S.c.enrolment_id.in_(enrolment_ids), _S.c.step_id == step_id)
        .distinct()
    )
    return [(row.address_id, row.user_id) for row in connection.execute(rows)]
