"""What is done while a process dies or an operation fails, and what must hold afterwards? Around the sending itself.

Answers that cannot be recorded and go into the spool, the reconciler, the guards outside the store, and a replay.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from journeys.words import ReceiptKind
from recall.clock import MINUTE
from recall.engine import calling, tripwire
from recall.engine.guards import MARK_FILE, Marker
from recall.engine.reconcile import reconcile
from recall.engine.replay import Wanted
from recall.engine.replay import replay as replay_messages
from recall.engine.tripwire import TRIPWIRE_FILE, Tripwire
from recall.engine.violations import find_violations
from recall.errors import StoreBusy
from recall.store.receipts import Receipt, record_receipts
from tests.engine.conftest import Scene
from tests.faults.counted import CountedSqlite, counted_files
from tests.faults.ground import Here, Near, Site, lose
from tests.faults.scripts import (
    JOURNEY,
    PEOPLE,
    Script,
    come_back,
    judge_messages,
    paced,
    people_enter,
    prepared,
    publish,
    run,
)

# --- answers that cannot be recorded -------------------------------------------------------------------------------


@contextmanager
def store_is_away() -> Iterator[None]:
    """At the moment of the record, and only then."""
    kept = calling._SETTLE_WAITS_SECONDS, calling.settle

    def busy(*_given: Any, **_named: Any) -> Any:
        raise StoreBusy("away")

    calling._SETTLE_WAITS_SECONDS = (0.0,)
    calling.settle = busy
    try:
        yield
    finally:
        calling._SETTLE_WAITS_SECONDS, calling.settle = kept


def run_into_spool(site: Site) -> None:
    with store_is_away(), counted_files(site.folder):
        run(site)


def _in_pieces(site: Site) -> None:
    """Two answers in the spool, two calls whose process died, two messages never tried, receipts and doubts."""
    with site.process() as scene:
        people_enter(scene, publish(scene, "  - {sms: words}"))
    with store_is_away(), site.process() as scene:
        scene.run(JOURNEY)
    [path] = (site.folder / "spool").glob("*.jsonl")
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:2]))
    site.clock.instant += 3 * MINUTE
    with site.process() as scene, scene.store.writing() as connection:
        told = Receipt("outbox", "e1", scene.sends()[2].ref, ReceiptKind.DELIVERED, site.now)
        record_receipts(connection, [told], now=site.now)


def look_for_evidence(site: Site) -> None:
    with counted_files(site.folder), site.process() as scene:
        reconcile(scene.setup)


# --- guards outside the store --------------------------------------------------------------------------------------


@contextmanager
def guarded(site: Site) -> Iterator[Scene]:
    """A process whose provider counts as real: with its mark, its tripwire, and a sender that wants its time."""
    kept, tripwire.sqlite3 = tripwire.sqlite3, CountedSqlite  # type: ignore[assignment]
    provider = Near(site.far, is_real=True)
    try:
        with paced(site), counted_files(site.folder), site.process(provider=provider) as scene:
            marker = Marker(scene.store, site.folder / MARK_FILE)
            wire = Tripwire(site.folder / TRIPWIRE_FILE, key=scene.store.address_key, now=site.clock.now, trip=_trip)
            scene.setup = replace(scene.setup, marker=marker, dispatcher=Here(wire))
            try:
                yield scene
            finally:
                scene.setup.dispatcher.close()  # type: ignore[attr-defined]
                wire.close()
    finally:
        tripwire.sqlite3 = kept


def _trip(why: str) -> None:
    raise AssertionError(f"the tripwire tripped: {why}")


def run_guarded(site: Site) -> None:
    with guarded(site) as scene:
        scene.run(JOURNEY)


def come_back_guarded(site: Site) -> None:
    for _ in range(4):
        site.clock.instant += 3 * MINUTE
        with guarded(site) as scene:
            reconcile(scene.setup)
            scene.run(JOURNEY)


# --- again, by a person --------------------------------------------------------------------------------------------

BEFORE = "  - {sms: words}\n  - {wait: 3d}\n  - {push: words}"


def _none_left(site: Site) -> None:
    """Nobody's message left, and the provider's lookup says so."""
    prepared(BEFORE)(site)
    with site.process(provider=Near(site.far, answer=lose)) as scene:
        scene.run(JOURNEY)
        scene.later(3 * MINUTE)
        reconcile(scene.setup)
        assert {row.state for row in scene.sends()} == {"not_sent"}


def send_again(site: Site) -> None:
    with site.process() as scene:
        replay_messages(scene.setup, Wanted(JOURNEY), dry_run=False, who="ada", why="the text was put right")


def _asked_again(site: Site) -> None:
    _none_left(site)
    send_again(site)


def send_again_and_run(site: Site) -> None:
    """Whoever asked asks again: a second call finds nothing left to do."""
    for _ in range(2):
        send_again(site)
        come_back(site, rounds=2)


def judge_replayed(site: Site) -> Iterator[str]:
    with site.process() as scene:
        taken = Counter(row.user for row in site.far.taken)
        yield from (f"duplicate: {who} was taken {n} times" for who, n in taken.items() if n > 1)
        rows = scene.sends()
        torn = {row.user_id for row in rows if row.state == "not_sent" and row.replay_of is not None}
        lost = {user for user in PEOPLE if user not in taken and scene.row(user).id not in torn}
        if lost or len(torn) > 4:
            yield f"lost: {sorted(lost)}, {len(torn)} in all"
        yield from (f"silent_doubt: {row.id}" for row in rows if row.state in ("calling", "in_doubt"))
        yield from map(str, find_violations(scene.store, site.far.taken, now=site.now))


DOUBTING = (
    Script("spool", prepared("  - {sms: words}"), run_into_spool, come_back, judge_messages),
    Script("reconcile", _in_pieces, look_for_evidence, come_back, judge_messages),
    Script(
        "guards", prepared("  - {sms: words}"), run_guarded, come_back_guarded, judge_messages,
        kinds=("commit", "request", "file", "tripwire"),
    ),
    Script("replay", _none_left, send_again, send_again_and_run, judge_replayed),
    Script("replay run", _asked_again, run, come_back, judge_replayed, dies_only=True),
)  # fmt: skip
