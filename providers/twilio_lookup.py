"""Did Twilio take it? Its log of messages or calls to one number, held against our doubts.

The log has neither our ref nor our callback URL in it, so a doubt is matched by number, time and text. A wrong match
can only say "accepted", which never sends anything again; "not sent" is said only after an hour, and only when the
log has nothing to that number around that time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any

from journeys.message import digest
from journeys.words import Cause, Outcome
from providers.base import InDoubt, SendResult
from providers.twilio_account import Refused, verdict_of
from providers.wire import NoAnswer
from recall.clock import MINUTE, SECOND, Clock, Instant, to_instant

log = logging.getLogger("recall.providers")

AUTHORITATIVE_AFTER_SECONDS = 3600
MAX_PAGES = 20
PAGE_SIZE = 100
_EARLIER, _LATER = 30 * SECOND, 2 * MINUTE  # clocks differ; a request that timed out is taken up to a minute later
_AROUND = 10 * MINUTE


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of the vendor's log."""

    sid: str
    at: Instant | None  # created
    text: str | None = field(default=None, repr=False)  # None: the log has no texts (calls)


Pages = Callable[[str], Any]  # number -> awaitable first page of what went to it, newest first


async def evidence(items: Sequence[InDoubt], pages: Pages, clock: Clock) -> list[SendResult]:
    """Results for the doubts the log decides. Stops asking at the first answer it cannot use: a later pass goes on."""
    found: list[SendResult] = []
    for number, group in groupby(sorted(items, key=_number), key=_number):
        doubts = sorted(group, key=lambda item: item.gate_at)
        try:
            lines, is_whole = await _read(pages, number, since=doubts[0].gate_at - _AROUND)
        except Refused as refusal:
            log.warning("lookup of doubts refused: %s", verdict_of(refusal.answer).complaint())
            break
        except NoAnswer as failure:
            log.warning("lookup of doubts got no answer: %s", failure.code)
            break
        except Exception as error:  # an answer the client cannot read
            log.warning("lookup of doubts cannot be read: %s", type(error).__name__)
            break
        found += _decide(doubts, lines, is_whole=is_whole, now=clock.now())
    return found


async def _read(pages: Pages, number: str, *, since: Instant) -> tuple[list[Listed], bool]:
    """Lines back to `since`, and whether the log was read so far back."""
    lines: list[Listed] = []
    page = await pages(number)
    for _ in range(MAX_PAGES):
        here = [_line(each) for each in page if str(each.direction or "").startswith("outbound")]
        lines += here
        if any(line.at is not None and line.at < since for line in here) or not page.next_page_url:
            return lines, True
        page = await page.next_page_async()
    return lines, False


def _line(made: Any) -> Listed:
    created = made.date_created
    at = to_instant(created) if isinstance(created, datetime) and created.tzinfo else None
    return Listed(str(made.sid), at, getattr(made, "body", None))


def _decide(doubts: Sequence[InDoubt], lines: Sequence[Listed], *, is_whole: bool, now: Instant) -> list[SendResult]:
    """Each line answers one doubt at most."""
    left = {line.sid: line for line in lines}
    results = []
    for doubt in doubts:
        line = left.get(doubt.provider_id) or next((each for each in left.values() if _fits(doubt, each)), None)
        if line is not None:
            del left[line.sid]
            results.append(SendResult(doubt.ref, Outcome.ACCEPTED, provider_id=line.sid))
        elif is_whole and now - doubt.gate_at >= AUTHORITATIVE_AFTER_SECONDS * SECOND and _is_absent(doubt, lines):
            results.append(SendResult(doubt.ref, Outcome.NOT_SENT, Cause.CONNECT, code="not_in_log"))
    return results


def _fits(doubt: InDoubt, line: Listed) -> bool:
    if line.at is None or not doubt.gate_at - _EARLIER <= line.at <= doubt.gate_at + _LATER:
        return False
    if not line.text:  # calls; or texts are not kept by the account
        return True
    alone = digest(title="", body=line.text, html="", link="")
    return line.text.strip() == doubt.body.strip() or alone == doubt.body_hash


def _is_absent(doubt: InDoubt, lines: Sequence[Listed]) -> bool:
    """Nothing at all went to this number around that time: a line with another text may be ours, changed on the way."""
    return not any(line.at is None or abs(line.at - doubt.gate_at) <= _AROUND for line in lines)


def _number(item: InDoubt) -> str:
    return item.address.value
