"""Do the enumerated crashes come to every moment, and would they notice? All of them: `make faults-full`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from journeys.words import Outcome
from recall.engine import reconcile
from recall.engine.untouched import put_back
from recall.store import erasure
from recall.store.connect import Store, write_fact
from recall.store.ledger import stale_calls
from tests.faults.cases import HOWS, SCRIPTS, faults_of, try_all
from tests.faults.ground import Ground
from tests.faults.moments import MOMENTS, Fault, Killed
from tests.faults.scripts import Script

BY_NAME = {script.name: script for script in SCRIPTS}
# After the provider took the first chunk, before any answer: connect, three between messages, taken.
TAKEN_UNANSWERED = "request 5 dies"


def script(name: str) -> Script:
    return BY_NAME[name]


@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
def test_a_process_that_dies_after_the_provider_took_its_messages_harms_nobody(store: str) -> None:
    tally = try_all(script("send sms"), store, only=TAKEN_UNANSWERED)
    assert (tally.cases, tally.crashes, tally.wrong) == (1, 1, [])


def test_every_kind_of_moment_of_a_run_of_several_chunks_is_counted() -> None:
    tally = try_all(script("guards"), "sqlite", only="file 1 ENOSPC")
    kinds = Counter(kind for kind, _ in tally.places)
    places = Counter(tally.places)
    assert set(kinds) == set(HOWS) - {"http"}
    assert places["commit", "recall.engine.calling.record"] >= 2
    assert places["request", "recall.engine.dispatch._call"] == kinds["request"] > 10
    assert len({str(fault) for fault in faults_of(script("guards"), tally.places)}) > 150


def test_a_lookup_that_lies_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "verdict", lambda *_given, **_named: Outcome.NOT_SENT)
    tally = try_all(script("send sms"), "sqlite", only=TAKEN_UNANSWERED)
    assert "I11" in tally.broken


def test_a_row_that_is_released_by_time_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call whose process died is put back, as a rescue by time would: the same person is called again."""

    def rescue(setup: Any, **_named: Any) -> int:
        with setup.store.reading() as connection:
            refs = [send.ref for send in stale_calls(connection, before=setup.clock.now() - 1)]
        put_back(setup, refs)
        return len(refs)

    monkeypatch.setattr(reconcile, "raise_doubts", rescue)
    tally = try_all(script("send sms"), "sqlite", only=TAKEN_UNANSWERED)
    assert "duplicate" in tally.broken


def test_forgetting_by_halves_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if every part of it were committed by itself."""
    real = erasure._forget_messages

    def by_halves(connection: Any, user_id: int) -> int:
        done = real(connection, user_id)
        connection.execute(erasure._U.update().where(erasure._U.c.id == user_id).values(user_id="gone"))
        connection.connection.driver_connection.commit()
        connection.exec_driver_sql("begin immediate")
        return done

    monkeypatch.setattr(erasure, "_forget_messages", by_halves)
    tally = try_all(script("erase"), "sqlite", only="commit 1 dies after")
    assert "pii" in tally.broken


@pytest.mark.parametrize("name", ["one click", "enrol", "erase"])
def test_a_drawn_share_of_cases_harms_nobody(name: str) -> None:
    tally = try_all(script(name), "sqlite", share=0.05, seed=1)
    assert tally.cases > 0
    assert tally.wrong == []


def test_a_process_that_died_keeps_nothing_and_writes_nothing_more(tmp_path: Path) -> None:
    ground = Ground("sqlite", tmp_path / "ground", lambda site: None)
    site = ground.copy()
    with site.process() as scene, MOMENTS.on(Fault("commit", 1, "dies")):
        try:
            write(scene.store)
        finally:
            with pytest.raises(Killed):
                write(scene.store)
    with site.process() as scene:
        assert scene.store.fact("said") is None
        write(scene.store)
        assert scene.store.fact("said") == "so"


def write(store: Store) -> None:
    with store.writing() as connection:
        write_fact(connection, "said", "so")
