"""Are references unguessable, and do they lie in the index in the order of their time?"""

from __future__ import annotations

import pytest

from recall.store.gate_pass import new_refs


def at(monkeypatch: pytest.MonkeyPatch, seconds: float, count: int) -> list[str]:
    monkeypatch.setattr("recall.store.gate_pass.elapsed_seconds", lambda: seconds)
    return new_refs(count)


def test_a_reference_ends_in_96_random_bits(monkeypatch: pytest.MonkeyPatch):
    refs = at(monkeypatch, 1.0, 1000)
    assert {len(ref) for ref in refs} == {32}
    assert len({ref[8:] for ref in refs}) == 1000
    assert all(len({ref[place] for ref in refs}) == 16 for place in range(8, 32)), "every digit takes every value"


def test_later_references_come_after_earlier_ones(monkeypatch: pytest.MonkeyPatch):
    earlier, later = at(monkeypatch, 10.0, 100), at(monkeypatch, 10.1, 100)
    assert max(earlier) < min(later)


def test_a_machine_that_is_up_for_longer_than_the_digits_begins_anew(monkeypatch: pytest.MonkeyPatch):
    assert at(monkeypatch, 2.0**28 + 1, 1)[0][:8] == at(monkeypatch, 1.0, 1)[0][:8]
