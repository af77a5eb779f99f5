"""Who are the people, and where are they reached? `users` holds their current address of each kind."""

from __future__ import annotations

from sqlalchemy import Column, Double, ForeignKey, Index, Integer, Table, Text, UniqueConstraint, text

from recall.store.schema.columns import Id, at, flag, metadata, row_id

NO_ADDRESS = 0  # the row of `addresses` that stands for "has none", so that every user joins to one
LAST_COUNTED = 8  # counted sends remembered per person and per address
LAST_PER_CHANNEL = 4  # and of those per channel

zones = Table(  # one zone, or the set a person may be in; an empty set is never open
    "zones",
    metadata,
    row_id(),
    Column("names", Text, nullable=False, unique=True),  # IANA names, sorted, joined by ","
)

addresses = Table(  # one row per normalised phone, e-mail or push token; id 0 = none
    "addresses",
    metadata,
    row_id(),
    Column("kind", Text, nullable=False),  # phone | email | push | none
    Column("subkind", Text, nullable=False, server_default=""),  # fcm_token, fcm_fid, apns, jpush_regid …
    Column("value", Text),  # NULL once erased
    Column("hash", Text, nullable=False),  # HMAC of kind and value: what remains after erasure
    Column("region", Text, nullable=False, server_default=""),  # ISO 3166, of phones
    Column("opted_out", Integer, nullable=False, server_default=text("0")),  # bit mask of channels
    flag("suppressed"),
    Column("unreachable", Text),  # reason; NULL = reachable
    at("unreachable_at", null=True),
    at("proved_at", null=True),  # last proof of ownership
    *[at(f"s{n}", null=True) for n in range(1, LAST_COUNTED + 1)],  # last counted sends to it, newest first
    *[at(f"m{n}", null=True) for n in range(1, LAST_PER_CHANNEL + 1)],  # its message channel (sms, email, push)
    *[at(f"c{n}", null=True) for n in range(1, LAST_PER_CHANNEL + 1)],  # calls to it
    UniqueConstraint("kind", "hash"),
)

users = Table(
    "users",
    metadata,
    row_id(),
    Column("user_id", Text, nullable=False, unique=True),  # the host's id
    Column("zone_id", Id, ForeignKey("zones.id"), nullable=False),
    Column("locale", Text, nullable=False, server_default=""),
    Column("jurisdiction", Text, nullable=False, server_default=""),
    Column("phone_id", Id, ForeignKey("addresses.id"), nullable=False, server_default=text("0")),
    Column("email_id", Id, ForeignKey("addresses.id"), nullable=False, server_default=text("0")),
    Column("push_id", Id, ForeignKey("addresses.id"), nullable=False, server_default=text("0")),
    flag("suppressed"),
    flag("is_test"),
    at("created_at"),
    at("erased_at", null=True),
)
for _kind in ("phone", "email", "push"):
    _address = users.c[f"{_kind}_id"]
    Index(f"users_by_{_kind}", _address, postgresql_where=_address > 0, sqlite_where=_address > 0)

user_addresses = Table(  # every address a user ever had; users.*_id is the current one
    "user_addresses",
    metadata,
    Column("user_id", Id, ForeignKey("users.id"), primary_key=True),
    Column("address_id", Id, ForeignKey("addresses.id"), primary_key=True),
    at("since"),
    at("until", null=True),
)
Index("user_addresses_by_address", user_addresses.c.address_id)

user_attributes = Table(
    "user_attributes",
    metadata,
    Column("user_id", Id, ForeignKey("users.id"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
    Column("number", Double),  # the value as a number, where it is one
    at("at", null=True),  # the value as an instant, where it is one
    sqlite_with_rowid=False,
)
