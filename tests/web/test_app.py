"""What holds for every door: headers that protect, our faults told plainly, every route described?"""

from __future__ import annotations

from typing import Any

import pytest

from recall.errors import Misconfigured, StoreBusy
from recall.settings import Settings
from recall.store.connect import Store
from recall.web import inbox
from tests.web.conftest import Door, create_app, routes_of


@pytest.mark.parametrize("keys", [{"host": "short"}, {"ho.st": "long enough to be a secret"}])
def test_keys_that_protect_nothing_are_refused(small_door: Door, web_settings: Settings, keys: dict[str, str]) -> None:
    weak = Settings(**{**web_settings.model_dump(), "web_api_keys": keys})
    with pytest.raises(Misconfigured, match="RECALL_WEB_API_KEYS"):
        create_app(small_door.scene.setup, weak)


def test_every_answer_protects_itself(small_door: Door) -> None:
    answers = [small_door.client.get(path) for path in ("/", "/healthz", "/u/x", "/l/x", "/openapi.json", "/docs")]
    assert [answer.status_code for answer in answers] == [404, 200, 404, 404, 404, 404]
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert len({answer.headers["x-request-id"] for answer in answers}) == len(answers)


def test_a_bug_of_ours_is_a_plain_500_without_its_text(small_door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("+8613800138000")

    monkeypatch.setattr(inbox, "keep_told", fail)
    answer = small_door.tell(small_door.event(ref="a"))
    assert answer.status_code == 500
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert "138" not in answer.text


def test_a_locked_store_asks_the_vendor_to_try_again(small_door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(self: Store) -> None:
        raise StoreBusy("locked")

    monkeypatch.setattr(Store, "writing", busy)
    answer = small_door.tell(small_door.event(ref="a"))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


def test_the_description_names_every_door(small_door: Door) -> None:
    assert {path for path, _ in routes_of(small_door)} == {
        "/hooks/{provider}", "/hooks/{provider}/{token}", "/voice/{token}", "/voice/{token}/answer", "/l/{token}",
        "/u/{token}", "/events", "/consents", "/in-app/{user}", "/healthz", "/readyz", "/metrics",
    }  # fmt: skip
