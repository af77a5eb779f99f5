"""What comes of one accepted message: receipts, a kick, sometimes an opt-out?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from journeys.words import Channel, ReceiptKind
from providers.chance import between, happens, uniform
from providers.life import Kick, Nature, Silence
from providers.nature import REACH, Reach, click_kick, message_kick
from recall.clock import HOUR, MINUTE, SECOND, Instant

# How a call ends that nobody took, and how one ends that was answered [assumed].
NOT_ANSWERED = (("no_answer", 0.60), ("busy", 0.25), ("machine", 0.15))
ANSWERS = (("declined", 0.48), ("no_input", 0.30), ("interested", 0.20), ("wrong_person", 0.02))


@dataclass(frozen=True, slots=True)
class Receipt:
    kind: ReceiptKind
    at: Instant
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Reaction:
    receipts: tuple[Receipt, ...]
    kicks: tuple[Kick, ...] = ()
    stop_at: Instant | None = None  # said stop to this channel


@dataclass(frozen=True, slots=True)
class Contact:
    """One accepted message, as the person meets it."""

    nature: Nature
    channel: Channel
    nth: int  # of all requests to this person: what chance is keyed by, as refs differ in every run
    at: Instant
    silence: Silence | None  # None: active, nothing to win back
    in_silence: int  # the k-th message since they fell silent
    scale: float

    def happens(self, probability: float, what: str) -> bool:
        return happens(probability, self.nature.seed, self.nature.user, what, self.nth)

    def after(self, low: Instant, high: Instant, what: str) -> Instant:
        """A moment between two delays after sending, in whole seconds."""
        delay = between(low, high, self.nature.seed, self.nature.user, what, self.nth)
        return (self.at + int(delay)) // SECOND * SECOND + SECOND

    def one_of(self, ends: Sequence[tuple[str, float]], what: str) -> str:
        draw = uniform(self.nature.seed, self.nature.user, what, self.nth)
        for end, share in ends:
            draw -= share
            if draw <= 0:
                return end
        return ends[-1][0]

    def message_kick(self, at: Instant) -> tuple[Kick, ...]:
        if self.silence is None:
            return ()
        size = message_kick(
            self.channel,
            self.silence.stage,
            response=self.nature.response,
            contact=self.in_silence,
            scale=self.scale,
        )
        return (Kick(self.at, at, size),) if size else ()

    def click_kick(self, at: Instant) -> tuple[Kick, ...]:
        if self.silence is None:
            return ()
        size = click_kick(self.silence.stage, response=self.nature.response, contact=self.in_silence, scale=self.scale)
        return (Kick(self.at, at, size),)


def react(contact: Contact, *, dead_share: float) -> Reaction:
    """A dead address was refused before, so a living one gets the message a little more often than on average."""
    reach = REACH[contact.channel]
    reached = contact.happens(reach.delivered / (1 - dead_share), "delivered")
    if contact.channel in (Channel.CALL, Channel.TASK):
        return _answer(contact, reach) if reached else _no_answer(contact)
    if not reached:
        return Reaction((Receipt(ReceiptKind.UNDELIVERED, contact.after(2 * SECOND, HOUR, "failed"), "unreachable"),))
    return _read(contact, reach)


def _read(contact: Contact, reach: Reach) -> Reaction:
    delivered_at = contact.after(SECOND, 2 * MINUTE, "delivered at")
    receipts = [Receipt(ReceiptKind.DELIVERED, delivered_at)]
    kicks = contact.message_kick(delivered_at)
    opened_at = delivered_at + contact.after(MINUTE, 12 * HOUR, "opened at") - contact.at // SECOND * SECOND
    clicked = contact.happens(reach.clicked, "clicked")
    if reach.opened and (clicked or contact.happens(reach.opened, "opened")):
        receipts.append(Receipt(ReceiptKind.OPENED, opened_at))
    if clicked:
        receipts.append(Receipt(ReceiptKind.CLICKED, opened_at + 20 * SECOND))
        kicks += contact.click_kick(opened_at + 20 * SECOND)
    stops = contact.happens(reach.opt_out, "opt out")
    return Reaction(tuple(receipts), kicks, opened_at + 5 * MINUTE if stops else None)


def _answer(contact: Contact, reach: Reach) -> Reaction:
    """Answered by a person, who may press the key that means never again."""
    at = contact.after(10 * SECOND, 90 * SECOND, "answered at")
    stops = contact.happens(reach.opt_out, "opt out")
    detail = "opt_out" if stops else contact.one_of(ANSWERS, "answer")
    return Reaction((Receipt(ReceiptKind.ANSWERED, at, detail),), contact.message_kick(at), at if stops else None)


def _no_answer(contact: Contact) -> Reaction:
    detail = contact.one_of(NOT_ANSWERED, "no answer")
    return Reaction((Receipt(ReceiptKind.UNDELIVERED, contact.after(20 * SECOND, 60 * SECOND, "rang until"), detail),))
