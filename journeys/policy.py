"""What may anybody be sent at all? Legal and politeness limits of one jurisdiction, in a file of their own."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from journeys.rules import Attribute
from journeys.spans import Spans
from journeys.values import (
    Currency,
    EventName,
    Identifier,
    Model,
    Money,
    Percent,
    PositiveDuration,
    ProviderName,
    Share,
    Text,
    WholeNumber,
)
from journeys.words import Channel

MAX_CAP = 8  # contact_state remembers the last 8 counted sends of a person ...
MAX_CHANNEL_CAP = 4  # ... and the last 4 on one channel


class DayWindows(Model):
    """Allowed local hours by type of day; a type left out is closed."""

    workday: Spans = ()
    weekend: Spans = ()
    holiday: Spans = ()


class Cap(Model):
    """At most `sends` counted messages within a rolling time; per channel or over all that count."""

    sends: Annotated[WholeNumber, Field(ge=1, le=MAX_CAP)]
    within: PositiveDuration
    channel: Channel | None = None

    @model_validator(mode="after")
    def _remembered(self) -> Cap:
        if self.channel and self.sends > MAX_CHANNEL_CAP:
            raise ValueError(f"{self.sends} is more than is remembered of one channel; write at most {MAX_CHANNEL_CAP}")
        return self


class Unanswered(Model):
    """So many counted sends with none of these signs of life."""

    sends: Annotated[WholeNumber, Field(ge=1, le=MAX_CAP)]
    with_no: tuple[EventName, ...] = Field(min_length=1)  # events and receipt kinds (clicked, answered …)


class Unresponsive(Model):
    """Leaves alone those who never answer."""

    after: Unanswered
    rest: PositiveDuration
    readmit_on: tuple[EventName, ...] = ()  # defaults to `with_no`
    permanent_after: WholeNumber | None = None  # rests until it is for good


class Consent(Model):
    purpose: Identifier
    basis: Text  # e.g. explicit consent, PIPL art. 14
    channels: tuple[Channel, ...] = tuple(Channel)  # which channels need a recorded consent


class OptOutWords(Model):
    """Replies that mean stop (or start again), compared after NFKC, trim and upper-casing."""

    stop: tuple[Text, ...]
    start: tuple[Text, ...] = ()


class SenderHealth(Model):
    """When a sender (a caller number) is sick and rests; looked at each hour over the last `over`."""

    over: PositiveDuration
    after: WholeNumber = 100  # messages before a share means anything
    complaints: Share | None = None  # more than this
    answered: Share | None = None  # of calls: less than this
    rest: PositiveDuration


class Route(Model):
    """How messages of one channel leave: the first provider, and where to go when it is known not sent."""

    providers: tuple[ProviderName, ...] = Field(min_length=1)
    failover_on: tuple[Literal["connect", "throttled"], ...] = ("connect",)
    attempts: Annotated[WholeNumber, Field(ge=1, le=6)] = 4  # calls per ref in all
    per_second: WholeNumber = 100  # what one sender takes
    senders: tuple[Text, ...] | dict[ProviderName, tuple[Text, ...]] = ()  # numbers, addresses, apps; or by provider

    health: SenderHealth | None = None

    def senders_of(self, provider: str) -> tuple[str, ...]:
        """The senders of one provider; ("",) leaves the choice to the provider."""
        named = self.senders.get(provider, ()) if isinstance(self.senders, dict) else self.senders
        return named or ("",)


class Price(Model):
    """Price of one message of a channel; `unit` says of what."""

    channel: Channel
    amount: Money
    unit: Literal["message", "segment", "minute", "email"] = "message"


class PriceBook(Model):
    currency: Currency
    prices: tuple[Price, ...] = ()
    new_user_cost: Money | None = None  # what acquiring a new user costs, to compare with


class Regions(Model):
    """Phone regions (ISO 3166) that may be messaged; empty allows all."""

    allow: tuple[Annotated[str, Field(pattern=r"^[A-Z]{2}$")], ...] = ()
    deny: tuple[Annotated[str, Field(pattern=r"^[A-Z]{2}$")], ...] = ()


class Retention(Model):
    """How long what is no longer needed is kept; left out means for good. Consents and suppressions always stay."""

    bodies: PositiveDuration | None = None  # texts of messages and their links; the ledger's rows stay
    links: PositiveDuration | None = None  # short addresses in messages: after this they lead nowhere
    receipts: PositiveDuration | None = None  # what vendors told us (clicks too); its times stay on the ledger
    events: PositiveDuration | None = None
    decisions: PositiveDuration | None = None
    rejects: PositiveDuration | None = None  # files of rows that an import could not take


class Source(Model):
    """Where a rule of this policy comes from."""

    rule: Text
    source: Text
    read_at: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]


class Policy(Model):
    schema_: Literal["recall.policy/v1"] = Field(alias="schema")
    id: Identifier
    title: Text
    jurisdiction: Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
    brand_name: Text | None = None  # who speaks; templates may use {{ brand }}
    consent: Consent
    eligible: tuple[Attribute, ...] = ()  # re-read in the gate; unknown = not eligible
    # Kept holiday calendar; an unknown year is all holiday.
    calendar: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] | None = None
    blackout: tuple[Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")], ...] = ()
    windows: dict[Channel, DayWindows]
    counts: tuple[Channel, ...]  # channels that count to caps and to the unresponsive rule
    caps: tuple[Cap, ...] = ()
    unresponsive: Unresponsive | None = None
    opt_out: OptOutWords
    # One of these must stand in each message of the channel.
    opt_out_text: dict[Channel, tuple[Text, ...]] = Field(default_factory=dict)
    address_max_age: PositiveDuration | None = None  # since last proof of ownership: numbers are recycled
    regions: Regions = Regions()
    routes: dict[Channel, Route]
    prices: PriceBook
    holdout: Percent = 0  # programme holdout
    budget_per_day: Money | None = None  # over all journeys under this policy
    doubt_hold: PositiveDuration = Field(default="72h", validate_default=True)
    retention: Retention = Retention()
    sources: tuple[Source, ...] = ()

    model_config = Model.model_config | {"populate_by_name": True, "serialize_by_alias": True}
