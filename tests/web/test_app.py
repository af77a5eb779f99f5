"""What holds for every door: no 5xx for bad input, headers that protect, nothing changed by strangers?"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as fuzzing
from hypothesis import strategies as st

from recall.errors import Misconfigured, StoreBusy
from recall.settings import Settings
from recall.store import schema
from recall.store.connect import Store
from recall.web import inbox
from tests.web.conftest import Door, create_app

WATCHED = (schema.suppressions, schema.receipts, schema.events, schema.consents, schema.inbound, schema.users)


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


def _routes(door: Door) -> list[tuple[str, str]]:
    described = door.client.app.openapi()["paths"]  # type: ignore[attr-defined]
    told = [(path, method.upper()) for path, methods in described.items() for method in methods]
    return [*told, ("/hooks/{provider}", "POST"), ("/hooks/{provider}/{token}", "POST")]  # plain routes, not described


def test_the_description_names_every_door(small_door: Door) -> None:
    assert {path for path, _ in _routes(small_door)} == {
        "/hooks/{provider}", "/hooks/{provider}/{token}", "/voice/{token}", "/voice/{token}/answer", "/l/{token}",
        "/u/{token}", "/events", "/consents", "/in-app/{user}", "/healthz", "/readyz", "/metrics",
    }  # fmt: skip


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
_item = st.fixed_dictionaries(
    {},
    optional={
        name: _json | st.sampled_from(["u1", "sms", "visited", "2026-03-01T10:00:00Z", "outbox", True])
        for name in ("id", "user", "name", "at", "properties", "channel", "purpose", "granted", "kind", "ref", "from",
                     "detail", "did", "type", "source")
    },
)  # fmt: skip
_bodies = st.binary(max_size=200) | st.builds(
    lambda value: json.dumps(value).encode(),
    _json
    | _item
    | st.lists(_item, max_size=4)
    | st.fixed_dictionaries({"events": _json | st.lists(_item, max_size=3)}),
)
_segment = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)
_header = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=30).map(lambda t: t.encode("latin-1"))


@fuzzing(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_input_makes_the_door_fail_and_no_stranger_changes_anything(small_door: Door, data: st.DataObject) -> None:
    template, method = data.draw(st.sampled_from(_routes(small_door)))
    segments = [data.draw(_segment) if part.startswith("{") else part for part in template.split("/")]
    path = "/".join(_escaped(part) for part in segments).replace("/./", "/").replace("/../", "/")
    headers = {
        name: data.draw(_header)
        for name in data.draw(
            st.sets(
                st.sampled_from(
                    ["content-type", "x-recall-key", "x-recall-timestamp", "x-recall-signature", "authorization",
                     "accept-language", "user-agent", "x-vendor-signature", "cookie", "purpose"]
                )
            )
        )
    }  # fmt: skip
    answer = small_door.client.request(
        method, path, content=data.draw(_bodies), headers=headers, params={data.draw(_segment): data.draw(_segment)}
    )
    assert answer.status_code < 500
    assert {table.name: small_door.rows(table) for table in WATCHED} == {table.name: [] for table in WATCHED}


@fuzzing(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=_bodies, path=st.sampled_from(["/events", "/consents", "/events?create=true", "/consents?create=1"]))
def test_no_signed_body_makes_the_door_fail(small_door: Door, body: bytes, path: str) -> None:
    answer = small_door.post(path, body)
    assert answer.status_code in (200, 400, 413)
    if answer.status_code == 200:
        told = answer.json()
        assert told["received"] == told["added"] + told["unchanged"] + len(told["refused"])


@fuzzing(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=_bodies)
def test_no_body_a_vendor_signed_makes_the_door_fail(small_door: Door, body: bytes) -> None:
    headers = {"x-vendor-signature": "genuine"}
    assert small_door.client.post("/hooks/outbox", content=body, headers=headers).status_code in (200, 400)


def _escaped(text: str) -> str:
    return "".join(f"%{byte:02X}" if not chr(byte).isalnum() or byte > 127 else chr(byte) for byte in text.encode())
