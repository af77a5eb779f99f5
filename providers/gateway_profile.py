"""What does one vendor behind `http_gateway` want? A YAML file per vendor, read strictly: every mistake has its line.

Shipped profiles lie in providers/gateways, a project's own in gateways/ of its folder (they win).
What may stand in a file: docs/adding-a-gateway.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from journeys.loader import Loaded, check_schema, finish, read_file
from journeys.problems import Check
from journeys.values import AttributeName, DurationField, Flag, Identifier, Model, Text, WholeNumber, ZoneName
from journeys.words import Channel
from journeys.written import read_keys
from providers.gateway_words import (
    HOOK_NAMES,
    MESSAGE_NAMES,
    Recipe,
    Written,
    parse_path,
    sample_values,
)
from recall.errors import BadFile, Misconfigured, Problem

SCHEMA = "recall.gateway/v1"

Source = Annotated[str, StringConstraints(max_length=20_000)]
HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,60}$")]


def _path(text: str) -> str:
    try:
        parse_path(text)
    except ValueError as error:
        raise ValueError(str(error)) from None
    return text


JsonPath = Annotated[str, StringConstraints(max_length=200), AfterValidator(_path)]
# What a vendor's code amounts to.
Meaning = Literal["address", "opted_out", "content", "refused", "throttled", "in_doubt", "stop"]
# What a status in a receipt amounts to; `soft` failed this time, `ignore` says nothing final.
Status = Literal["delivered", "opened", "clicked", "opted_out", "complained", "address", "content", "soft", "ignore"]


class AccountValue(Model):
    """One value of the account, set in `provider_options` under its name."""

    secret: Flag = False
    default: Text | None = None


class Signature(Model):
    """One signature, by a closed list of recipes; later texts use it by its name."""

    recipe: Recipe
    over: Literal["join", "fields", "body"] = "join"  # fields: every other form field as name=value, sorted
    join: tuple[Source, ...] = ()  # after the fields or the body, if those are signed
    with_: Source = Field("", alias="with")  # between the parts
    key: Source = ""  # of an hmac
    write: Literal["hex", "HEX", "base64"] = "hex"


class Tickets(Model):
    """Keys a vendor hands out beforehand, against sending twice; fetched by GET before a batch."""

    url: Source
    list: JsonPath
    most: Annotated[WholeNumber, Field(ge=1, le=1000)] = 10  # per GET


class RequestTo(Model):
    """What is posted. Never a GET: HTTP stacks repeat those."""

    method: Literal["POST", "PUT"] = "POST"
    url: Source
    headers: dict[HeaderName, Source] = Field(default_factory=dict)
    json_: Source | None = Field(None, alias="json")  # JSON text; each {{ value }} is written as JSON
    form: dict[Text, Source] | None = None
    charset: Literal["utf-8", "gbk"] = "utf-8"
    item: Source | None = None  # one message of a batch; {{ items }} are all of them
    tickets: Tickets | None = None

    @model_validator(mode="after")
    def _one_body(self) -> RequestTo:
        if (self.json_ is None) == (self.form is None):
            raise ValueError("a request has one body; write either json or form")
        return self


class Batch(Model):
    """How many messages share a request."""

    size: Annotated[WholeNumber, Field(ge=1, le=1000)] = 1
    same_text: Flag = False  # only those with the same text and sender: {{ phones }} are all numbers


class Items(Model):
    """An answer that tells the fate of each message of a batch."""

    path: JsonPath
    ref: JsonPath = ""  # which message: by ref, or by phone (its last eleven digits)
    phone: JsonPath = ""
    code: JsonPath = ""
    id: JsonPath = ""


class AnswerFrom(Model):
    """What the vendor answers."""

    http: tuple[WholeNumber, ...] = (200, 201, 202)
    success: JsonPath = ""  # must equal one of `equals`
    equals: tuple[str, ...] = ()
    id: JsonPath = ""
    no_id: Flag = False  # this vendor gives none: our ref stands in
    code: JsonPath = ""
    message: JsonPath = ""
    items: Items | None = None
    retry_after: HeaderName = "Retry-After"
    codes: dict[str, Meaning] = Field(default_factory=dict)
    other: Meaning = "in_doubt"  # a code that is not in the list, inside a 2xx


class CheckAt(Model):
    """A GET that shows whether key and account work; it must send nothing."""

    url: Source
    success: JsonPath = ""
    equals: tuple[str, ...] = ()


class Moment(Model):
    """Where a time stands and how it is written."""

    path: JsonPath
    format: Literal["seconds", "milliseconds", "iso"] | Annotated[str, StringConstraints(pattern="%")] = "seconds"
    zone: ZoneName = "Asia/Shanghai"  # of times written without one


class Receipts(Model):
    """What became of messages."""

    items: JsonPath = ""  # "" = the body itself
    ref: JsonPath = ""  # "" = the vendor only knows the callback address, which holds it
    id: JsonPath = ""
    status: JsonPath
    code: JsonPath = ""  # told with a failure
    at: Moment | None = None
    statuses: dict[str, Status]
    codes: dict[str, Status] = Field(default_factory=dict)  # of a failure, where they say more than the status
    other: Status = "soft"


class Replies(Model):
    """What people wrote back."""

    items: JsonPath = ""
    phone: JsonPath
    text: JsonPath
    id: JsonPath = ""
    at: Moment | None = None


class Secret(Model):
    """A word only the vendor knows."""

    in_: Literal["header", "query", "field"] = Field(alias="in")
    name: Text
    value: Source


class Signed(Model):
    """A signature the vendor makes; `timestamp`, if named, may be five minutes off."""

    in_: Literal["header", "query", "field"] = Field(alias="in")
    name: Text
    prefix: str = ""
    signature: Signature
    timestamp: Text | None = None  # of the same place; {{ timestamp }} in the signature
    max_age: DurationField = Field("5m", validate_default=True)


class Hook(Model):
    """The webhook: how it is verified, and what it tells."""

    body: Literal["json", "form"] = "json"
    field: str = ""  # the form field that holds JSON
    secret: Secret | None = None
    signed: Signed | None = None
    receipts: Receipts | None = None
    replies: Replies | None = None
    answer: Annotated[str, StringConstraints(max_length=1000)] = ""

    @model_validator(mode="after")
    def _is_verified(self) -> Hook:
        if self.secret is None and self.signed is None:
            raise ValueError("anybody could tell us anything; write secret or signed")
        return self


class Texts(Model):
    """What this vendor, or its country, wants of a text. A text that breaks it is refused here."""

    brand_first: Flag = False  # 【brand】 exactly once, at the beginning
    ends_with: tuple[str, ...] = ()  # one of them
    max_chars: Annotated[WholeNumber, Field(ge=1, le=100_000)] = 4000
    forbidden: tuple[Text, ...] = ()


class Profile(Model):
    """One vendor."""

    schema_: Literal["recall.gateway/v1"] = Field(alias="schema")
    id: Identifier
    title: Text
    source: Text  # where the vendor says so, and when it was read
    channel: Channel
    account: dict[AttributeName, AccountValue] = Field(default_factory=dict)
    sign: dict[AttributeName, Signature] = Field(default_factory=dict)
    request: RequestTo
    batch: Batch = Batch()
    answer: AnswerFrom
    check: CheckAt | None = None
    hook: Hook | None = None
    texts: Texts = Texts()
    per_second: Annotated[WholeNumber, Field(ge=1, le=10_000)] | None = None
    idempotency: Literal["none", "key"] = "none"
    validity: Flag = False  # uses ttl_seconds or expires

    @property
    def secrets(self) -> tuple[str, ...]:
        return tuple(name for name, value in self.account.items() if value.secret)


def find_profile(name: str, project: Path) -> Profile:
    """The profile of this name; raises BadFile or Misconfigured."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,63}", name):
        raise Misconfigured(f"{name!r} is not the name of a gateway profile; write small letters, digits and -")
    own = project / "gateways" / f"{name}.yaml"
    if own.exists():
        return read_profile(read_file(own), str(own)).noun
    shipped = files("providers").joinpath("gateways", f"{name}.yaml")
    if not shipped.is_file():
        known = sorted(each.name.removesuffix(".yaml") for each in files("providers").joinpath("gateways").iterdir())
        raise Misconfigured(f"there is no {own} and no shipped profile {name!r}; shipped are: {', '.join(known)}")
    return read_profile(shipped.read_bytes(), f"gateways/{name}.yaml").noun


