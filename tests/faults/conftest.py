"""Fault tests set the same scene as the tests of the engine, and share one nursery of processes to kill."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.engine.conftest import scene as scene
from tests.faults.kills import Nursery


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    with Nursery() as nursery:
        yield nursery
