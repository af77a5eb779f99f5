"""Is every line of the log one JSON object that shows nobody's phone, e-mail, token or secret?"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest

from recall.settings import Settings
from recall.web import logs
from tests.web.conftest import API_SECRET, KEY, Door

PHONE, EMAIL = "+8613800138000", "li.lei@example.com"


@pytest.fixture
def stream(web_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[StringIO]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    kept = StringIO()
    monkeypatch.setattr(logs.sys, "stderr", kept)
    logs.log_as_json(web_settings)
    yield kept
    root.handlers[:], root.level = before, level


def lines(stream: StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_carries_ref_and_flow_run(stream: StringIO) -> None:
    logging.getLogger("recall.any").info("sent %s", 3, extra={"ref": "abc", "flow_run_id": "f-1"})
    logging.getLogger("recall.any").info("nothing")
    first, second = lines(stream)
    assert (first["message"], first["ref"], first["flow_run_id"]) == ("sent 3", "abc", "f-1")
    assert (second["ref"], second["flow_run_id"]) == (None, None)


@pytest.mark.parametrize(
    "text",
    [
        PHONE, "8613800138000", "+86 138-0013-8000", "１３８００１３８０００", EMAIL, "to=li.lei%40example.com",
        KEY, API_SECRET, "GET /u/12~34~sms.c2lnbmF0dXJl", "/hooks/twilio_sms/abcdef.c2lnbmF0dXJl",
        "/voice/x.c2lnbmF0dXJl", "/l/c2lnbmF0dXJl", "/in-app/u-123456",
    ],
)  # fmt: skip
def test_what_must_not_be_shown_is_not(stream: StringIO, text: str) -> None:
    logging.getLogger("any").warning("before %s after", text)
    try:
        raise ValueError(f"failed for {text}")
    except ValueError as error:
        logging.getLogger("any").error("it failed", exc_info=error)
    shown = stream.getvalue()
    for secret in (text, "138001", "１３８", "li.lei", KEY, API_SECRET, "c2lnbmF0dXJl", "u-123456"):
        assert secret not in shown
    assert "before" in shown
    assert "Traceback" in lines(stream)[1]["traceback"]


def test_a_wrong_format_string_does_not_lose_the_line(stream: StringIO) -> None:
    logging.getLogger("any").warning("%d of %s", "many")
    assert lines(stream)[0]["level"] == "WARNING"


def test_requests_are_logged_by_route_and_number_never_by_path(stream: StringIO, small_door: Door) -> None:
    small_door.scene.publish("  - {sms: come-back}\n")
    small_door.scene.add_user("u1", phone=PHONE)
    row = small_door.scene.row("u1")
    from journeys.words import Channel

    path = small_door.path(small_door.doors.preferences(row.id, row.phone_id, Channel.SMS))
    answer = small_door.client.post(path, data={"action": "stop"})
    small_door.reply(f"STOP or call {PHONE} or {EMAIL}", sender=PHONE)
    small_door.tell(small_door.event(detail=PHONE), signature="forged")
    shown = stream.getvalue()
    assert path not in shown and "138001" not in shown and EMAIL not in shown
    [line] = [line for line in lines(stream) if line.get("route") == "/u/{token}"]
    assert (line["status"], line["request_id"]) == (303, answer.headers["x-request-id"])


def test_the_password_of_the_database_is_a_secret(web_settings: Settings) -> None:
    url = "postgresql://recall:very%20secret@db.example/recall"
    found = logs.secrets_of(web_settings.model_copy(update={"database_url": url}))
    assert "very%20secret" in found
