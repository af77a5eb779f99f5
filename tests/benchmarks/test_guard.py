"""Does the guard of the benchmarks see what it is there for? It must pass as things are, and fail on planted faults."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import guard, places


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Templates of this test, away from those of real measurements."""
    monkeypatch.setattr(places, "FOLDER", tmp_path)


def wrong(plant: guard.Plant) -> set[str]:
    return {found.name for found in guard.look("sqlite", small=1_000, big=4_000, plant=plant) if found.is_wrong}


def test_the_guard_is_content_with_the_engine_as_it_is() -> None:
    assert wrong("") == set()


def test_a_gate_without_its_index_is_quadratic_and_seen() -> None:
    assert "gate_exponent_sqlite" in wrong("no-index")


def test_an_idle_run_that_looks_at_everybody_is_seen() -> None:
    assert {"idle_times_sqlite", "idle_beside_busy_times_sqlite"} <= wrong("count-all")
