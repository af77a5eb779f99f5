"""Does the doctor find what would keep messages from going out rightly?"""

from __future__ import annotations

import pytest

from recall.cli import doctor
from recall.clock import Instant
from recall.store.connect import Store
from recall.store.fitness import read_fitness
from recall.store.suppressions import declare_suppressions


def _problems(answer) -> dict[str, str]:
    return {each["name"]: each["detail"] for each in answer.data["findings"] if not each["ok"]}


def test_an_installation_with_everything_in_place_is_fit(recall_on, store: Store, now: Instant):
    with store.writing() as connection:
        declare_suppressions(connection, "none", at=now)
    answer = recall_on("doctor", "--json")
    assert _problems(answer) == {}
    assert (answer.code, answer.data["ok"]) == (0, True)


def test_what_was_found_is_kept_for_live_mode(recall_on, store: Store):
    assert recall_on("doctor", "--json").code == 1
    assert (read_fitness(store).wrong, read_fitness(store).providers) == (["suppressions"], [])
    with store.writing() as connection:
        declare_suppressions(connection, "none", at=1)
    assert recall_on("doctor", "--json").code == 0
    assert read_fitness(store).wrong == []


def test_how_long_so_many_messages_take_is_told_for_each_route(published):
    found = published.recall("doctor", "--messages", 360_000, "--json").data["findings"]
    times = {each["name"]: each["detail"] for each in found if each["name"].startswith("time of cn-consumer-finance")}
    assert times["time of cn-consumer-finance/sms"].startswith("360000 messages take 1.0 hours: outbox, one sender")


def test_misuse_is_told_apart(recall, sqlite_store: Store):
    assert recall("doctor", "--messages", "many").code == 2


def test_a_new_store_lacks_tables_and_word_about_suppressions(recall):
    answer = recall("doctor", "--json")
    assert answer.code == 1
    assert _problems(answer).keys() == {"schema", "address key", "suppressions"}


def test_a_person_reads_a_line_for_each_finding(recall, sqlite_store: Store):
    answer = recall("doctor")
    assert "PROBLEM" in answer.out
    assert "see `recall import suppressions --help`" in answer.out


def test_a_package_outside_its_pins_is_a_problem(recall, sqlite_store: Store, monkeypatch: pytest.MonkeyPatch):
    """SQLAlchemy 2.1, for one, silently keeps Prefect from scheduling anything."""
    real = doctor.version
    monkeypatch.setattr(doctor, "version", lambda name: "2.1.0" if name.lower() == "sqlalchemy" else real(name))
    assert "sqlalchemy<2.1,>=2.0 (found 2.1.0)" in _problems(recall("doctor", "--json"))["packages"]


def test_switched_off_durability_checks_are_shown(recall, sqlite_store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RECALL_ALLOW_WEAK_DURABILITY", "true")
    assert "NOT checked" in recall("doctor").out
