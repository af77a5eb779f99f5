"""What do we hold about this person, and what did we do to them? For requests for access, and for complaints."""

from __future__ import annotations

import json
from typing import Any

from journeys.words import CHANNEL_BIT
from recall.clock import Instant, to_datetime
from recall.errors import Misconfigured
from recall.store.connect import Store
from recall.store.histories import Passage, Sent, read_passages, read_person
from recall.store.holdings import Holdings, read_holdings
from recall.store.versions import read_version


def dossier(store: Store, user: str) -> dict[str, Any]:
    """Everything about a user (the host's id) as one JSON object; raises Misconfigured when nobody has this id."""
    with store.reading() as connection:
        person = read_person(connection, user)
        if person is None:
            raise Misconfigured(f"no user has the id {user!r}; ids are compared exactly, as text")
        held = read_holdings(connection, store, user, person.id)
        passages = read_passages(connection, person.id)
        names = {p.version_id: read_version(connection, p.version_id) for p in passages}
    return {
        "user": user,
        "zone": person.zone,
        **_held(held),
        "journeys": [
            {"journey": names[p.version_id].name, "version": names[p.version_id].number, **_passage(p, names)}
            for p in passages
        ],
    }


def _held(held: Holdings) -> dict[str, Any]:
    return {
        "addresses": [
            {
                "kind": row.kind,
                "value": row.value,
                "since": _time(row.since),
                "until": _time(row.until),
                "proved_at": _time(row.proved_at),
                "unreachable": row.unreachable,
                "opted_out_of": [channel.value for channel, bit in CHANNEL_BIT.items() if row.opted_out & bit],
                "suppressed": bool(row.suppressed),
            }
            for row in held.addresses
        ],
        "attributes": {row.name: row.value for row in held.attributes},
        "consents": [
            {
                "id": row.id,
                "channel": row.channel,
                "purpose": row.purpose,
                "granted": bool(row.granted),
                "at": _time(row.at),
                "expires_at": _time(row.expires_at),
                "source": row.source,
                "wording": row.wording,
            }
            for row in held.consents
        ],
        "suppressions": [
            {"kind": r.kind, "channel": r.channel or "all", "reason": r.reason, "source": r.source, "at": _time(r.at),
             "ended_at": _time(r.ended_at)}
            for r in held.suppressions
        ],
        "events": [
            {"name": row.name, "at": _time(row.at), "properties": json.loads(row.properties or "{}")}
            for row in held.events
        ],
    }  # fmt: skip


def _passage(passage: Passage, names: dict[int, Any]) -> dict[str, Any]:
    nodes = names[passage.version_id].program.nodes
    return {
        "entered_at": _time(passage.entered_at),
        "holdout": passage.holdout,
        "ended_at": _time(passage.ended_at),
        "end": passage.end_reason,
        "came_back_at": _time(passage.goal_at),
        "messages": [{"step": nodes[sent.step_id].name, **_message(sent)} for sent in passage.sends],
        "held_back": [
            {
                "step": nodes[row.step_id].name,
                "at": _time(row.at),
                "action": row.action,
                "reason": row.reason,
                "facts": json.loads(row.facts or "{}"),
            }
            for row in passage.decisions
        ],
    }


def _message(sent: Sent) -> dict[str, Any]:
    return {
        "channel": sent.channel,
        "state": sent.state,
        "ref": sent.ref,
        "gate_at": _time(sent.gate_at),
        "text": sent.body,
        "text_hash": sent.body_hash,
        "provider": sent.provider,
        "policy_hash": sent.policy_hash,
        "consent_id": sent.consent_id,
        "receipts": [{"kind": kind, "at": _time(at)} for kind, at in sent.receipts],
    }


def _time(instant: Instant | None) -> str | None:
    return None if instant is None else to_datetime(instant).isoformat()
