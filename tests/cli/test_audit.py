"""Does everything a person changes leave who did what, when and why?"""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Any

import pytest

from journeys.words import AddressKind, Channel
from recall.clock import HOUR
from recall.store import schema
from recall.store.connect import Store
from recall.store.inbound import Inbound, Meaning, take_inbound
from tests.cli.birds import BIRD, IMPORTS, NOW, PHONE, at, begin, bring_in, leaves
from tests.cli.conftest import Recall

J, WHY = "settled-30d", "because of the storm"
REASON = ("--why", WHY)
# Each verb that changes something, how it is called, and what the audit calls it.
CHANGES: dict[tuple[str, ...], tuple[tuple[str, ...], str]] = {
    **{each[:2]: ((*each[2:], *REASON), f"import {each[1]}") for each in IMPORTS},
    ("journey", "publish"): ((J, *REASON), "publish journey"),
    ("measure", "horizon"): ((J, "--looks", "8"), "declare horizon"),
    ("replay",): ((J, "--yes", *REASON), "replay"),
    ("reconcile",): (("--accept", "REF", *REASON), "decide accepted"),
    ("recover",): (("--log", "empty", *REASON), "recover"),
    ("pause",): ((J, *REASON), "pause"),
    ("resume",): ((J, *REASON), "resume"),
    ("kill-switch",): (("on", *REASON), "kill-switch on"),
    ("suppress",): ((BIRD, *REASON), "suppress"),
    ("unsuppress",): ((BIRD, *REASON), "unsuppress"),
    ("provider", "send-test"): (("outbox", "--to", PHONE, "--channel", "sms", "--yes"), "send-test"),
    ("inbox", "opt-out"): (("1",), "judge stop"),
    ("inbox", "dismiss"): (("1",), "judge nothing"),
    ("task", "import"): (("tasks.csv", *REASON), "import outcomes"),
    ("db", "prune"): ((), "prune"),
    ("erase",): ((BIRD, "--yes", *REASON), "erase"),
}
WITHOUT_A_WHY = {
    ("inbox", "opt-out"),
    ("inbox", "dismiss"),
    ("measure", "horizon"),
    ("provider", "send-test"),
    ("db", "prune"),
}  # what they do says why
# These read, write files of the person's own, or do what was decided before (run, deploy, migrate, serve).
READS = {
    ("init",), ("journey", "diff"), ("journey", "lint"), ("journey", "list"), ("journey", "schema"),
    ("journey", "show"), ("journey", "test"), ("deploy",), ("run",), ("explain",), ("review",), ("measure", "arms"),
    ("measure", "hazard"), ("measure", "split"), ("simulate",), ("dossier",), ("provider", "check"),
    ("provider", "list"), ("task", "export"), ("task", "list"), ("db", "backup"), ("db", "check"), ("db", "migrate"),
    ("doctor",), ("serve",), ("demo",), ("up",), ("inbox", "list"),
}  # fmt: skip


def actions(store: Store) -> list[Any]:
    with store.reading() as connection:
        return list(connection.execute(schema.operator_actions.select().order_by(schema.operator_actions.c.id)))


@pytest.fixture
def busy(recall: Recall, sqlite_store: Store) -> Recall:
    """People who were sent something: one message is in doubt, one was skipped."""
    begin(recall, sqlite_store)
    bring_in(recall)
    Path("empty").write_text("")
    Path("tasks.csv").write_text("ref,outcome\n")
    at(sqlite_store, NOW + HOUR)
    assert recall("run", "--enrol").code == 0
    return recall


def prepare(verb: tuple[str, ...], recall: Recall, store: Store) -> str:
    """What a verb needs to have something to change; returns the ref of the one message there is."""
    with store.writing() as connection:
        ref = connection.execute(schema.sends.select()).one().ref
        if verb == ("reconcile",):
            connection.execute(schema.sends.update().values(state="in_doubt"))
        if verb == ("replay",):
            connection.execute(schema.sends.update().values(state="refused"))
        if verb[0] == "inbox":
            reply = Inbound("v", "e1", NOW, Channel.SMS, AddressKind.PHONE, PHONE, Meaning.REVIEW, "not now, stop")
            take_inbound(connection, store, [reply], now=NOW)
    if verb == ("journey", "publish"):
        file = Path(f"journeys/{J}.yaml")
        file.write_text(file.read_text().replace("{wait: 3d}", "{wait: 4d}"))
    if verb == ("resume",):
        recall("pause", J)
    if verb == ("unsuppress",):
        recall("suppress", BIRD)
    return str(ref)


def test_every_verb_is_known_to_change_something_or_nothing() -> None:
    assert set(CHANGES) | READS == set(leaves())
    assert set(CHANGES) & READS == set()


@pytest.mark.parametrize("verb", CHANGES, ids=" ".join)
def test_a_change_leaves_who_what_when_and_why(busy: Recall, sqlite_store: Store, verb: tuple[str, ...]) -> None:
    given, what = CHANGES[verb]
    ref = prepare(verb, busy, sqlite_store)
    before = len(actions(sqlite_store))
    now = NOW + 2 * HOUR
    at(sqlite_store, now)
    answer = busy(*verb, *(ref if word == "REF" else word for word in given))
    assert answer.code in (0, 1), answer.err
    left = [row for row in actions(sqlite_store)[before:] if row.verb == what]
    assert left, [row.verb for row in actions(sqlite_store)[before:]]
    assert {row.who for row in left} == {getpass.getuser()}
    assert {row.at for row in left} == {now}
    assert all(row.subject or verb == ("kill-switch",) for row in left)
    assert verb in WITHOUT_A_WHY or {row.why for row in left} == {WHY}


def test_what_reads_leaves_nothing(busy: Recall, sqlite_store: Store) -> None:
    before = len(actions(sqlite_store))
    for verb in (("explain", BIRD), ("dossier", BIRD), ("db", "check"), ("task", "list"), ("journey", "list")):
        assert busy(*verb).code == 0
    assert busy("replay", J).code == 0
    assert busy("erase", BIRD, "--why", WHY).code == 1
    assert len(actions(sqlite_store)) == before
