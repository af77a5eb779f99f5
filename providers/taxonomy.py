"""Which code of a vendor means what? A table, `taxonomy.csv`, with a source for every line.

`when` is `answer` (to our request) or `receipt` (told later). `http` narrows a line to one HTTP status; a line
without `code` speaks for a whole status. `verified` says whether the meaning was read at the vendor's own pages;
what was not stays marked until somebody has.
"""

from __future__ import annotations

import csv
import logging
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files

from journeys.words import Cause, Outcome
from providers.base import SendResult
from providers.masking import code_of
from recall.errors import ChannelDown

log = logging.getLogger("recall.providers")


class Says(StrEnum):
    """What a vendor's code amounts to."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    NOT_SENT = "not_sent"
    IN_DOUBT = "in_doubt"
    STOP = "stop"  # configuration: key, sender, account; nobody can be reached
    SOFT = "soft"  # receipts only: it failed this time; the journey decides


class When(StrEnum):
    ANSWER = "answer"
    RECEIPT = "receipt"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One line of the table, or what holds for a code that is not in it."""

    says: Says
    cause: Cause | None = None
    code: str = ""
    meaning: str = ""
    source: str = ""
    is_verified: bool = False
    is_known: bool = True  # a line of this vendor; else the general line of its HTTP status

    def result(self, ref: str, *, retry_after_seconds: float | None = None, excerpt: str = "") -> SendResult:
        """As the answer to one message; raises ChannelDown for `stop`."""
        if self.says is Says.STOP:
            raise ChannelDown(self.complaint())
        pause = retry_after_seconds if self.says is Says.NOT_SENT else None
        outcome = Outcome(self.says.value)
        return SendResult(ref, outcome, self.cause, code=self.code, retry_after_seconds=pause, excerpt=excerpt)

    def complaint(self) -> str:
        """What a person should read: code and meaning, nothing the vendor wrote."""
        return f"{self.meaning or 'refused by the vendor'} ({self.code})"

    def detail(self) -> str:
        """As the detail of a receipt: `address:30005` marks the address, anything else only tells."""
        kind = self.cause.value if self.cause is not None else self.says.value
        return f"{kind}:{self.code}" if self.code else kind


def classify(vendor: str, status: int, code: object = "") -> Verdict:
    """What an HTTP answer means. Known codes first; a 5xx is in doubt unless a line names that very status."""
    text = code_of(code)
    row = _lookup(When.ANSWER, vendor, text, status)
    if row is not None:
        return row
    if 200 <= status < 300:
        return Verdict(Says.ACCEPTED if not text else Says.IN_DOUBT, code=text, is_known=not text)
    general = _table().get((When.ANSWER, "http", "", status)) or Verdict(_by_class(status))
    verdict = Verdict(
        general.says, general.cause, text or str(status), general.meaning, general.source, general.is_verified, False
    )
    if verdict.says is Says.REFUSED and verdict.cause is None:
        log.error(
            "%s answered %d with code %s, which is not in the table: this message is refused, the address and the "
            "template stay as they are. Look the code up and add a line to providers/taxonomy.csv",
            vendor,
            status,
            text or "none",
        )
    return verdict


def classify_receipt(vendor: str, code: object = "") -> Verdict:
    """What the failure code of a receipt means; unknown codes are soft."""
    text = code_of(code)
    row = _lookup(When.RECEIPT, vendor, text, None)
    if row is not None:
        return row
    if text:
        log.warning("%s reported failure code %s, which is not in the table: taken as a passing one", vendor, text)
    return Verdict(Says.SOFT, code=text, is_known=False)


def _lookup(when: When, vendor: str, code: str, status: int | None) -> Verdict | None:
    table = _table()
    exact = table.get((when, vendor, code, status))
    if exact is not None or not code:
        return exact
    row = table.get((when, vendor, code, None))
    # A vendor that is broken may send any code: a 5xx proves nothing.
    if row is not None and status is not None and status >= 500 and row.says is not Says.IN_DOUBT:
        return Verdict(Says.IN_DOUBT, code=code, meaning=row.meaning, source=row.source, is_verified=row.is_verified)
    return row


def _by_class(status: int) -> Says:
    """A 4xx that nobody listed refuses this message; a redirect, a 5xx and nonsense are in doubt."""
    return Says.REFUSED if 400 <= status < 500 else Says.IN_DOUBT


Key = tuple[When, str, str, int | None]


@cache
def _table() -> dict[Key, Verdict]:
    text = files("providers").joinpath("taxonomy.csv").read_text("utf-8")
    table: dict[Key, Verdict] = {}
    for row in csv.DictReader(text.splitlines(), strict=True):
        key = (When(row["when"]), row["vendor"], row["code"], int(row["http"]) if row["http"] else None)
        assert key not in table, f"taxonomy.csv has two lines for {key}"
        cause = Cause(row["cause"]) if row["cause"] else None
        verified = {"yes": True, "no": False}[row["verified"]]
        table[key] = Verdict(Says(row["says"]), cause, row["code"], row["meaning"], row["source"], verified)
    return table
