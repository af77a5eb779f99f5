"""Are scenario files read strictly, and is what differs told so that one sees it?"""

from __future__ import annotations

import pytest

from journeys.project import SHIPPED, shipped_project
from journeys.scenarios import Happening, Outcomes, compare, instant_of, read_scenarios
from journeys.steps import name_steps
from recall.clock import to_datetime
from recall.errors import BadFile

TEXT = (SHIPPED / "catalogue" / "settled-30d.scenarios.yaml").read_text()


def happened(
    what: str, word: str, at: str = "2026-03-02 09:00", user: str = "mei", step: str | None = None
) -> Happening:
    return Happening(user, at, what, word, step)


def outcomes(*happenings: Happening, **not_entered: str) -> Outcomes:
    return Outcomes(happenings, not_entered)


PUSH = happened("send", "push-1")


@pytest.mark.parametrize(
    ("expected", "actual", "lines"),
    [
        (outcomes(PUSH), outcomes(PUSH), []),
        (outcomes(PUSH), outcomes(), ["missing: mei 2026-03-02 09:00 send push-1"]),
        (outcomes(), outcomes(PUSH), ["unexpected: mei 2026-03-02 09:00 send push-1"]),
        (
            outcomes(PUSH),
            outcomes(happened("send", "push-1", "2026-03-02 10:15")),
            ["at another time: mei 2026-03-02 09:00 send push-1, but it was 2026-03-02 10:15"],
        ),
        (outcomes(PUSH, PUSH), outcomes(PUSH), ["missing: mei 2026-03-02 09:00 send push-1"]),
        (
            outcomes(happened("exit", "finished")),
            outcomes(happened("exit", "goal_reached")),
            ["missing: mei 2026-03-02 09:00 exit finished", "unexpected: mei 2026-03-02 09:00 exit goal_reached"],
        ),
        (
            outcomes(happened("skip", "message_expired")),
            outcomes(happened("skip", "message_expired", step="sms-2")),
            [],
        ),
        (
            outcomes(happened("skip", "message_expired", step="push-1")),
            outcomes(happened("skip", "message_expired", step="sms-2")),
            [
                "missing: mei 2026-03-02 09:00 skip message_expired (push-1)",
                "unexpected: mei 2026-03-02 09:00 skip message_expired (sms-2)",
            ],
        ),
        (outcomes(), outcomes(happened("defer", "capped")), []),
        (outcomes(happened("defer", "capped")), outcomes(), ["missing: mei 2026-03-02 09:00 defer capped"]),
        (outcomes(mei="overlap"), outcomes(mei="overlap"), []),
        (outcomes(mei="overlap"), outcomes(mei="reentry"), ["mei not entered: expected overlap, was reentry"]),
        (outcomes(mei="overlap"), outcomes(), ["missing: mei not entered (overlap), but entered"]),
        (outcomes(), outcomes(mei="overlap"), ["unexpected: mei not entered (overlap)"]),
    ],
)
def test_what_differs_is_told_line_by_line(expected, actual, lines):
    assert compare(expected, actual) == lines


@pytest.mark.parametrize(
    ("old", "new", "message", "hint"),
    [
        ("starts: 2026-03-02 08:00", "starts: 2026-03-02", "is not a local time", "2026-03-02 09:00"),
        ("starts: 2026-03-02 08:00", "starts: 2026-02-30 08:00", "is not a local time", "2026-03-02 09:00"),
        ("starts: 2026-03-02 08:00", "starts: 2027-03-02 08:00", "ends before it starts", "a later time"),
        ("send: push-1}", "sent: push-1}", "`sent` is not a key here", "did you mean send?"),
        ("send: push-1}", "send: push-1, exit: finished}", "an expectation says one thing", "exactly one of"),
        ("exit: finished}", "exit: done}", "'done' is not known here", "goal_reached"),
        (
            "not_entered: {early: audience}",
            "not_entered: {early: tired}",
            "no reason not to enter",
            "audience, overlap",
        ),
        (
            "not_entered: {early: audience}",
            "not_entered: {nobody: audience}",
            "is not among the users",
            "add it to users",
        ),
        ("zone: Asia/Urumqi", "zone: Urumqi", "is not a time zone", "IANA name"),
        ("schema: recall.scenarios/v1", "schema: recall.journey/v1", "is not the schema", "recall.scenarios/v1"),
    ],
)
def test_a_broken_scenario_file_is_told_with_line_and_way_out(old, new, message, hint):
    assert old in TEXT
    with pytest.raises(BadFile) as caught:
        read_scenarios(TEXT.replace(old, new, 1).encode(), "s.yaml")
    found = caught.value.problems
    assert any(p.line and message in p.message and hint in p.hint for p in found), [str(p) for p in found]


@pytest.mark.parametrize("name", sorted(shipped_project().scenarios))
def test_shipped_scenarios_speak_of_steps_that_are_there(name):
    project = shipped_project()
    steps = {named.name for named in name_steps(project.journeys[name].noun.steps)}
    for scenario in project.scenarios[name].noun.scenarios:
        for item in scenario.expectation().happenings:
            if item.what in ("send", "shadow"):
                assert item.word in steps
        assert {reaction.step for reaction in scenario.reactions} <= steps


def test_a_local_time_becomes_the_instant_of_its_zone():
    assert to_datetime(instant_of("2026-03-02 09:00", "Asia/Urumqi")).isoformat() == "2026-03-02T03:00:00+00:00"
    assert to_datetime(instant_of("2026-03-08 02:30", "America/New_York")).isoformat() == "2026-03-08T07:00:00+00:00"
