"""What did a person choose on their preference page, and what do they want from now on?

A channel switched off is an opt-out of the address it uses, so it binds everybody who shares it. A pause is a
suppression of the user with an end; the page lifts only pauses that were chosen on it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, select

from journeys.words import ADDRESS_OF, CHANNEL_BIT, AddressKind, Channel
from recall.clock import Instant
from recall.store import schema
from recall.store.connect import Store
from recall.store.consents import NewConsent, record_consents
from recall.store.policies import live_policies
from recall.store.schema import NO_ADDRESS
from recall.store.suppressions import USER, end_pauses, opt_in, opt_out_address, suppress_user, unsuppress
from recall.store.tokens import Preferred

SOURCE = "preference page"
PAUSED = "paused"  # reason of a pause
_U, _A, _P = schema.users, schema.addresses, schema.suppressions
_KINDS = (AddressKind.PHONE, AddressKind.EMAIL, AddressKind.PUSH)


@dataclass(frozen=True)
class Preferences:
    """What holds for one person now."""

    user: str  # the host's id
    locale: str
    addresses: dict[AddressKind, int]  # current ones, by id
    allowed: dict[Channel, bool]  # channels that reach the person somewhere
    paused_until: Instant | None  # a pause chosen on the page


def read_preferences(connection: Connection, store: Store, user_id: int) -> Preferences | None:
    """None when there is no such user, or they asked to be forgotten."""
    row = connection.execute(select(_U).where(_U.c.id == user_id, _U.c.erased_at.is_(None))).first()
    if row is None:
        return None
    addresses = {kind: getattr(row, f"{kind.value}_id") for kind in _KINDS}
    addresses = {kind: n for kind, n in addresses.items() if n != NO_ADDRESS}
    known = select(_A.c.id, _A.c.opted_out).where(_A.c.id.in_(addresses.values()))
    masks = {found.id: found.opted_out for found in connection.execute(known)}
    allowed = {
        channel: not masks[addresses[kind]] & CHANNEL_BIT[channel]
        for channel, kind in ADDRESS_OF.items()
        if kind in addresses
    }
    return Preferences(row.user_id, row.locale, addresses, allowed, _read_pause(connection, store, row.user_id))


def _read_pause(connection: Connection, store: Store, user: str) -> Instant | None:
    chosen = select(_P.c.until).where(
        _P.c.kind == USER,
        _P.c.hash == store.hash_address(USER, user),
        _P.c.channel == "",
        _P.c.reason == PAUSED,
        _P.c.source == SOURCE,
        _P.c.ended_at.is_(None),
    )
    return connection.execute(chosen).scalar()


def choose_channels(
    connection: Connection, store: Store, whose: Preferred, wanted: Collection[Channel], *, now: Instant
) -> bool:
    """Switch every channel the page showed on or off; False when that changed nothing (or there is nobody)."""
    known = read_preferences(connection, store, whose.user_id)
    if known is None:
        return False
    changed = False
    for channel, is_on in known.allowed.items():
        address = known.addresses[ADDRESS_OF[channel]]
        if is_on and channel not in wanted:
            changed |= _switch_off(connection, address, channel, now)
        elif not is_on and channel in wanted:
            changed |= opt_in(connection, store, address_id=address, channels=[channel], at=now)
    if whose.channel not in wanted:  # the message may have gone to an address that is not the current one
        changed |= _switch_off(connection, whose.address_id, whose.channel, now)
    return changed


def stop_all(connection: Connection, store: Store, whose: Preferred, *, now: Instant) -> bool:
    """Nothing any more: every channel off, and consent withdrawn where no address could carry an opt-out (a task)."""
    known = read_preferences(connection, store, whose.user_id)
    changed = choose_channels(connection, store, whose, (), now=now)
    if known is None:
        return changed
    purposes = sorted({live.policy.consent.purpose for live in live_policies(connection).values()})
    withdrawn = [
        NewConsent(known.user, channel.value, purpose, False, now, source=SOURCE)
        for purpose in purposes
        for channel, kind in ADDRESS_OF.items()
        if kind is AddressKind.NONE
    ]
    return record_consents(connection, withdrawn).added > 0 or changed


def unsubscribe(connection: Connection, store: Store, whose: Preferred, *, now: Instant) -> bool:
    """One click (RFC 8058): no more on this channel, at the address the message went to and at the current one."""
    known = read_preferences(connection, store, whose.user_id)
    current = known.addresses.get(ADDRESS_OF[whose.channel], NO_ADDRESS) if known else NO_ADDRESS
    return any([_switch_off(connection, address, whose.channel, now) for address in {whose.address_id, current}])


def _switch_off(connection: Connection, address_id: int, channel: Channel, now: Instant) -> bool:
    return opt_out_address(connection, None, address_id=address_id, channels=[channel], source=SOURCE, at=now)


def pause(connection: Connection, store: Store, whose: Preferred, *, until: Instant, now: Instant) -> bool:
    """Nothing on any channel until then."""
    known = read_preferences(connection, store, whose.user_id)
    if known is None:
        return False
    return suppress_user(connection, store, user=known.user, reason=PAUSED, source=SOURCE, at=now, until=until)


def resume(connection: Connection, store: Store, whose: Preferred, *, now: Instant) -> bool:
    """End a pause chosen on the page, and nothing that somebody else decided."""
    known = read_preferences(connection, store, whose.user_id)
    if known is None or known.paused_until is None:
        return False
    return unsuppress(connection, store, user=known.user, at=now)


def end_all_pauses(connection: Connection, store: Store, *, at: Instant) -> int:
    """Lift every pause whose end has come, of addresses and of users; returns how many.

    A user's pause is kept under a hash, so those it may be about are hashed again: only in a minute in which one ends.
    """
    over = select(_P.c.hash).where(_P.c.kind == USER, _P.c.ended_at.is_(None), _P.c.until <= at)
    hashes = set(connection.execute(over).scalars())
    ended = 0
    if hashes:
        resting = connection.execute(select(_U.c.user_id).where(_U.c.suppressed.is_(True))).scalars().all()
        for user in resting:
            if store.hash_address(USER, user) in hashes:
                ended += unsuppress(connection, store, user=user, at=at)
    return ended + end_pauses(connection, at=at)
