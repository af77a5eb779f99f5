"""Is a stranger that took the place of one of our packages found out?"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from recall.cli.rooms import check_rooms, find_strangers
from recall.errors import Misconfigured


def test_our_rooms_are_siblings():
    assert find_strangers() == {}
    check_rooms()


@pytest.mark.parametrize("stray", ["tasks.py", "tasks/__init__.py"])
def test_a_stray_file_or_package_is_found_before_it_does_harm(stray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / stray).parent.mkdir(exist_ok=True)
    (tmp_path / stray).touch()
    monkeypatch.delitem(sys.modules, "tasks", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(Misconfigured, match="`tasks` comes from") as caught:
        check_rooms()
    assert str(tmp_path) in str(caught.value)
