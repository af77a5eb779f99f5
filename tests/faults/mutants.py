# ruff: noqa: E501  # a table: the code that is replaced stands as it is
"""Would these tests notice a bug? Small bugs are planted one at a time into a copy; each happened to somebody.

    python -m tests.faults.mutants --only window_in_utc
    python -m tests.faults.mutants --take 6 --turn 3        six of them, others each turn

The checkout is never touched: a copy of the packages stands first on the path of the process that runs the tests.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
COPIED = ("flows", "journeys", "providers", "recall", "tasks", "tests", "pyproject.toml")
FIRST_SEED = 1000
PROTOCOL = "tests/engine/test_protocol.py"
REASONS = "tests/engine/test_gate_reasons.py"
FOUND = "tests/faults/test_found.py"


@dataclass(frozen=True)
class Mutant:
    """One planted bug: what stands in a file, what is put there, and the tests that are asked besides the worlds."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...] = ()  # arguments of pytest; without any the drawn worlds alone must notice


@dataclass(frozen=True)
class Caught:
    mutant: str
    by: str  # what noticed; "" when nothing did
    seconds: float


_REASONS_FILE = "recall/store/gate_reasons.py"
MUTANTS = (
    Mutant(
        "window_in_utc",
        "journeys/windows.py",
        "    offset = to_datetime(instant).astimezone(zone).utcoffset()",
        "    offset = timedelta(0)",
    ),
    Mutant(
        "fixed_offset",
        "journeys/windows.py",
        "    offset = to_datetime(instant).astimezone(zone).utcoffset()",
        "    offset = to_datetime(1_767_225_600_000_000).astimezone(zone).utcoffset()",
        ("tests/journeys/test_windows.py",),
    ),
    Mutant(
        "one_minute_past_the_window",
        "journeys/windows.py",
        "    return any(start <= instant < end for",
        "    return any(start <= instant < end + MINUTE for",
        ("tests/journeys/test_windows.py",),
    ),
    Mutant(
        "zone_fallback",
        "recall/store/gate.py",
        "if is_open(gate.rules, names, now)]",
        "if is_open(gate.rules, names or (gate.of.zone,), now)]",
    ),
    Mutant(
        "rescue_resends",
        "recall/store/ledger.py",
        "        .values(state=SendState.IN_DOUBT.value, code=why)\n    )\n    if not changed.rowcount:\n        return False",
        "        .values(state=SendState.NOT_SENT.value, code=why)\n    )\n    put_back(connection, send, due_at=now)\n"
        "    if changed.rowcount:\n        return True",
    ),
    Mutant(
        "retry_on_read_timeout",
        "recall/engine/dispatch.py",
        "[SendResult(ref, Outcome.IN_DOUBT, code=code) for",
        "[SendResult(ref, Outcome.NOT_SENT, Cause.THROTTLED, code=code) for",
    ),
    Mutant(
        "no_deadline", "recall/engine/calling.py", "GATE_TO_CALL_SECONDS = 5.0", "GATE_TO_CALL_SECONDS = 5e9",
        (FOUND, PROTOCOL),
    ),
    Mutant("no_budget_reservation", "recall/store/gate_pass.py", "    pay(connection, chunk.purse.taken)", "    pass"),
    Mutant(
        "opt_out_at_planning_only", _REASONS_FILE,
        'A.c.opted_out.op("&")(CHANNEL_BIT[of.channel]) != 0', "false()",
    ),
    Mutant(
        "opt_out_not_bound_to_the_address",
        "recall/store/suppressions.py",
        " on conflict (kind, hash) do update set opted_out = excluded.opted_out, suppressed = excluded.suppressed",
        " on conflict (kind, hash) do nothing",
    ),
    Mutant("goal_not_asked_at_the_gate", _REASONS_FILE, "compile_goal(journey.goal, scope, after=E.c.anchor_at)",
           "false()", (REASONS,)),
    Mutant("suppression_ignored", _REASONS_FILE, "Reason.SUPPRESSED: _suppressed(of)", "Reason.SUPPRESSED: false()"),
    Mutant("consent_ignored", _REASONS_FILE, "not_(func.coalesce(valid, false()))", "false()"),
    Mutant("eligibility_ignored", _REASONS_FILE, "    if of.policy.eligible:", "    if False:"),
    Mutant("expiry_ignored", _REASONS_FILE, "E.c.first_due_at + of.node.expires.micros < NOW", "false()", (REASONS,)),
    Mutant("no_cap", _REASONS_FILE, "    if caps:\n", "    if False:\n"),
    Mutant("cap_per_person_only", _REASONS_FILE, "    return [*slots, A.c[address]] if has_address(of) else slots",
           "    return slots"),
    Mutant("cap_off_by_one", _REASONS_FILE, "_slots(of, cap, cap.sends)]\n        )", "_slots(of, cap, min(cap.sends + 1, 4))]\n        )"),
    Mutant(
        "cap_without_lock",
        "recall/store/gate_rows.py",
        "    return statement.with_for_update(of=locked, skip_locked=True) if lock else statement",
        "    return statement if locked else statement",
        ("tests/faults/test_hammer.py",),
    ),
    Mutant("two_of_one_address_in_a_chunk", "recall/store/gate.py", "kept = first_per_address(rows)", "kept = rows"),
    Mutant(
        "doubt_outside_the_cap",
        "recall/store/ledger.py",
        "    _park(connection, send, until=send.gate_at",
        "    release(connection, send, read_version(connection, send.version_id), policy)\n"
        "    _park(connection, send, until=send.gate_at",
        (PROTOCOL,),
    ),
    Mutant("slot_not_released", "recall/store/slots.py", "    if send.counted:", "    if False:", (PROTOCOL,)),
    Mutant(
        "budget_released_twice",
        "recall/store/slots.py",
        "    give_back(connection, _costs(send, version, policy))",
        "    give_back(connection, _costs(send, version, policy))\n"
        "    give_back(connection, _costs(send, version, policy))",
        (PROTOCOL,),
    ),
    Mutant("holdout_leak", "recall/store/gate.py", "    shadow = row.holdout != Holdout.TREATED", "    shadow = False"),
    Mutant("arm_by_row", "recall/store/control_steps.py", "user=row.host_id, arms=shares", "user=str(row.id), arms=shares"),
    Mutant("kill_switch_not_read", "recall/store/gate_blocks.py", "    if controls.kill_switch is not None:", "    if False:"),
    Mutant("pause_not_read", "recall/store/gate_blocks.py", "        of.version.name in controls.paused\n        or ", "        "),
    Mutant(
        "replay_after_a_later_step",
        "recall/store/replays.py",
        "    if row.base_at != row.at:",
        "    if False:",
        ("tests/cli/test_replay.py", PROTOCOL),
    ),
    Mutant(
        "call_before_commit",
        "recall/engine/send.py",
        "    if not passed.calls:\n        return passed, []\n",
        "        if passed.calls:\n"
        "            return passed, call_chunk(setup, gate, passed, started=started, is_probe=granted.is_probe)\n"
        "    if not passed.calls:\n        return passed, []\n",
    ),
    Mutant("spool_not_replayed", "recall/engine/reconcile.py",
           "done.spooled = replay_spool(setup.store, setup.spool_dir, now=setup.clock.now())", "done.spooled = 0",
           (PROTOCOL,)),
    Mutant("absence_counts_at_once", "recall/engine/reconcile.py", "now - send.gate_at >= after * SECOND", "after >= 0"),
    Mutant("doubt_not_raised", "recall/engine/reconcile.py", "    done.raised = raise_doubts(setup)", "    done.raised = 0"),
    Mutant("goes_on_in_doubt", "recall/store/gate_rows.py", "schema.sends.c.gate_at > NOW - hold", "schema.sends.c.gate_at > NOW + hold",
           (PROTOCOL,)),
    Mutant("attempts_without_end", "recall/store/ledger.py",
           "    if send.attempt < policy.routes[Channel(send.channel)].attempts:", "    if send.attempt < 60:"),
    Mutant("gap_from_when_it_was_due", "recall/store/gate_pass.py",
           "_mover(decision, chunk.now, slot_up(chunk.now + 1)) for decision in gone",
           "_mover(decision, decision.row.first_due_at, slot_up(chunk.now + 1)) for decision in gone"),
    Mutant("late_answer_overwrites", "recall/store/ledger.py", 'rows=rows, only=_STILL_OPEN)', 'rows=rows, only="1 = 1")',
           (PROTOCOL, "tests/store/test_receipts.py")),
    Mutant("receipt_overwrites", "recall/store/receipts.py",
           "    earliest = case((or_(column.is_(None), column > receipt.at), receipt.at), else_=column)",
           "    earliest = case((or_(column.is_(None), column < receipt.at), receipt.at), else_=column)",
           ("tests/store/test_receipts.py",)),
    Mutant("doubt_put_back", "recall/engine/calling.py", "    _put_back(setup, stayed)",
           "    _put_back(setup, [r.ref for r in called.results])", (FOUND,)),
    Mutant("failover_of_doubts", "recall/engine/calling.py",
           "    return {r.ref for r in called.results if r.outcome is Outcome.NOT_SENT and r.cause in causes}",
           "    return {r.ref for r in called.results if r.outcome is not Outcome.ACCEPTED and causes}"),
    Mutant("wrong_text_kept", "recall/store/gate_pass.py",
           "    return written(title=rendered.title, body=rendered.body), hashed",
           '    return written(title=rendered.title, body=rendered.body + " "), hashed'),
)  # fmt: skip


