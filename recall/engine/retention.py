"""When is what was kept long enough forgotten? Once a day beside the reconciler, or when a person asks for it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from recall.clock import DAY, SECOND, Instant
from recall.engine.setup import Setup
from recall.store.connect import Store
from recall.store.erasure import empty_log
from recall.store.retention import (
    count,
    forget,
    live_retention,
    longest,
    note_pruned,
    pruned_at,
    record_pruning,
    rules,
)

REJECTS = "rejects"


def forget_when_due(setup: Setup) -> int:
    """The daily pass, unless it was made within the last day; a simulation holds nobody's data and forgets nothing."""
    now = setup.clock.now()
    with setup.store.reading() as connection:
        last = pruned_at(connection)
    if (last is not None and now - last < DAY) or setup.store.fact("simulated") == "true":
        return 0
    return sum(forget_old(setup.store, setup.spool_dir.parent / REJECTS, now=now, who="recall").values())


def forget_old(store: Store, rejects: Path, *, now: Instant, who: str) -> Counter[str]:
    """Forget everything older than the policies in force say; rows by kind, each kind counted in `prunings`."""
    done, cutoffs = Counter[str](), dict[str, Instant]()
    with store.reading() as connection:
        asked = rules(connection, now=now)
        files = _old_files(rejects, longest(live_retention(connection), REJECTS), now)
    for rule in asked:
        done[rule.what] += forget(store, rule)
        cutoffs[rule.what] = max(rule.cutoff, cutoffs.get(rule.what, rule.cutoff))
    for path, cutoff in files.items():
        path.unlink(missing_ok=True)
        done[REJECTS] += 1
        cutoffs[REJECTS] = cutoff
    with store.writing() as connection:
        for what, rows in done.items():
            if rows:
                record_pruning(connection, what, rows, cutoff=cutoffs[what], who=who, at=now)
        note_pruned(connection, at=now)
    if done.total():
        empty_log(store)
    return done


def count_old(store: Store, rejects: Path, *, now: Instant) -> Counter[str]:
    """What `forget_old` would forget."""
    found = Counter[str]()
    with store.reading() as connection:
        for rule in rules(connection, now=now):
            found[rule.what] += count(connection, rule)
        found[REJECTS] += len(_old_files(rejects, longest(live_retention(connection), REJECTS), now))
    return found


def _old_files(folder: Path, span: int | None, now: Instant) -> dict[Path, Instant]:
    """Rejects files nobody touched since the cutoff; the one being written is never among them."""
    if span is None or not folder.is_dir():
        return {}
    cutoff = now - span
    return {path: cutoff for path in folder.glob("*.csv") if path.stat().st_mtime * SECOND < cutoff}
