"""Which policy is in force? Policies are live: the newest published row of a name; its hash is stored on each send."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache

from sqlalchemy import Connection, func, select

from journeys.policy import Policy
from recall.clock import Instant
from recall.errors import Misconfigured
from recall.store import schema


@dataclass(frozen=True)
class LivePolicy:
    """A policy as it is in force now."""

    name: str
    hash: str  # of its content: two of one name and hash are the same
    policy: Policy = field(compare=False)


def publish_policy(connection: Connection, policy: Policy, *, now: Instant) -> LivePolicy:
    """Put a policy in force for every journey that names it; the same content again changes nothing."""
    content = policy.model_dump_json(exclude_none=True)
    live = LivePolicy(policy.id, hashlib.sha256(content.encode()).hexdigest(), policy)
    if read_hash(connection, policy.id) != live.hash:
        connection.execute(
            schema.policies.insert().values(name=live.name, hash=live.hash, content=content, published_at=now)
        )
    return live


def read_hash(connection: Connection, name: str) -> str | None:
    """The hash of the policy in force; None when there is none of this name."""
    row = connection.execute(
        select(schema.policies.c.hash)
        .where(schema.policies.c.name == name)
        .order_by(schema.policies.c.id.desc())
        .limit(1)
    )
    return row.scalar()


def live_policies(connection: Connection) -> dict[str, LivePolicy]:
    """Every policy in force, by name."""
    return {name: _parse(name, hashed, content) for name, hashed, content in connection.execute(_LIVE)}


_NEWEST = select(func.max(schema.policies.c.id)).group_by(schema.policies.c.name)
_LIVE = select(schema.policies.c.name, schema.policies.c.hash, schema.policies.c.content).where(
    schema.policies.c.id.in_(_NEWEST)
)


@lru_cache(maxsize=64)
def _parse(name: str, hashed: str, content: str) -> LivePolicy:
    return LivePolicy(name, hashed, Policy.model_validate_json(content))


def live_policy(connection: Connection, name: str) -> LivePolicy:
    """The policy in force under this name; raises Misconfigured when there is none."""
    try:
        return live_policies(connection)[name]
    except KeyError:
        raise Misconfigured(f"no policy {name!r} is published; run `recall journey publish`") from None
