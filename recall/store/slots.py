"""How does a message that was not sent give back what it took? Its cap slot, its money, its stock.

Only its own time is taken out of the remembered ones: a later send may have come between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Table, and_, func, select

from journeys.policy import Policy
from journeys.words import Channel, SendState
from recall.store import schema
from recall.store.bulk import among, ids_parameter
from recall.store.purse import FOR_GOOD, Key, Kind, local_day
from recall.store.versions import Version

_S = schema.sends
_COUNTING = (SendState.CALLING.value, SendState.ACCEPTED.value, SendState.IN_DOUBT.value)


def lock_people(connection: Connection, sends: Sequence[Any]) -> None:
    """Lock whose slots may come back, in one order: two who settle for the same people never wait in a circle."""
    if connection.dialect.name != "postgresql" or len(sends) < 2:
        return
    for table, key, ids in (
        (schema.contact_state, schema.contact_state.c.user_id, {send.user_id for send in sends}),
        (schema.addresses, schema.addresses.c.id, {send.address_id for send in sends}),
    ):
        mine = select(key).select_from(table).where(among(connection, key, "ids")).order_by(key).with_for_update()
        connection.execute(mine, {"ids": ids_parameter(connection, ids)}).all()


def release(connection: Connection, send: Any, version: Version, policy: Policy) -> Mapping[Key, int]:
    """Give back the cap slot of one send, which the caller has just closed as not sent; returns what it cost.

    Budget, ramp and stock come back (`purse.give_back`) when nobody's row is touched any more in the transaction:
    the gate locks people first and allowances last, and whoever did it the other way round would deadlock with it.
    """
    if send.counted:
        _release_person(connection, send)
        if send.address_id:
            _release_address(connection, send)
    return _costs(send, version, policy)


def _costs(send: Any, version: Version, policy: Policy) -> dict[Key, int]:
    day = local_day(send.gate_at, ZoneInfo(version.program.journey.zone))
    costs: dict[Key, int] = {
        (Kind.PROGRAMME_DAY, policy.id, day): send.price,
        (Kind.JOURNEY, version.name, FOR_GOOD): send.price,
        (Kind.JOURNEY_DAY, version.name, day): send.price,
        (Kind.RAMP_DAY, version.name, day): 1,
    }
    if send.offer:
        costs[Kind.OFFER, f"{version.name}/{send.offer}", FOR_GOOD] = 1
    return costs


def _release_person(connection: Connection, send: Any) -> None:
    table = schema.contact_state
    mine = and_(table.c.user_id == send.user_id, table.c.brand == send.brand)
    row = connection.execute(select(table).where(mine).with_for_update()).mappings().first()
    if row is None:
        return
    changes = _without(connection, table, row, "s", schema.LAST_COUNTED, send, _S.c.user_id == send.user_id)
    same = and_(_S.c.user_id == send.user_id, _S.c.channel == send.channel)
    changes |= _without(connection, table, row, send.channel, schema.LAST_PER_CHANNEL, send, same)
    if row["responded_at"] is None or row["responded_at"] < send.gate_at:
        changes["streak"] = max(row["streak"] - 1, 0)
    connection.execute(table.update().where(mine).values(**changes))


def _release_address(connection: Connection, send: Any) -> None:
    table = schema.addresses
    row = connection.execute(select(table).where(table.c.id == send.address_id).with_for_update()).mappings().one()
    to_it = _S.c.address_id == send.address_id
    changes = _without(connection, table, row, "s", schema.LAST_COUNTED, send, to_it)
    is_call = send.channel == Channel.CALL.value
    kind = (_S.c.channel == Channel.CALL.value) if is_call else (_S.c.channel != Channel.CALL.value)
    changes |= _without(
        connection, table, row, "c" if is_call else "m", schema.LAST_PER_CHANNEL, send, and_(to_it, kind)
    )
    connection.execute(table.update().where(table.c.id == send.address_id).values(**changes))


def _without(
    connection: Connection, table: Table, row: Any, prefix: str, length: int, send: Any, mine: Any
) -> dict[str, int | None]:
    """The remembered times without this send's, the freed last place filled from the ledger."""
    times = [row[f"{prefix}{n}"] for n in range(1, length + 1)]
    if send.gate_at not in times:
        return {}
    was_full = times[-1] is not None
    oldest = times[-1]
    times.remove(send.gate_at)
    refill = None
    if was_full:
        older = select(func.max(_S.c.gate_at)).where(
            mine, _S.c.brand == send.brand, _S.c.counted.is_(True), _S.c.state.in_(_COUNTING), _S.c.gate_at < oldest
        )
        refill = connection.execute(older).scalar()
    times.append(refill)
    return {f"{prefix}{n}": value for n, value in enumerate(times, start=1)}
