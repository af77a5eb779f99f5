"""Does any verb, on any path, say a phone, an e-mail, a token, a name or a secret where nobody asked for it?"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from recall.cli import controls
from recall.clock import DAY, HOUR, MINUTE
from recall.engine import run as running
from recall.store.connect import Store
from tests.cli.birds import (
    ADDRESS_KEY,
    BIRD,
    EMAIL,
    IMPORTS,
    KEYS,
    NAME,
    NOW,
    PERSONAL,
    PHONE,
    SECRETS,
    TOKEN,
    at,
    begin,
    bring_in,
    hits,
    leaves,
)
from tests.cli.conftest import Answer, Recall

J = "settled-30d"
# What every verb does here, several times where it has several sides. Those left out run until they are stopped.
PLAN: dict[tuple[str, ...], tuple[tuple[str, ...], ...]] = {
    ("init",): ((".",), ("elsewhere",)),
    ("import", "users"): (IMPORTS[0][2:], ("people.csv",)),
    ("import", "events"): (IMPORTS[1][2:], (*IMPORTS[1][2:], "--as-of", "tomorrow")),
    ("import", "consents"): (IMPORTS[2][2:],),
    ("import", "suppressions"): (IMPORTS[3][2:], ("--none",)),
    ("import", "history"): (IMPORTS[4][2:],),
    ("journey", "lint"): ((),),
    ("journey", "list"): ((), ("--shipped",)),
    ("journey", "show"): ((J,), ("nothing",)),
    ("journey", "diff"): ((J,),),
    ("journey", "test"): ((),),
    ("journey", "schema"): (("journey",),),
    ("journey", "publish"): ((J,), ("nothing",)),
    ("deploy",): (("--dry-run",),),
    ("run",): (("--dry-run",), ("--enrol",), (), (J,)),
    ("explain",): ((BIRD,), ("nobody",)),
    ("replay",): ((J,), (J, "--yes", "--why", "again")),
    ("reconcile",): ((), ("--accept", "nothing", "--why", "seen")),
    ("recover",): (("--log", "users.csv", "--why", "restored"), ("--log", "empty", "--why", "restored")),
    ("review",): (("--day",), ("--week",)),
    ("measure", "arms"): (("people.csv", "--arm", "arm", "--control", "holdout", "--goal", "back"),
                          ("users.csv", "--arm", "name", "--control", "x", "--goal", "phone")),
    ("measure", "hazard"): (("people.csv", "--contacts", "contacts", "--goal", "back"),
                            ("users.csv", "--contacts", "phone", "--goal", "email")),
    ("measure", "horizon"): ((J, "--looks", "8"),),
    ("measure", "split"): ((J, "nothing"),),
    ("simulate",): ((J, "--users", "50", "--days", "2"),),
    ("pause",): ((J, "--why", "storm"),),
    ("resume",): ((J, "--why", "calm"),),
    ("kill-switch",): ((), ("on", "--why", "storm"), ("off",)),
    ("suppress",): ((BIRD, "--why", "asked"),),
    ("unsuppress",): ((BIRD, "--why", "mistake"),),
    ("provider", "list"): ((),),
    ("provider", "check"): ((), ("twilio_sms",)),
    ("provider", "send-test"): (("outbox", "--to", PHONE, "--channel", "sms", "--yes"),
                                ("sms-own", "--to", PHONE, "--yes"),
                                ("outbox", "--to", "+86138777123459999", "--channel", "sms"),
                                ("outbox", "--to", EMAIL, "--channel", "sms")),
    ("inbox", "list"): ((),),
    ("inbox", "opt-out"): (("1",),),
    ("inbox", "dismiss"): (("1",), ("999",)),
    ("task", "list"): ((),),
    ("task", "export"): (("tasks.csv",), ("tasks.csv",)),
    ("task", "import"): (("tasks.csv",), ("users.csv",)),
    ("db", "migrate"): ((),),
    ("db", "check"): ((),),
    ("db", "backup"): (("copy.db",), ("copy.db",)),
    ("db", "prune"): (("--dry-run",), ()),
    ("doctor",): ((),),
    ("dossier",): (("nobody",),),
    ("erase",): ((BIRD, "--why", "asked"), ("nobody", "--why", "asked", "--yes"), (BIRD, "--why", "asked", "--yes")),
}  # fmt: skip
RUNS_ON = {("serve",), ("up",), ("demo",)}  # tests/web/test_serve.py, tests/flows/test_up.py; a demo has no real people


@pytest.fixture
def birds(recall: Recall, sqlite_store: Store, monkeypatch: pytest.MonkeyPatch) -> Recall:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    begin(recall, sqlite_store)
    Path("empty").write_text("")
    return recall


def said(answer: Answer) -> str:
    return answer.out + answer.err


def test_every_verb_is_asked() -> None:
    assert set(leaves()) - RUNS_ON == set(PLAN)


@pytest.mark.slow
def test_no_verb_says_who_somebody_is(birds: Recall, sqlite_store: Store) -> None:
    written = {name: said(answer) for name, answer in bring_in(birds).items()}
    assert "1 rejected" in written[" ".join(IMPORTS[0])]
    for verb, calls in PLAN.items():
        for n, more in enumerate(calls):
            at(sqlite_store, NOW + (HOUR if verb == ("run",) else DAY))
            for extra in ((), ("--json",)):
                answer = birds(*verb, *more, *extra)
                assert answer.code in (0, 1, 2), "no verb ends with a traceback"
                written[f"{' '.join(verb)} {n} {extra}"] = said(answer)
    kept = "".join(path.read_text() for path in Path("var/outbox").rglob("*") if path.is_file())
    assert TOKEN in kept and PHONE in kept, "people were really messaged"
    assert hits(written) == []


@pytest.mark.slow
def test_no_verb_says_anything_personal_when_it_is_misused(birds: Recall, sqlite_store: Store) -> None:
    bring_in(birds)
    database = "postgresql://recall:canary-password@127.0.0.1:9/nothing"
    written = {}
    for verb in PLAN:
        written[f"{verb} option"] = said(birds(*verb, "--no-such-option"))
        written[f"{verb} nothing"] = said(birds(*verb, *(() if verb[0] == "init" else ("--database", database))))
        written[f"{verb} far"] = said(birds(*verb, *PLAN[verb][0], "--database", database, "--json"))
    assert hits(written, (*PERSONAL, *KEYS, ADDRESS_KEY, "canary-password")) == []


def test_a_dossier_tells_the_operator_everything_but_no_secret(birds: Recall) -> None:
    bring_in(birds)
    told = birds("dossier", BIRD).out
    assert all(value in told for value in (PHONE, EMAIL, TOKEN, NAME)), "this is what it is for"
    assert hits({"dossier": told}, (*KEYS, ADDRESS_KEY)) == []


def test_an_error_nobody_foresaw_says_its_kind_and_nothing_else(birds: Recall, monkeypatch: pytest.MonkeyPatch) -> None:
    bring_in(birds)

    def burst(*_: object, **__: object) -> None:
        raise RuntimeError(f"no route to {PHONE} ({EMAIL}), key {KEYS[0]}")

    monkeypatch.setattr(running, "converge", burst)
    monkeypatch.setattr(controls, "table", burst)
    written = {}
    for extra in ((), ("--json",)):
        answer = birds("run", J, *extra)
        assert answer.code == 1
        assert "RuntimeError" in said(answer)
        written[f"run {extra}"] = said(answer)
    assert hits(written) == []


def test_files_beside_the_store_name_nobody_and_only_the_owner_reads_them(birds: Recall, sqlite_store: Store) -> None:
    Path(f"{PHONE} {EMAIL}.csv").write_text(Path("users.csv").read_text())
    birds("import", "users", f"{PHONE} {EMAIL}.csv", "--attribute", "*", "--region", "CN")
    bring_in(birds)
    at(sqlite_store, NOW + MINUTE)
    birds("run", "--enrol")
    files = [path for path in Path("var").rglob("*") if path.is_file()]
    rejects = [path for path in files if path.parent.name == "rejects"]
    assert len(rejects) >= 4
    assert any(PHONE[3:] in path.read_text("utf-8-sig") for path in rejects), "what was not taken is not lost"
    assert hits({str(path): path.name for path in files}) == []
    assert [str(path) for path in files if path.stat().st_mode & 0o077 and path.parent.name != "outbox"] == []


def test_the_audit_names_nobody(birds: Recall, sqlite_store: Store) -> None:
    bring_in(birds)
    birds("suppress", BIRD, "--why", "asked")
    birds("erase", BIRD, "--why", "asked", "--yes")
    with sqlite_store.reading() as connection:
        rows = connection.exec_driver_sql("select * from operator_actions").all()
    assert hits({"audit": repr(rows)}) == []
    with Path("users.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.reader(file))) == 3  # the host's own file is left alone