def planted(mutant: Mutant, folder: Path) -> None:
    """A copy of the packages with the bug in it; raises ValueError when the place to plant it has changed."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    path = folder / mutant.file
    text = path.read_text()
    if text.count(mutant.old) < 1:
        raise ValueError(f"{mutant.name}: the place to plant it is gone from {mutant.file}")
    path.write_text(text.replace(mutant.old, mutant.new))


def catch(mutant: Mutant, *, seeds: int, seconds: float) -> Caught:
    """Ask the worlds, then the named tests; the first that fails has caught it."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="recall-mutant-") as name:
        folder = Path(name)
        try:
            planted(mutant, folder)
        except ValueError as error:
            sys.stderr.write(f"{error}\n")
            return Caught(mutant.name, "", 0.0)
        if mutant.tests:
            cut = ["-k", "not postgresql"] if mutant.name != "cap_without_lock" else []
            told = _run(folder, ["-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *cut, *mutant.tests], 240)
            if told is not None and told.returncode == 1:
                failed = [line for line in told.stdout.splitlines() if line.startswith("FAILED")]
                by = failed[0].removeprefix("FAILED ").split(" ")[0] if failed else "pytest"
                return Caught(mutant.name, by, time.monotonic() - began)
        worlds = ["-m", "tests.faults.simulation", "--stop", "--seconds", str(seconds)]
        told = _run(folder, [*worlds, "--seeds", f"{FIRST_SEED}:{FIRST_SEED + seeds}"], seconds + 120)
        if told is not None and told.returncode == 1 and told.stderr:
            lines = told.stderr.splitlines()
            seed = next((line.split()[1] for line in lines if line.startswith("seed ")), "?")
            sound = _run(ROOT, ["-m", "tests.faults.simulation", "--seeds", seed], 120)
            if sound is None or sound.returncode:
                return Caught(mutant.name, "", time.monotonic() - began)  # that world fails without the bug, too
            what = next((line.strip()[:70] for line in lines if line.startswith("  ")), "?")
            return Caught(mutant.name, f"seed {seed}: {what}", time.monotonic() - began)
    return Caught(mutant.name, "", time.monotonic() - began)


def _run(folder: Path, arguments: Sequence[str], timeout: float) -> subprocess.CompletedProcess[str] | None:
    try:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None


def hunt(mutants: Iterable[Mutant], *, seeds: int, seconds: float, lanes: int = 2) -> list[Caught]:
    """All of them, some side by side."""
    with ThreadPoolExecutor(lanes) as pool:
        return list(pool.map(lambda mutant: catch(mutant, seeds=seeds, seconds=seconds), mutants))


def sample(take: int, turn: int) -> list[Mutant]:
    """So many, other ones each turn."""
    return [MUTANTS[(turn * take + number) % len(MUTANTS)] for number in range(min(take, len(MUTANTS)))]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="")
    parser.add_argument("--take", type=int, default=len(MUTANTS))
    parser.add_argument("--turn", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=60)
    given = parser.parse_args()
    wanted = [m for m in sample(given.take, given.turn) if not given.only or m.name in given.only.split(",")]
    found = hunt(wanted, seeds=given.seeds, seconds=given.seconds)
    for caught in found:
        sys.stdout.write(f"{caught.mutant:34} {caught.seconds:6.1f} s  {caught.by or 'NOT CAUGHT'}\n")
    sys.stdout.write(f"{sum(bool(caught.by) for caught in found)} of {len(found)} caught\n")
    return 0 if all(caught.by for caught in found) else 1


if __name__ == "__main__":
    sys.exit(main())
