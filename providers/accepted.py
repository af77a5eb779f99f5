"""What did a provider take? One line per accepted request: the log against which the ledger is checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from journeys.words import AddressKind, Channel
from providers.base import Address, Outbound
from recall.clock import Instant, to_datetime, to_instant

_REF_AT = len('{"ref": "')  # `ref` stands first, so that a line can be skipped without being parsed


@dataclass(frozen=True, slots=True)
class Accepted:
    """One request a provider took. Two requests with one ref are two of these."""

    ref: str
    at: Instant
    channel: Channel
    user: str
    address: Address
    body: str = field(repr=False)
    title: str = field(repr=False)
    html: str = field(repr=False)
    link: str = field(repr=False)
    body_hash: str  # Content.digest() of what was handed over
    sender: str = ""
    provider_id: str = ""
    meta: Mapping[str, str] = field(default_factory=dict)


def accept(message: Outbound, *, at: Instant, provider_id: str) -> Accepted:
    """Turn a request into the line that is kept of it."""
    content = message.content
    return Accepted(
        ref=message.ref,
        at=at,
        channel=message.channel,
        user=message.user,
        address=message.address,
        body=content.body,
        title=content.title,
        html=content.html,
        link=content.link,
        body_hash=content.digest(),
        sender=message.sender,
        provider_id=provider_id,
        meta=dict(message.meta),
    )


def to_line(accepted: Accepted) -> str:
    """One line of JSON, readable by people; without the line break."""
    return json.dumps(
        {
            "ref": accepted.ref,
            "at": to_datetime(accepted.at).isoformat(timespec="microseconds"),
            "channel": accepted.channel,
            "user": accepted.user,
            "kind": accepted.address.kind,
            "address": accepted.address.value,
            "title": accepted.title,
            "body": accepted.body,
            "html": accepted.html,
            "link": accepted.link,
            "body_hash": accepted.body_hash,
            "sender": accepted.sender,
            "provider_id": accepted.provider_id,
            "meta": dict(accepted.meta),
        },
        ensure_ascii=False,
    )


def from_line(line: str) -> Accepted | None:
    """Read one line; None for a line that was torn by a crash, which was never answered."""
    try:
        row: dict[str, Any] = json.loads(line)
        return Accepted(
            ref=row["ref"],
            at=to_instant(datetime.fromisoformat(row["at"])),
            channel=Channel(row["channel"]),
            user=row["user"],
            address=Address(AddressKind(row["kind"]), row["address"]),
            body=row["body"],
            title=row["title"],
            html=row["html"],
            link=row["link"],
            body_hash=row["body_hash"],
            sender=row["sender"],
            provider_id=row["provider_id"],
            meta=row["meta"],
        )
    except (ValueError, KeyError, TypeError):
        return None


def ref_of(line: str) -> str:
    """The ref of a line, without parsing the rest of it."""
    return line[_REF_AT : line.find('"', _REF_AT)]
