"""What goes wrong today? Faults of the providers that send to nobody, switched on and off while workers run.

A fault is set by `provider_options` or, stronger, by the file `fault.json` in the provider's folder:
    {"fail": "connect"}                          an outage: nothing is taken
    {"fail": "accept_then_lose", "share": 0.1}   one message in ten, chosen by its ref
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from journeys.words import Cause, Outcome
from providers.base import SendResult
from recall.errors import ChannelDown, Misconfigured

SWITCH = "fault.json"


class Fail(StrEnum):
    NONE = "none"
    CONNECT = "connect"  # known not sent: no connection
    THROTTLED = "throttled"  # known not sent: 429
    CONFIG = "config"  # ChannelDown for everyone
    SERVER_ERROR = "server_error"  # 5xx: not taken, but the caller cannot know
    HANG = "hang"  # never answers, takes nothing
    ACCEPT_THEN_LOSE = "accept_then_lose"  # taken, the answer is lost
    ACCEPT_THEN_DROP = "accept_then_drop"  # taken, and no result is handed over at all
    ACCEPT_THEN_HANG = "accept_then_hang"  # taken, never answers


TAKEN = frozenset({Fail.NONE, Fail.ACCEPT_THEN_LOSE, Fail.ACCEPT_THEN_DROP, Fail.ACCEPT_THEN_HANG})


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Addresses = Annotated[frozenset[str], BeforeValidator(_split)]  # a list, or text separated by commas


class Fault(BaseModel):
    """How a provider behaves at the moment; as it is by default, nothing goes wrong."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    fail: Fail = Fail.NONE
    share: float = Field(1.0, ge=0, le=1)  # of the messages, chosen by ref: the same ones while it lasts
    latency_ms: float = Field(0.0, ge=0)  # of each request
    retry_after_seconds: float | None = None  # told with `throttled`
    refuse: Addresses = Field(frozenset(), repr=False)  # addresses that can never work
    opted_out: Addresses = Field(frozenset(), repr=False)  # addresses whose owner said stop to the provider
    refuse_text: str = ""  # messages whose body holds this are refused as content

    def of(self, ref: str) -> Fail:
        """What happens to this message."""
        return self.fail if self.fail is not Fail.NONE and uniform(ref) < self.share else Fail.NONE

    def refusal(self, ref: str, address: str, body: str) -> SendResult | None:
        """The refusal of this message, if it is one the provider never takes."""
        cause, code = None, ""
        if address in self.refuse:
            cause, code = Cause.ADDRESS, "no_such_address"
        elif address in self.opted_out:
            cause, code = Cause.OPTED_OUT, "said_stop"
        elif self.refuse_text and self.refuse_text in body:
            cause, code = Cause.CONTENT, "text_not_allowed"
        return SendResult(ref, Outcome.REFUSED, cause, code=code) if cause else None

    def failure(self, ref: str, fail: Fail) -> SendResult:
        """The answer to a message that was not taken, or whose answer is lost."""
        if fail is Fail.CONNECT:
            return SendResult(ref, Outcome.NOT_SENT, Cause.CONNECT, code="no_connection")
        if fail is Fail.THROTTLED:
            pause = self.retry_after_seconds
            return SendResult(ref, Outcome.NOT_SENT, Cause.THROTTLED, code="429", retry_after_seconds=pause)
        return SendResult(ref, Outcome.IN_DOUBT, code=str(fail))


def uniform(*parts: object) -> float:
    """A number in [0, 1) that depends on the parts alone."""
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def fault_from(options: Mapping[str, str]) -> Fault:
    """The fault set by options; raises Misconfigured for values that mean nothing."""
    try:
        return Fault.model_validate(dict(options))
    except ValidationError as error:
        raise Misconfigured(f"provider option {_first(error)}") from error


def fault_now(folder: Path, options: Fault) -> Fault:
    """The fault in force: the switch file, if there is one, over the options."""
    try:
        text = (folder / SWITCH).read_text("utf-8")
    except FileNotFoundError:
        return options
    try:
        return Fault.model_validate({**options.model_dump(exclude_unset=True), **json.loads(text)})
    except (ValueError, TypeError) as error:
        raise ChannelDown(f"the switch file {SWITCH} cannot be read: write it as one JSON object") from error


def switch_fault(folder: Path, fault: Fault | None) -> None:
    """Set the fault for every process using this folder; None ends it."""
    if fault is None:
        (folder / SWITCH).unlink(missing_ok=True)
        return
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f"{SWITCH}.{os.getpid()}"
    draft.write_text(fault.model_dump_json(exclude_unset=True), "utf-8")
    draft.replace(folder / SWITCH)


def _first(error: ValidationError) -> str:
    problem = error.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"