def read_profile(data: bytes, file: str) -> Loaded[Profile]:
    """The profile in the bytes of a file called `file`; raises BadFile with every problem found."""
    tree, problems = read_keys(data, file)
    check = Check(file, problems)
    noun: Profile | None = check.noun(Profile, tree) if check_schema(check, tree, SCHEMA) else None
    loaded: Loaded[Profile] = finish(check, noun, tree)
    wrong = list(_wrong(loaded))
    if wrong:
        raise BadFile(wrong)
    return loaded


# --- what only the whole file shows --------------------------------------------------------------------------


def _wrong(loaded: Loaded[Profile]) -> Iterator[Problem]:
    profile = loaded.noun
    known = MESSAGE_NAMES | set(profile.sign)
    for path, source, names in _texts(profile, known):
        try:
            unknown = Written.names_in(source) - names
        except Misconfigured as refused:
            message, _, hint = str(refused).partition("; ")
            yield loaded.problem(message, hint, *path)
            continue
        for name in sorted(unknown):
            yield loaded.problem(f"there is no value `{name}` here", f"use one of: {', '.join(sorted(names))}", *path)
        for name in sorted(Written.account_names_in(source) - set(profile.account)):
            yield loaded.problem(f"`account.{name}` is not declared", f"add account: {{{name}: {{}}}}", *path)
    yield from _url_problem(loaded, profile.request.url, "request", "url")
    yield from _timestamp_problem(loaded)
    if profile.request.json_ is not None:
        yield from _json_problem(loaded)
    if profile.batch.size > 1 and profile.request.item is None and not profile.batch.same_text:
        yield loaded.problem("a batch needs to know each message", "add request.item or batch.same_text", "batch")
    if profile.answer.success and not profile.answer.equals:
        yield loaded.problem("`success` is compared with nothing", "add equals: ['0']", "answer", "success")
    if not profile.answer.id and not profile.answer.no_id and profile.answer.items is None:
        yield loaded.problem("an acceptance needs an id", "add id: path.to.id, or no_id: true", "answer")


