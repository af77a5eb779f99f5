"""Are providers opened by name, and only those asked for?"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from providers.outbox import Outbox
from providers.registry import KINDS, open_provider, open_providers
from recall.clock import FixedClock
from recall.errors import Misconfigured
from recall.settings import Settings, load


def test_the_outbox_lives_under_var_dir(settings: Settings):
    outbox = open_provider("outbox", settings, clock=FixedClock(0))
    assert isinstance(outbox, Outbox)
    assert outbox.folder == settings.var_dir / "outbox"
    assert outbox.name == "outbox"


def test_a_second_account_has_its_own_name_and_folder(tmp_path: Path):
    settings = load(var_dir=tmp_path, provider_options={"outbox-b": {"kind": "outbox", "fail": "connect"}})
    opened = open_providers(["outbox", "outbox-b", "outbox"], settings)
    assert list(opened) == ["outbox", "outbox-b"]
    second = opened["outbox-b"]
    assert isinstance(second, Outbox)
    assert (second.name, second.folder) == ("outbox-b", tmp_path / "outbox-b")


def test_an_unknown_name_is_told_with_those_there_are(settings: Settings):
    with pytest.raises(Misconfigured) as problem:
        open_provider("pigeon", settings)
    assert "pigeon" in str(problem.value)
    assert all(kind in str(problem.value) for kind in KINDS)


def test_a_vendor_is_imported_only_when_asked_for():
    code = "import sys, providers.registry; print([m for m in sys.modules if m.startswith('providers.')])"
    root = Path(__file__).parents[2]
    printed = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True).stdout
    assert "providers.outbox" not in printed
    assert "providers.world" not in printed
