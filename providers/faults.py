"""What goes wrong today? Faults of the providers that send to nobody, switched on and off while workers run.

A fault is set by `provider_options` or, stronger, by the file `fault.json` in the provider's folder:
    {"fail": "connect"}                          an outage: nothing is taken
    {"fail": "accept_then_lose", "share": 0.1}   one message in ten, chosen by its ref
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from journeys.words import Cause, Outcome
from providers.base import Outbound, SendResult
from providers.chance import uniform
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
HANGS = frozenset({Fail.HANG, Fail.ACCEPT_THEN_HANG})


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Addresses = Annotated[frozenset[str], BeforeValidator(_split)]  # a list, or text separated by commas


class Fault(BaseModel):
    """How a provider behaves at the moment; as it is by default, nothing goes wrong."""

    model_config = ConfigDict(extra="forbid", frozen=True)

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

    def refusal(self, message: Outbound) -> SendResult | None:
        """The refusal of this message, if it is one the provider never takes."""
        if message.address.value in self.refuse:
            return SendResult(message.ref, Outcome.REFUSED, Cause.ADDRESS, code="no_such_address")
        if message.address.value in self.opted_out:
            return SendResult(message.ref, Outcome.REFUSED, Cause.OPTED_OUT, code="said_stop")
        if self.refuse_text and self.refuse_text in message.content.body:
            return SendResult(message.ref, Outcome.REFUSED, Cause.CONTENT, code="text_not_allowed")
        return None

    def failure(self, ref: str, fail: Fail) -> SendResult:
        """The answer to a message that was not taken, or whose answer is lost."""
        if fail is Fail.CONNECT:
            return SendResult(ref, Outcome.NOT_SENT, Cause.CONNECT, code="no_connection")
        if fail is Fail.THROTTLED:
            pause = self.retry_after_seconds
            return SendResult(ref, Outcome.NOT_SENT, Cause.THROTTLED, code="429", retry_after_seconds=pause)
        return SendResult(ref, Outcome.IN_DOUBT, code=str(fail))


async def answer(
    batch: Sequence[Outbound], *, fault: Fault, take: Callable[[list[Outbound]], list[SendResult]]
) -> AsyncIterator[SendResult]:
    """Answer a request under a fault; `take` keeps messages durably and answers each in the same order."""
    if fault.fail is Fail.CONFIG:
        raise ChannelDown("the account is not allowed to send (a fault switched on)")
    await asyncio.sleep(fault.latency_ms / 1000)
    fates = [(message, fault.refusal(message), fault.of(message.ref)) for message in batch]
    taken = [message for message, refusal, fail in fates if refusal is None and fail in TAKEN]
    answers = iter(await asyncio.to_thread(take, taken) if taken else [])
    if any(fail in HANGS for _, _, fail in fates):
        await asyncio.Event().wait()
    for message, refusal, fail in fates:
        result = refusal or (next(answers) if fail in TAKEN else fault.failure(message.ref, fail))
        if fail is Fail.ACCEPT_THEN_LOSE and refusal is None:
            yield fault.failure(message.ref, fail)
        elif fail is not Fail.ACCEPT_THEN_DROP:
            yield result


def fault_from(options: Mapping[str, str]) -> Fault:
    """The fault set by options; raises Misconfigured for values that mean nothing."""
    try:
        return Fault.model_validate(dict(options))
    except ValidationError as error:
        raise Misconfigured(f"provider option {problem_of(error)}") from error


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


def problem_of(error: ValidationError) -> str:
    """The first problem, without the value that is wrong."""
    problem = error.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"
