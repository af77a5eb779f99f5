"""Does the host have the last word before a call, and does its silence mean "not now"?"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, ClassVar

import pytest

from recall.clock import DAY, elapsed_seconds
from recall.engine import calling
from recall.errors import Misconfigured
from tests.engine.conftest import Scene

STEPS = "  - {call: come-back, confirm: credit}\n  - {wait: 1d}\n  - {push: come-back}"
ANSWERS: dict[str, bytes] = {"yes": b'{"go": true}', "no": b'{"go": false}', "odd": b"<html>", "text": b'{"go": "yes"}'}


class Host(BaseHTTPRequestHandler):
    asked: ClassVar[list[dict[str, Any]]] = []

    def do_POST(self) -> None:
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        Host.asked.append(question)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(ANSWERS[question["user"]])

    def log_message(self, format: str, *args: Any) -> None:
        return None


@pytest.fixture
def url() -> Iterator[str]:
    Host.asked = []
    server = HTTPServer(("127.0.0.1", 0), Host)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/confirm"
    server.shutdown()
    thread.join()
    server.server_close()


def test_only_a_clear_yes_lets_a_call_go(scene: Scene, url: str) -> None:
    scene.setup = replace(scene.setup, confirm_urls={"credit": url})
    for user in ANSWERS:
        scene.add_user(user)
    enrolments = dict(zip(ANSWERS, scene.enrol(scene.publish(STEPS), *ANSWERS), strict=True))
    scene.run()
    assert scene.sent() == [("yes", "call")]
    assert {s.state for s in scene.sends()} == {"accepted", "cancelled", "not_sent"}
    assert set(Host.asked[0]) == {"user", "ref", "journey", "step"}, "never an address"
    assert scene.enrolment(enrolments["odd"]).step_id == 0, "no answer: due again"
    scene.later(DAY)
    scene.run()
    assert ("no", "push") in scene.sent(), "a call the host stopped is over; the person goes on"


def test_a_yes_that_came_too_late_after_the_gate_calls_nobody(
    scene: Scene, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.setup = replace(scene.setup, confirm_urls={"credit": url})
    scene.add_user("yes")
    [enrolment] = scene.enrol(scene.publish(STEPS), "yes")
    monkeypatch.setattr(calling, "elapsed_seconds", lambda: elapsed_seconds() + 6.0 * len(Host.asked))
    assert scene.run().failed
    assert (scene.sent(), scene.enrolment(enrolment).step_id, scene.sends()[0].state) == ([], 0, "not_sent")


def test_a_check_nobody_set_up_sends_nothing(scene: Scene) -> None:
    scene.add_user("yes")
    scene.enrol(scene.publish(STEPS), "yes")
    with pytest.raises(Misconfigured, match="RECALL_CONFIRM_URLS"):
        scene.run()
    assert scene.sent() == []
