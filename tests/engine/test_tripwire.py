"""Does the tripwire count what a slow list counts, whichever process calls, whatever the clock does, whatever fails?"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from journeys.words import Cause, Outcome
from providers.base import Outbound, SendResult
from recall.clock import DAY, HOUR, MINUTE, Instant
from recall.engine import tripwire
from recall.engine.tripwire import CALLS_PER_REF, REFS_PER_ADDRESS_AND_HOUR, Tripwire
from recall.errors import Misconfigured
from tests.engine.doubles import message

REFS = st.sampled_from([f"{number:032x}" for number in range(12)])


@dataclass
class Book:
    """Every call there was, read from the first to the last each time."""

    calls: list[tuple[Instant, str, str]] = field(default_factory=list)

    def before(self, batch: Sequence[Outbound], *, now: Instant) -> str:
        made = [*self.calls, *((now, each.ref, each.address.value) for each in batch)]
        called = Counter(ref for _, ref, _ in made)
        lately = {(address, ref) for at, ref, address in made if at > now - HOUR}
        messaged = Counter(address for address, _ in lately)
        if any(called[each.ref] > CALLS_PER_REF for each in batch):
            return "called"
        if any(messaged[each.address.value] > REFS_PER_ADDRESS_AND_HOUR for each in batch):
            return "number"
        self.calls = made
        return ""

    def stayed(self, batch: Sequence[Outbound]) -> None:
        for each in batch:
            mine = [n for n, call in enumerate(self.calls) if call[1:] == (each.ref, each.address.value)]
            if mine:
                del self.calls[mine[-1]]


class Processes(RuleBasedStateMachine):
    """Three processes with one file; each is started again now and then."""

    folder: Path

    @initialize()
    def begin(self) -> None:
        self.now, self.book, self.tripped = 40 * DAY, Book(), list[str]()
        for path in self.folder.glob("tripwire.db*"):
            path.unlink()
        self.processes = [self.process() for _ in range(3)]

    def process(self) -> Tripwire:
        return Tripwire(self.folder / "tripwire.db", key=b"key", now=lambda: self.now, trip=self.tripped.append)

    @rule(who=st.integers(0, 2), calls=st.dictionaries(REFS, st.sampled_from("123"), min_size=1, max_size=6))
    def call(self, who: int, calls: dict[str, str]) -> None:
        batch = [message(ref, phone) for ref, phone in calls.items()]
        why, said = self.book.before(batch, now=self.now), self.processes[who].before(batch)
        assert bool(said) == bool(why), (why, said)
        assert why in said

    @rule(who=st.integers(0, 2), calls=st.dictionaries(REFS, st.sampled_from("123"), min_size=1, max_size=6))
    def stay(self, who: int, calls: dict[str, str]) -> None:
        batch = [message(ref, phone) for ref, phone in calls.items()]
        self.processes[who].after(batch, [SendResult(ref, Outcome.NOT_SENT, Cause.CONNECT) for ref in calls])
        self.book.stayed(batch)

    @rule(time=st.sampled_from([1, MINUTE, 25 * MINUTE, HOUR - 1, HOUR, 3 * HOUR, DAY]))
    def wait(self, time: int) -> None:
        self.now += time

    @rule(time=st.sampled_from([MINUTE, 61 * MINUTE, 3 * HOUR]), calls=st.dictionaries(REFS, st.sampled_from("123")))
    def go_back_for_a_while(self, time: int, calls: dict[str, str]) -> None:
        """As a clock that is set wrong and right again; somebody calls in between, perhaps just started."""
        self.now -= time
        if calls:
            self.start_again(0)
            self.call(0, calls)
        self.now += time

    @rule(who=st.integers(0, 2))
    def start_again(self, who: int) -> None:
        self.processes[who].close()
        self.processes[who] = self.process()

    def teardown(self) -> None:
        for each in self.processes:
            each.close()


def test_processes_with_one_file_count_as_one_slow_list(tmp_path: Path) -> None:
    case = type("InAFolder", (Processes,), {"folder": tmp_path}).TestCase  # type: ignore[attr-defined]
    case.settings = settings(
        max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
    )
    case().runTest()


# --- what the list does not show ------------------------------------------------------------------------------------


class Hand:
    def __init__(self) -> None:
        self.now, self.tripped = 40 * DAY, list[str]()


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def start(hand: Hand, tmp_path: Path) -> Iterator[Callable[[], Tripwire]]:
    started: list[Tripwire] = []

    def start() -> Tripwire:
        path = tmp_path / "tripwire.db"
        started.append(Tripwire(path, key=b"key", now=lambda: hand.now, trip=hand.tripped.append))
        return started[-1]

    yield start
    for each in started:
        each.close()


def test_after_the_clock_went_back_what_was_out_of_sight_counts_again(
    start: Callable[[], Tripwire], hand: Hand
) -> None:
    wire = start()
    for ref in "ab":
        wire.before([message(ref)])
    hand.now += 3 * HOUR
    assert wire.before([message("c")]) == ""
    hand.now -= 3 * HOUR
    assert "number 4" in wire.before([message("d")])


def test_what_is_older_than_an_hour_no_longer_counts_though_the_sketch_has_seen_it(
    start: Callable[[], Tripwire], hand: Hand
) -> None:
    start().before([message("a")])
    hand.now += 30 * MINUTE
    wire = start()
    for ref, later in (("b", 10 * MINUTE), ("c", 21 * MINUTE), ("d", 0)):
        assert wire.before([message(ref)]) == ""
        hand.now += later
    assert "number 4" in wire.before([message("e")])


def test_a_clock_that_went_back_for_a_moment_hides_nothing(start: Callable[[], Tripwire], hand: Hand) -> None:
    wire = start()
    for ref in "abc":
        wire.before([message(ref)])
    hand.now -= 61 * MINUTE
    wire.before([message("x", phone="2")])
    hand.now += 62 * MINUTE
    assert "number 4" in start().before([message("d")])


def test_what_is_taken_off_is_taken_off_its_own_address(start: Callable[[], Tripwire]) -> None:
    wire = start()
    for ref in "abc":
        wire.before([message(ref, phone="1")])
    wire.before([message("a", phone="2")])
    wire.after([message("a", phone="2")], [SendResult("a", Outcome.NOT_SENT, Cause.CONNECT)])
    assert "number 4" in wire.before([message("d", phone="1")])


def test_a_process_that_begins_reads_the_last_hour_while_another_writes(
    start: Callable[[], Tripwire], tmp_path: Path
) -> None:
    """Else all that begin at the same minute would wait for each other, and run out of their five seconds."""
    start().before([message("a")])
    wire = start()
    with closing(sqlite3.connect(tmp_path / "tripwire.db")) as other:
        other.execute("begin immediate")
        assert wire._caught_up().read_on(wire._db) == set()
        assert wire._lately is None
        other.rollback()
    assert wire.before([message("b"), message("c")]) == ""
    assert "number 4" in wire.before([message("d")])


def test_processes_that_make_the_file_at_the_same_moment_wait_for_each_other(
    hand: Hand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect(tmp_path / "tripwire.db", check_same_thread=False)) as other:
        other.execute("begin immediate")
        other.execute("create table calls (id)")
        monkeypatch.setattr("recall.engine.tripwire.time.sleep", lambda seconds: other.rollback())
        made = Tripwire(tmp_path / "tripwire.db", key=b"key", now=lambda: hand.now, trip=hand.tripped.append)
        assert made.before([message("a")]) == ""
        made.close()


def test_addresses_that_share_their_counters_do_not_trip(
    start: Callable[[], Tripwire], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tripwire, "_address_of", lambda self, message: int(message.address.value) << 24)
    wire = start()
    for ref in "abcdefgh":
        assert wire.before([message(ref, phone=str(ord(ref) % 4))]) == ""
    for ref in "ijkl":
        assert wire.before([message(ref, phone=str(ord(ref) % 4))]) == ""
    assert "number 4" in wire.before([message("m", phone="1")])


def test_calls_that_could_not_be_counted_are_not_half_counted(start: Callable[[], Tripwire], tmp_path: Path) -> None:
    wire = start()
    wire.before([message("a")])
    with sqlite3.connect(tmp_path / "tripwire.db") as other:
        other.execute("create trigger full before insert on calls begin select raise(abort, 'full'); end")
    for _ in range(5):
        with pytest.raises(sqlite3.Error, match="full"):
            wire.before([message("b")])
    with sqlite3.connect(tmp_path / "tripwire.db") as other:
        other.execute("drop trigger full")
    assert wire.before([message("b"), message("c")]) == ""
    assert "number 4" in wire.before([message("d")])


def test_a_number_is_not_given_twice_so_that_nobody_misses_a_call(start: Callable[[], Tripwire]) -> None:
    """The last row goes, and another process writes the next one, after both had read up to it."""
    mine, theirs = start(), start()
    mine.before([message("a")])
    theirs.before([message("b")])
    mine.before([message("c")])
    mine.after([message("c")], [SendResult("c", Outcome.NOT_SENT, Cause.CONNECT)])
    theirs.before([message("d")])
    assert "number 4" in mine.before([message("e")])


def test_what_is_too_old_goes_and_the_rest_stays(start: Callable[[], Tripwire], hand: Hand, tmp_path: Path) -> None:
    wire = start()
    for ref in "abc":
        wire.before([message(ref, phone=ref)])
        hand.now += 12 * DAY
    start()
    with sqlite3.connect(tmp_path / "tripwire.db") as kept:
        assert kept.execute("select ref from calls order by id").fetchall() == [("b",), ("c",)]


# --- one process, call by call ---------------------------------------------------------------------------------------


@pytest.fixture
def wire(hand: Hand, tmp_path: Path) -> Iterator[Tripwire]:
    wire = Tripwire(tmp_path / "tripwire.db", key=b"key", now=lambda: hand.now, trip=hand.tripped.append)
    yield wire
    wire.close()


def went(ref: str) -> SendResult:
    return SendResult(ref, Outcome.ACCEPTED)


def test_a_seventh_call_of_one_message_trips(wire: Tripwire, hand: Hand) -> None:
    for _ in range(6):
        assert wire.before([message("a")]) == ""
        hand.now += HOUR
    assert "called 6 times" in wire.before([message("a")])
    assert len(hand.tripped) == 1


def test_a_fourth_message_to_one_address_within_an_hour_trips(wire: Tripwire, hand: Hand) -> None:
    for ref in "abc":
        assert wire.before([message(ref)]) == ""
        wire.after([message(ref)], [went(ref)])
    assert wire.before([message("d", phone="+8613800000002")]) == ""
    assert "number 4" in wire.before([message("e")])
    assert "+86" not in hand.tripped[0]
    hand.now += HOUR + 1
    assert wire.before([message("e")]) == ""


def test_a_crowd_of_messages_to_one_address_trips_within_one_chunk_too(wire: Tripwire, hand: Hand) -> None:
    assert "number 9" in wire.before([message(ref) for ref in "abcdefghi"])
    assert "twice" in wire.before([message("x"), message("x")])
    assert wire.before([message(ref) for ref in "abc"]) == "", "calls that were not made do not count"


def test_what_died_in_the_middle_of_a_call_was_counted(wire: Tripwire, hand: Hand, tmp_path: Path) -> None:
    for ref in "abc":
        wire.before([message(ref)])
    another = Tripwire(tmp_path / "tripwire.db", key=b"key", now=lambda: hand.now, trip=hand.tripped.append)
    assert "number 4" in another.before([message("d")])
    another.close()


def test_counts_of_an_older_version_are_begun_anew(hand: Hand, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "tripwire.db") as old:
        old.execute("create table calls (ref text primary key, count integer not null, at integer not null)")
        old.execute("create table gone (address text, ref text, at integer, primary key (address, ref))")
    wire = Tripwire(tmp_path / "tripwire.db", key=b"key", now=lambda: hand.now, trip=hand.tripped.append)
    assert wire.before([message("a")]) == ""
    wire.close()


def test_a_failure_while_it_is_opened_locks_nobody_out(
    hand: Hand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tripwire, "_TABLES", ("create table nonsense",))
    with pytest.raises(Misconfigured, match="cannot be opened"):
        Tripwire(tmp_path / "tripwire.db", key=b"key", now=lambda: hand.now, trip=hand.tripped.append)
    with sqlite3.connect(tmp_path / "tripwire.db", timeout=0) as other:
        other.execute("begin immediate")


def test_what_is_too_old_to_count_is_forgotten(wire: Tripwire, hand: Hand, tmp_path: Path) -> None:
    wire.before([message("a")])
    hand.now += 31 * DAY
    another = Tripwire(tmp_path / "tripwire.db", key=b"key", now=lambda: hand.now, trip=hand.tripped.append)
    another.close()
    with sqlite3.connect(tmp_path / "tripwire.db") as kept:
        assert kept.execute("select count(*) from calls").fetchone() == (0,)


def test_what_never_left_does_not_count_to_the_address(wire: Tripwire) -> None:
    for ref in "abcde":
        assert wire.before([message(ref)]) == ""
        wire.after([message(ref)], [SendResult(ref, Outcome.NOT_SENT, Cause.CONNECT)])


def test_what_never_left_is_no_call(wire: Tripwire, hand: Hand) -> None:
    for _ in range(20):
        assert wire.before([message("a")]) == ""
        wire.after([message("a")], [SendResult("a", Outcome.NOT_SENT, Cause.CONNECT)])
    for _ in range(6):  # counted from here on, as if nothing had been
        assert wire.before([message("a")]) == ""
        wire.after([message("a")], [SendResult("a", Outcome.NOT_SENT, Cause.THROTTLED)])
        hand.now += HOUR
    assert "called 6 times" in wire.before([message("a")])


def test_the_tripwire_keeps_no_address(wire: Tripwire, tmp_path: Path) -> None:
    wire.before([message("a")])
    wire.after([message("a")], [went("a")])
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("tripwire.db*"))
    assert b"13800000001" not in kept
