"""How does the world take one request? Mishaps, refusals, the log, and what the message does to people."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from journeys.words import AddressKind, Cause, Channel, Outcome
from providers import world_file
from providers.base import Outbound, SendResult
from providers.chance import between, happens
from providers.faults import problem_of
from providers.life import Kick, Life, Nature, live
from providers.nature import REACH
from providers.people import DEAD_SHARES, Person, Population, is_dead
from providers.reaction import Contact, Reaction, react
from providers.world_rows import Row, receipt_row, request_row, stop_row
from recall.clock import DAY, HOUR, MINUTE, Instant
from recall.errors import Misconfigured

STOP_WORDS = {Channel.SMS: "TD", Channel.CALL: "9", Channel.EMAIL: "unsubscribe"}


class Mishaps(BaseModel):
    """How often things go wrong between us and the provider; never, unless asked for. Shares of requests."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    connect_rate: float = Field(0.0, ge=0, le=1)  # known not sent
    throttle_rate: float = Field(0.0, ge=0, le=1)  # 429
    server_error_rate: float = Field(0.0, ge=0, le=1)  # 5xx, not taken: in doubt
    lost_answer_rate: float = Field(0.0, ge=0, le=1)  # taken, answer lost: in doubt
    late_receipt_rate: float = Field(0.0, ge=0, le=1)  # up to a day late
    doubled_receipt_rate: float = Field(0.0, ge=0, le=1)  # told twice


def mishaps_from(options: Mapping[str, str]) -> Mishaps:
    """The mishaps set by options; raises Misconfigured for values that mean nothing."""
    try:
        return Mishaps.model_validate(dict(options))
    except ValidationError as error:
        raise Misconfigured(f"provider option {problem_of(error)}") from error


@dataclass(slots=True)
class _Recipient:
    """A person while a batch is taken: a second message in it finds what the first one left."""

    person: Person
    nature: Nature
    requests: int
    kicks: list[Kick]
    life: Life


