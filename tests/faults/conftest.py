"""Fault tests set the same scene as the tests of the engine."""

from __future__ import annotations

from tests.engine.conftest import scene as scene
