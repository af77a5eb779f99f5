"""How do people, requests and happenings of a world look as rows of its file?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from journeys.words import AddressKind, Channel, Outcome, ReceiptKind
from providers.accepted import Accepted
from providers.base import Address, Outbound, ProviderEvent, SendResult
from providers.life import Life, Nature
from providers.nature import Stage
from providers.people import Consent, Person
from providers.reaction import Receipt
from recall.clock import Instant

Row = tuple[Any, ...]

PERSON_COLUMNS = (
    "user, zone, locale, jurisdiction, phone, email, push_token, attributes, consents, created_at,"
    " stage, silent_since, enters_at, tendency, response, requests"
)
REQUEST_COLUMNS = (
    "ref, at, channel, user, kind, address, body, title, html, link, body_hash, sender, provider_id, meta,"
    " outcome, cause"
)
HAPPENING_COLUMNS = "at, key, kind, user, ref, channel, name, detail"


def person_row(person: Person, nature: Nature) -> Row:
    return (
        person.user,
        person.zone,
        person.locale,
        person.jurisdiction,
        person.phone,
        person.email,
        person.push_token,
        json.dumps(person.attributes),
        json.dumps([[one.channel, one.purpose, one.granted, one.at, one.wording] for one in person.consents]),
        person.created_at,
        person.stage,
        nature.silent_since,
        nature.enters_at,
        nature.tendency,
        nature.response,
        0,
    )


def person_from(row: Sequence[Any], seed: int) -> tuple[Person, Nature, int]:
    """The person, what moves them, and how many requests there were for them."""
    user, zone, locale, jurisdiction, phone, email, push_token, attributes, consents, created_at, *hidden = row
    stage, silent_since, enters_at, tendency, response, requests = hidden
    person = Person(
        user=user,
        zone=zone,
        locale=locale,
        jurisdiction=jurisdiction,
        stage=Stage(stage),
        created_at=created_at,
        proved_at=silent_since,
        phone=phone,
        email=email,
        push_token=push_token,
        attributes=json.loads(attributes),
        consents=tuple(_consent(consent) for consent in json.loads(consents)),
    )
    return person, Nature(seed, user, Stage(stage), silent_since, enters_at, tendency, response), requests


def request_row(message: Outbound, *, at: Instant, result: SendResult, was_taken: bool) -> Row:
    """What arrived; `was_taken` even though the answer may be lost."""
    content, address = message.content, message.address
    return (
        message.ref,
        at,
        message.channel,
        message.user,
        address.kind,
        address.value,
        content.body,
        content.title,
        content.html,
        content.link,
        content.digest(),
        message.sender,
        result.provider_id,
        json.dumps(dict(message.meta)),
        Outcome.ACCEPTED if was_taken else result.outcome,
        result.cause or "",
    )


def accepted_from(row: Sequence[Any]) -> Accepted:
    ref, at, channel, user, kind, address, body, title, html, link, body_hash, sender, provider_id, meta, *_ = row
    return Accepted(
        ref=ref,
        at=at,
        channel=Channel(channel),
        user=user,
        address=Address(AddressKind(kind), address),
        body=body,
        title=title,
        html=html,
        link=link,
        body_hash=body_hash,
        sender=sender,
        provider_id=provider_id,
        meta=json.loads(meta),
    )


def event_rows(user: str, life: Life, *, after: Instant | None = None) -> list[Row]:
    """What a person does, from an instant on."""
    return [
        (deed.at, deed.key, "event", user, "", "", deed.name, json.dumps(deed.properties, sort_keys=True))
        for deed in life.deeds
        if after is None or deed.at > after
    ]


def receipt_row(message: Outbound, receipt: Receipt, *, key: str) -> Row:
    return (receipt.at, key, "receipt", message.user, message.ref, message.channel, receipt.kind, receipt.detail)


def stop_row(message: Outbound, *, at: Instant, key: str, word: str) -> Row:
    """An opt-out comes in by itself: it carries the address, not our ref."""
    return (at, key, "opt_out", message.user, "", message.channel, ReceiptKind.OPTED_OUT, word)


def provider_event_from(row: Sequence[Any], address: Address | None) -> ProviderEvent:
    at, key, _, _, ref, channel, name, detail = row
    return ProviderEvent(
        event_id=key,
        ref=ref,
        kind=ReceiptKind(name),
        at=at,
        detail=detail,
        channel=Channel(channel),
        address=address,
    )


def _consent(row: Sequence[Any]) -> Consent:
    channel, purpose, granted, at, wording = row
    return Consent(Channel(channel), purpose, granted, at, wording)