class Desk:
    """Takes one batch inside one transaction."""

    def __init__(
        self, connection: sqlite3.Connection, population: Population, mishaps: Mishaps, *, now: Instant, name: str
    ) -> None:
        self._connection = connection
        self._population = population
        self._mishaps = mishaps
        self._now = now
        self._acts_from = max(now, world_file.taken_until(connection))  # what was told cannot be changed any more
        self._name = name

    def take(self, batch: list[Outbound]) -> list[SendResult]:
        known = self._recipients(batch)
        stops = world_file.stops_by_address(self._connection, [message.address.value for message in batch])
        return [self._take_one(message, known.get(message.user), stops) for message in batch]

    def _recipients(self, batch: list[Outbound]) -> dict[str, _Recipient]:
        users = [message.user for message in batch]
        kicks = world_file.kicks_by_user(self._connection, users)
        found = world_file.people_by_user(self._connection, users, self._population.seed)
        return {
            user: _Recipient(
                person,
                nature,
                requests,
                kicks.get(user, []),
                live(nature, kicks.get(user, []), until=self._population.until),
            )
            for user, (person, nature, requests) in found.items()
        }

    def _take_one(
        self, message: Outbound, to: _Recipient | None, stops: Mapping[tuple[str, str], Instant]
    ) -> SendResult:
        result = self._mishap(message, to) or self._refusal(message, to, stops)
        was_taken = result is None
        provider_id = f"{self._name}-{message.ref}"
        if result is None:
            cost = REACH[message.channel].cost_micros
            result = SendResult(message.ref, Outcome.ACCEPTED, provider_id=provider_id, cost_micros=cost)
        row = request_row(message, at=self._now, result=result, was_taken=was_taken)
        world_file.add_request(self._connection, message.user, row)
        if to is not None:
            to.requests += 1
            if was_taken:
                self._deliver(message, to)
                if self._chance(self._mishaps.lost_answer_rate, "lost answer", to):
                    return SendResult(message.ref, Outcome.IN_DOUBT, code="lost_answer")
        return result

    def _mishap(self, message: Outbound, to: _Recipient | None) -> SendResult | None:
        if to is None:
            return None
        if self._chance(self._mishaps.connect_rate, "connect", to):
            return SendResult(message.ref, Outcome.NOT_SENT, Cause.CONNECT, code="no_connection")
        if self._chance(self._mishaps.throttle_rate, "throttle", to):
            return SendResult(message.ref, Outcome.NOT_SENT, Cause.THROTTLED, code="429", retry_after_seconds=30.0)
        if self._chance(self._mishaps.server_error_rate, "server error", to):
            return SendResult(message.ref, Outcome.IN_DOUBT, code="503")
        return None

    def _refusal(
        self, message: Outbound, to: _Recipient | None, stops: Mapping[tuple[str, str], Instant]
    ) -> SendResult | None:
        address = message.address
        if to is None or address != to.person.address(message.channel):
            return SendResult(message.ref, Outcome.REFUSED, Cause.ADDRESS, code="unknown_address")
        if is_dead(self._population.seed, address) or (address.kind is not AddressKind.NONE and not address.value):
            return SendResult(message.ref, Outcome.REFUSED, Cause.ADDRESS, code="dead_address")
        if stops.get((address.value, message.channel), self._now + 1) <= self._now:
            if message.channel is Channel.PUSH:  # uninstalled: the vendor knows the token no more
                return SendResult(message.ref, Outcome.REFUSED, Cause.ADDRESS, code="dead_address")
            return SendResult(message.ref, Outcome.REFUSED, Cause.OPTED_OUT, code="said_stop")
        return None

    def _deliver(self, message: Outbound, to: _Recipient) -> None:
        silence = to.life.silence_at(self._acts_from)
        since = silence.since if silence else self._acts_from
        contact = Contact(
            nature=to.nature,
            channel=message.channel,
            nth=to.requests,
            at=self._acts_from,
            silence=silence,
            in_silence=max(1, world_file.accepted_since(self._connection, message.user, since)),
            scale=self._population.scale,
        )
        reaction = react(contact, dead_share=DEAD_SHARES.get(message.address.kind, 0.0))
        self._remember(message, to, reaction)

    def _remember(self, message: Outbound, to: _Recipient, reaction: Reaction) -> None:
        world_file.add_happenings(self._connection, self._told(message, to, reaction))
        if reaction.stop_at is not None:
            world_file.add_stop(self._connection, message.address.value, message.channel, reaction.stop_at)
        if reaction.kicks:
            world_file.add_kicks(self._connection, message.user, reaction.kicks)
            to.kicks += reaction.kicks
            life = live(to.nature, to.kicks, until=self._population.until)
            if life.deeds != to.life.deeds:
                world_file.rewrite_future(self._connection, message.user, life, now=self._acts_from)
            to.life = life

    def _told(self, message: Outbound, to: _Recipient, reaction: Reaction) -> list[Row]:
        """The rows of receipts and of an opt-out, late or doubled as the mishaps have it."""
        key = f"{self._name}:{message.user}:{to.requests}"
        rows = [receipt_row(message, receipt, key=f"{key}:{receipt.kind}") for receipt in reaction.receipts]
        if reaction.stop_at is not None and message.channel in STOP_WORDS:
            word = STOP_WORDS[message.channel]
            rows.append(stop_row(message, at=reaction.stop_at, key=f"{key}:stop", word=word))
        late = [self._late(row, to) for row in rows]
        doubled = [
            (row[0] + MINUTE, *row[1:])
            for row in late
            if self._chance(self._mishaps.doubled_receipt_rate, f"doubled {row[1]}", to)
        ]
        return late + doubled

    def _late(self, row: Row, to: _Recipient) -> Row:
        if not self._chance(self._mishaps.late_receipt_rate, f"late {row[1]}", to):
            return row
        delay = between(HOUR, DAY, self._population.seed, row[1], "delay")
        return (row[0] + int(delay), *row[1:])

    def _chance(self, rate: float, what: str, to: _Recipient) -> bool:
        return rate > 0 and happens(rate, self._population.seed, to.person.user, what, to.requests)
