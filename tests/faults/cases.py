"""At how many moments may a process die, or an operation fail, and does anything go wrong? All of them, one by one.

    python -m tests.faults.cases                                          everything
    python -m tests.faults.cases --share 0.02 --seed 7                    a drawn share of every script
    python -m tests.faults.cases --only "send sms" --stores sqlite        one script, one store
    python -m tests.faults.cases --each                                   also those that come to the same as another
    python -m tests.faults.cases --only "send sms" --case "commit 3 dies after"

A script is first run through without a fault, which tells its moments; then once for each moment and each thing that
can go wrong there. Each case must really have come to its moment.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import shutil
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from recall.engine import calling
from recall.errors import BadFile, Misconfigured, RecallError
from tests.faults.ground import STORES, Ground
from tests.faults.moments import MOMENTS, Fault
from tests.faults.scripts import SENDING, Script
from tests.faults.scripts_doubt import DOUBTING
from tests.faults.scripts_http import HOWS as HTTP_HOWS
from tests.faults.scripts_http import OVER_HTTP
from tests.faults.scripts_kept import KEEPING

HOWS = {
    "statement": ("dies", "fails"),
    "commit": ("dies", "dies after", "fails", "is_lost"),
    "request": ("dies", "is_refused", "is_reset", "times_out"),
    "file": ("dies", "dies after", "is torn", "ENOSPC", "EIO"),
    "tripwire": ("dies", "dies after", "fails"),
    "http": HTTP_HOWS,
}
DYING = ("dies", "dies after", "is torn")
SCRIPTS = (*SENDING, *DOUBTING, *OVER_HTTP, *KEEPING)


@dataclass
class Tally:
    """What came of the cases of one script on one store."""

    script: str
    store: str
    places: list[tuple[str, str]] = field(default_factory=list)
    cases: int = 0
    crashes: int = 0
    passed_by: int = 0  # moments at which this cannot go wrong: a request that is not refused half-way
    wrong: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)  # the same, by the first word of what is wrong

    def blame(self, wrong: Sequence[str], fault: Fault | None) -> None:
        where = f"{fault} ({self.place_of(fault)})" if fault else "without a fault"
        self.wrong += [f"{self.script} on {self.store}: {where}: {each}" for each in wrong]
        self.broken += [each.partition(":")[0] for each in wrong]

    def place_of(self, fault: Fault) -> str:
        return [place for kind, place in self.places if kind == fault.kind][fault.number - 1]

    @property
    def points(self) -> int:
        """Kinds of moment by the function of ours they are in, and whether it is the first time."""
        seen: Counter[tuple[str, str]] = Counter(self.places)
        return sum(min(count, 2) for count in seen.values())


def faults_of(script: Script, places: Sequence[tuple[str, str]], *, each: bool = False) -> list[Fault]:
    """What can go wrong at these moments; those that differ, unless `each` is wanted.

    Statements between two other moments are one transaction, or part of one, of which nothing is kept: dying there
    comes to the same at the first and the last of them, and failing is the same within one function.
    """
    counts, faults, stretch = Counter[str](), list[Fault](), 0
    seen = set[tuple[int, str]]()
    for n, (kind, place) in enumerate(places):
        counts[kind] += 1
        stretch += kind != "statement"
        is_first, is_new = n == 0 or places[n - 1][0] != "statement", (stretch, place) not in seen
        is_last = n + 1 == len(places) or places[n + 1][0] != "statement"
        seen.add((stretch, place))
        for how in HOWS[kind] if not script.kinds or kind in script.kinds else ():
            differs = kind != "statement" or (is_new if how == "fails" else is_first or is_last)
            if (each or differs) and (how in DYING or not script.dies_only):
                faults.append(Fault(kind, counts[kind], how))
    return sorted(faults, key=lambda fault: fault.kind == "statement")


def try_all(
    script: Script, store: str, *, share: float = 1.0, seed: int = 0, only: str = "", each: bool = False
) -> Tally:
    """Run a script through, then once for each case (or for a drawn share of them)."""
    tally, folder = Tally(script.name, store), Path(tempfile.mkdtemp(prefix="recall-cases-"))
    kept, calling._SETTLE_WAITS_SECONDS = calling._SETTLE_WAITS_SECONDS, (0.0, 0.0)
    ground = Ground(store, folder, script.prepare)
    try:
        tally.blame(_live(script, ground, None, tally), None)
        tally.places = list(MOMENTS.places)
        faults = faults_of(script, tally.places, each=each or bool(only))
        if share < 1.0:
            dice = random.Random(f"recall {seed} {script.name} {store}")
            faults = dice.sample(faults, max(1, round(len(faults) * share)))
        for fault in faults:
            if only in ("", str(fault)):
                tally.blame(_live(script, ground, fault, tally), fault)
    finally:
        calling._SETTLE_WAITS_SECONDS = kept
        ground.close()
        shutil.rmtree(folder, ignore_errors=True)
    return tally


def _live(script: Script, ground: Ground, fault: Fault | None, tally: Tally) -> list[str]:
    """One case: what is wrong afterwards."""
    site = ground.copy()
    wrong = []
    with MOMENTS.on(fault):
        try:
            script.act(site)
        except (RecallError, Misconfigured, BadFile):
            pass  # told in words
        except OSError as error:
            if fault is None or fault.kind != "file":
                wrong.append(_raised(error))
        except Exception as error:
            wrong.append(_raised(error))
    places = list(MOMENTS.places)
    if fault is not None and not MOMENTS.has_fired:
        tally.passed_by += 1
        return wrong
    tally.cases += fault is not None
    tally.crashes += fault is not None and fault.how in DYING
    try:
        script.recover(site)
        wrong += list(script.judge(site))
    except Exception as error:
        wrong.append(_raised(error))
    MOMENTS.places = places
    return wrong


def _raised(error: BaseException) -> str:
    last = traceback.extract_tb(error.__traceback__)
    ours = [
        f"{Path(each.filename).stem}.{each.name}:{each.lineno}"
        for each in last
        if "/site-packages/" not in each.filename
    ]
    return f"raised {type(error).__module__}.{type(error).__name__}: {str(error)[:100]} in {' > '.join(ours[-4:])}"


def chosen(names: str, stores: Sequence[str]) -> Iterator[tuple[Script, str]]:
    for script in SCRIPTS:
        for store in stores:
            if not names or script.name in names.split(","):
                yield script, store


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="names of scripts, separated by commas")
    parser.add_argument("--stores", default=",".join(STORES))
    parser.add_argument("--case", default="", help="one case, as it is told when it goes wrong")
    parser.add_argument("--each", action="store_true", help="also cases that come to the same as another")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    bad = 0
    for script, store in chosen(given.only, given.stores.split(",")):
        tally = try_all(script, store, share=given.share, seed=given.seed, only=given.case, each=given.each)
        bad += len(tally.wrong)
        sys.stdout.write((json.dumps(_told(tally)) if given.json else _line(tally)) + "\n")
        sys.stdout.flush()
        sys.stderr.writelines(f"{line}\n" for line in tally.wrong)
    return 1 if bad else 0


def _told(tally: Tally) -> dict[str, object]:
    return {
        "script": tally.script, "store": tally.store, "cases": tally.cases, "crashes": tally.crashes,
        "points": tally.points, "broken": tally.broken,
    }  # fmt: skip


def _line(tally: Tally) -> str:
    kinds: Counter[str] = Counter(kind for kind, _ in tally.places)
    return (
        f"{tally.script:16} {tally.store:10} {tally.cases:5} cases ({tally.crashes} crashes), "
        f"{len(tally.wrong)} wrong; moments: {dict(kinds)}"
    )


if __name__ == "__main__":
    sys.exit(main())
