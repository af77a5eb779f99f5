"""How is a verb called in tests? In this process, through the one door."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from recall.cli.main import run
from recall.store.connect import Store


@dataclass(frozen=True)
class Answer:
    """What a person sees of one call."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """The one JSON object on stdout."""
        return json.loads(self.out)


Recall = Callable[..., Answer]


@pytest.fixture
def recall(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Recall:
    """Call `recall` in the test's own folder; the SQLite store there, if any, is `sqlite_store`."""
    monkeypatch.setenv("RECALL_ADDRESS_KEY", "a key that is only used in tests")

    def call(*arguments: object) -> Answer:
        capfd.readouterr()
        code = run([str(argument) for argument in arguments])
        return Answer(code, *capfd.readouterr())

    return call


@pytest.fixture
def recall_on(recall: Recall, store: Store, monkeypatch: pytest.MonkeyPatch) -> Recall:
    """Call `recall` on the store of the test, SQLite or PostgreSQL."""
    monkeypatch.setenv("RECALL_ALLOW_WEAK_DURABILITY", "true")  # the tests' PostgreSQL forgets at a power cut
    monkeypatch.setenv("RECALL_DATABASE_URL", store.engine.url.render_as_string(hide_password=False))
    return recall
