"""Where does a short link lead? Only to the target that was stored, and checked, when the message was sent."""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from sqlalchemy import Connection, func, select

from recall.clock import Instant
from recall.store import schema
from recall.store.bulk import insert_rows

_L, _S = schema.links, schema.sends
_WHOLE = re.compile(r"[!-~]{1,2000}")  # printable ASCII without spaces: what may stand in a Location header
# Schemes a browser acts upon by itself, whatever they are called in the settings.
_NEVER = frozenset({"http", "https", "javascript", "data", "file", "blob", "about", "intent", "vbscript", "tel", "sms"})


class Link(NamedTuple):
    """One short link of one send."""

    token: str
    ref: str
    target: str
    at: Instant


def new_tokens(count: int) -> list[str]:
    """Unguessable short tokens of 96 bits (16 characters), one per link."""
    return [secrets.token_urlsafe(12) for _ in range(count)]


def may_lead(target: str, *, hosts: Collection[str], app_scheme: str = "") -> bool:
    """May a link lead there: https on an allowed host, or the app's own scheme? Asked when the message is sent.

    A host `*.example.com` allows every name below example.com.
    """
    if not _WHOLE.fullmatch(target) or "\\" in target:
        return False
    try:
        parts = urlsplit(target)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return False
    if parts.scheme == "https":
        return "@" not in parts.netloc and port in (None, 443) and _is_allowed(host, hosts)
    return bool(app_scheme) and parts.scheme == app_scheme.lower() and parts.scheme not in _NEVER


def _is_allowed(host: str, hosts: Collection[str]) -> bool:
    return host in hosts or any(h.startswith("*.") and host.endswith(h[1:]) for h in hosts)


def new_links(connection: Connection, rows: Sequence[Link]) -> None:
    """Keep links, in the transaction that keeps their sends."""
    insert_rows(connection, _L, Link._fields, rows)


def find_link(connection: Connection, token: str) -> Link | None:
    """The link of a token; None when we never made it."""
    row = connection.execute(select(_L.c.token, _L.c.ref, _L.c.target, _L.c.at).where(_L.c.token == token)).first()
    return None if row is None else Link(*row)


def reached_at(connection: Connection, ref: str) -> Instant | None:
    """When a message reached the person, as near as we know; None when there is no such send."""
    reached = func.coalesce(_S.c.delivered_at, _S.c.settled_at, _S.c.gate_at)
    return connection.execute(select(reached).where(_S.c.ref == ref)).scalar()