def _texts(profile: Profile, known: set[str]) -> Iterator[tuple[tuple[str, ...], str, set[str]]]:
    """Every template with its place and the names it may use."""
    request = profile.request
    yield ("request", "url"), request.url, known
    for name, text in request.headers.items():
        yield ("request", "headers", name), text, known
    for name, text in (request.form or {}).items():
        yield ("request", "form", name), text, known
    for key, source in (("json", request.json_), ("item", request.item)):
        if source is not None:
            yield ("request", key), source, known
    if request.tickets is not None:
        yield ("request", "tickets", "url"), request.tickets.url, known
    if profile.check is not None:
        yield ("check", "url"), profile.check.url, known
    for name, sign in profile.sign.items():
        for text in (*sign.join, sign.key):
            yield ("sign", name), text, known
    hook = profile.hook
    if hook is not None and hook.secret is not None:
        yield ("hook", "secret"), hook.secret.value, HOOK_NAMES
    if hook is not None and hook.signed is not None:
        for text in (*hook.signed.signature.join, hook.signed.signature.key):
            yield ("hook", "signed"), text, HOOK_NAMES


def _url_problem(loaded: Loaded[Profile], source: str, *path: str) -> Iterator[Problem]:
    if "{{" in source.partition("/")[0]:
        return  # a whole base URL from the account: checked when it is opened
    parts = urlsplit(source)
    if parts.scheme != "https":
        yield loaded.problem("the address is not https", "write https://…", *path)


def _timestamp_problem(loaded: Loaded[Profile]) -> Iterator[Problem]:
    """A time that is not signed keeps no old request out."""
    signed = loaded.noun.hook.signed if loaded.noun.hook else None
    if signed is None or not signed.timestamp or (signed.in_ == "field" and signed.signature.over == "fields"):
        return
    if not any("timestamp" in text or f"field.{signed.timestamp}" in text for text in signed.signature.join):
        yield loaded.problem("the time is not signed", 'add join: ["{{ timestamp }}"]', "hook", "signed", "signature")


def _json_problem(loaded: Loaded[Profile]) -> Iterator[Problem]:
    """Rendered with values that hold every dangerous character, is it still JSON?"""
    profile = loaded.noun
    values = sample_values(profile.account, profile.sign)
    try:
        item = Written(profile.request.item or "", as_json=True).render(values)
        text = Written(profile.request.json_ or "", as_json=True).render({**values, "items": item})
        json.loads(text)
        if profile.request.item is not None:
            json.loads(item)
    except (ValueError, Misconfigured) as error:
        why = str(error).partition(":")[0]
        yield loaded.problem(
            f"this does not become JSON ({why})", "leave the quotes around {{ … }} away", "request", "json"
        )
