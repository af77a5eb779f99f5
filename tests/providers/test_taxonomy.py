"""Does every vendor code of the table mean what its vendor says, and does an unknown one do no harm?"""

from __future__ import annotations

import csv
import logging
from pathlib import Path

import pytest

import providers
from journeys.words import Cause, Outcome
from providers.taxonomy import Says, classify, classify_receipt
from recall.errors import ChannelDown

ROWS = list(csv.DictReader((Path(providers.__file__).parent / "taxonomy.csv").read_text("utf-8").splitlines()))


@pytest.mark.parametrize(
    ("status", "code", "says", "cause"),
    [
        (400, 21211, Says.REFUSED, Cause.ADDRESS),
        (400, 21614, Says.REFUSED, Cause.ADDRESS),
        (400, 21610, Says.REFUSED, Cause.OPTED_OUT),
        (400, 21617, Says.REFUSED, Cause.CONTENT),
        (429, 20429, Says.NOT_SENT, Cause.THROTTLED),
        (429, 14107, Says.NOT_SENT, Cause.THROTTLED),
        (400, 21611, Says.NOT_SENT, Cause.THROTTLED),
        (500, 20500, Says.IN_DOUBT, None),
        (401, 20003, Says.STOP, None),
        (400, 21606, Says.STOP, None),
        (403, 20403, Says.STOP, None),
    ],
)
def test_codes_of_twilio(status: int, code: int, says: Says, cause: Cause | None):
    verdict = classify("twilio", status, code)
    assert (verdict.says, verdict.cause, verdict.code, verdict.is_known) == (says, cause, str(code), True)


@pytest.mark.parametrize(
    ("status", "says", "cause"),
    [
        (200, Says.ACCEPTED, None),
        (202, Says.ACCEPTED, None),
        (301, Says.IN_DOUBT, None),
        (400, Says.REFUSED, None),
        (401, Says.STOP, None),
        (403, Says.STOP, None),
        (404, Says.STOP, None),
        (408, Says.IN_DOUBT, None),
        (413, Says.REFUSED, Cause.CONTENT),
        (418, Says.REFUSED, None),
        (429, Says.NOT_SENT, Cause.THROTTLED),
        (500, Says.IN_DOUBT, None),
        (502, Says.IN_DOUBT, None),
        (503, Says.IN_DOUBT, None),
        (599, Says.IN_DOUBT, None),
        (999, Says.IN_DOUBT, None),
    ],
)
def test_a_status_without_a_code(status: int, says: Says, cause: Cause | None):
    verdict = classify("nobody", status)
    assert (verdict.says, verdict.cause) == (says, cause)


def test_a_known_code_with_a_server_error_proves_nothing():
    assert classify("twilio", 500, 21211).says is Says.IN_DOUBT
    assert classify("twilio", 503, 20429).says is Says.IN_DOUBT


def test_a_success_with_a_code_that_nobody_knows_is_in_doubt():
    assert classify("nobody", 200, "E17").says is Says.IN_DOUBT


def test_an_unknown_refusal_spares_address_and_template_and_is_told_loudly(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.ERROR, "recall.providers"):
        result = classify("twilio", 400, "29999 for +8613900001234").result("r1")
    assert (result.outcome, result.cause) == (Outcome.REFUSED, None)
    assert "29999" in caplog.text
    assert "1390000" not in caplog.text + repr(result)


def test_a_stop_is_raised_with_what_to_do_and_nothing_else():
    with pytest.raises(ChannelDown, match=r"the sender cannot send messages or is not ours \(21606\)"):
        classify("twilio", 400, 21606).result("r1")


def test_a_pause_is_told_only_with_a_throttle():
    assert classify("twilio", 429, 20429).result("r", retry_after_seconds=7).retry_after_seconds == 7
    assert classify("twilio", 503).result("r", retry_after_seconds=7).retry_after_seconds is None


@pytest.mark.parametrize(
    ("code", "detail"),
    [
        ("30005", "address:30005"),
        ("30006", "address:30006"),
        ("30003", "soft:30003"),
        ("30007", "content:30007"),
        ("30034", "stop:30034"),
        ("21610", "opted_out:21610"),
        ("39999", "soft:39999"),
        ("", "soft"),
    ],
)
def test_failure_codes_of_receipts(code: str, detail: str):
    assert classify_receipt("twilio", code).detail() == detail


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['vendor']}-{row['when']}-{row['code'] or row['http']}")
def test_every_line_says_what_it_means_and_who_says_so(row: dict[str, str]):
    assert row["meaning"] and row["source"]
    assert row["verified"] in ("yes", "no")
    assert (row["verified"] == "yes") == (row["source"] != "third-party lists")
    assert row["code"] or row["http"]
    says, cause = Says(row["says"]), row["cause"]
    assert (says is Says.SOFT) <= (row["when"] == "receipt")
    assert cause in {
        Says.REFUSED: ("", "address", "opted_out", "content"),
        Says.NOT_SENT: ("throttled", "connect"),
    }.get(says, ("",))
