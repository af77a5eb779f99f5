"""Does a scenario tell what the engine does, and is every scenario of the catalogue as expected?"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from journeys.loader import read_journey
from journeys.project import Project, shipped_project
from journeys.scenarios import read_scenarios
from recall.cli.init_files import files_of
from recall.engine.scenarios import Case, Played, cases_of, empty_store
from recall.errors import Misconfigured
from recall.testing import check_scenarios

SHIPPED = shipped_project()


@pytest.fixture(scope="module")
def empty() -> Iterator[Path]:
    with empty_store() as path:
        yield path


@pytest.mark.parametrize("case", cases_of(SHIPPED), ids=str)
def test_the_catalogue_does_what_its_scenarios_say(case: Case, empty: Path):
    assert case.play(empty).differences == []


def test_every_journey_of_the_catalogue_has_scenarios():
    assert set(SHIPPED.scenarios) == set(SHIPPED.journeys)


# --- what can be given -------------------------------------------------------------------------------------

_JOURNEY = """
schema: recall.journey/v1
id: tried
title: A journey of a test
policy: cn-consumer-finance
entry: {anchor: loan_settled, audience: {did: loan_settled}%s}
goal: {event: loan_drawn, window: 28d}
%s
steps:
%s
"""
_STEPS = """
  - {push: come-back}
  - {wait: 1d}
  - {sms: come-back}
"""
_SCENARIO = """
schema: recall.scenarios/v1
journey: tried
scenarios:
  - name: one
    starts: %s
    ends: %s
%s
"""
_ABOUT = 'attributes: {overdue_days: "0", frozen: "false", fraud_review: "false"}'
_MEI = f"""
    users: [{{id: mei, {_ABOUT}}}]
    events: [{{user: mei, event: loan_settled, at: 2026-03-01 12:00}}]
"""


def _case(
    given: str,
    *,
    steps: str = _STEPS,
    more: str = "holdout: {percent: 10}",
    entry: str = "",
    starts: str = "2026-03-02 08:00",
    ends: str = "2026-03-06 23:00",
) -> Case:
    """A scenario of a journey of these steps, beside the shipped policies and templates."""
    journey = read_journey((_JOURNEY % (entry, more, steps)).encode(), "tried.yaml")
    scenarios = read_scenarios((_SCENARIO % (starts, ends, given)).encode(), "tried.scenarios.yaml")
    project = Project(
        {**SHIPPED.journeys, "tried": journey},
        SHIPPED.policies,
        SHIPPED.templates,
        SHIPPED.segments,
        {"tried": scenarios},
    )
    [case] = cases_of(project, "tried")
    return case


@pytest.fixture
def play(empty: Path):
    def played(given: str, **about: str) -> Played:
        return _case(given, **about).play(empty)

    return played


def _happened(played: Played) -> list[str]:
    """What happened, in time; deferrals apart."""
    return [str(happening) for happening in played.actual.happenings if happening.what != "defer"]


_WHOLE = ["mei 2026-03-02 09:00 send push-1", "mei 2026-03-03 09:00 send sms-2", "mei 2026-03-03 09:00 exit finished"]


def test_people_are_enrolled_by_schedule_and_messaged_by_their_own_clock(play):
    urumqi = _MEI.replace("id: mei", "id: mei, zone: Asia/Urumqi")
    assert sorted(_happened(play(_MEI))) == sorted(_WHOLE)
    assert sorted(_happened(play(urumqi))) == sorted(_WHOLE)


def test_differences_say_what_is_missing_unexpected_and_late(play):
    expect = """
    expect:
      - {user: mei, at: 2026-03-02 09:00, send: push-1}
      - {user: mei, at: 2026-03-03 10:00, send: sms-2}
      - {user: mei, at: 2026-03-04 10:00, skip: capped}
"""
    assert play(_MEI + expect).differences == [
        "unexpected: mei 2026-03-03 09:00 exit finished",
        "at another time: mei 2026-03-03 10:00 send sms-2, but it was 2026-03-03 09:00",
        "missing: mei 2026-03-04 10:00 skip capped",
    ]


def test_an_event_is_told_when_the_clock_reaches_it(play):
    drawn = _MEI + "      - {user: mei, event: loan_drawn, at: 2026-03-02 21:07}\n"
    drawn = drawn.replace("events: [{user: mei", "events:\n      - {user: mei").replace("12:00}]", "12:00}")
    assert _happened(play(drawn)) == ["mei 2026-03-02 09:00 send push-1", "mei 2026-03-02 21:15 exit goal_reached"]


def test_a_changed_attribute_counts_from_then_on(play):
    change = '    changes: [{user: mei, at: 2026-03-02 12:00, attributes: {frozen: "true"}}]\n'
    assert _happened(play(_MEI + change))[-1] == "mei 2026-03-03 09:00 exit exit_rule"


@pytest.mark.parametrize(
    ("acts", "happened"),
    [
        (
            "[{at: 2026-03-02 12:00, act: pause}, {at: 2026-03-04 12:00, act: resume}]",
            [
                "mei 2026-03-02 09:00 send push-1",
                "mei 2026-03-04 12:00 send sms-2",
                "mei 2026-03-04 12:00 exit finished",
            ],
        ),
        (
            "[{at: 2026-03-02 08:45, act: kill_switch_on}, {at: 2026-03-02 15:00, act: kill_switch_off}]",
            [
                "mei 2026-03-02 15:00 send push-1",
                "mei 2026-03-03 15:00 send sms-2",
                "mei 2026-03-03 15:00 exit finished",
            ],
        ),
        ("[{at: 2026-03-02 08:10, act: pause}]", []),
        ("[{at: 2026-03-02 12:00, act: suppress, user: mei}]", [_WHOLE[0], "mei 2026-03-02 12:00 exit suppressed"]),
        ("[{at: 2026-03-02 12:00, act: exit, user: mei}]", [_WHOLE[0], "mei 2026-03-02 12:00 exit operator"]),
    ],
)
def test_an_operator_acts(play, acts, happened):
    assert sorted(_happened(play(f"{_MEI}    acts: {acts}\n"))) == sorted(happened)


def test_an_act_on_nobody_says_what_is_missing(play):
    with pytest.raises(Misconfigured, match="suppress needs a `user`"):
        play(f"{_MEI}    acts: [{{at: 2026-03-02 12:00, act: suppress}}]\n")


def test_nothing_is_sent_before_approval(play):
    acts = "    acts: [{at: 2026-03-02 13:00, act: approve}]\n"
    played = play(_MEI + acts, more="approval: true")
    assert _happened(played)[0] == "mei 2026-03-02 13:00 send push-1"


def test_a_held_out_person_is_shadowed_and_everybody_else_is_not(play):
    many = ", ".join(f"{{id: u{n}, {_ABOUT}{', holdout: true' if n == 7 else ''}}}" for n in range(12))
    events = ", ".join(f"{{user: u{n}, event: loan_settled, at: 2026-03-01 12:00}}" for n in range(12))
    played = play(f"    users: [{many}]\n    events: [{events}]\n")
    shadowed = {each.user for each in played.actual.happenings if each.what == "shadow"}
    sent = {each.user for each in played.actual.happenings if each.what == "send"}
    assert (shadowed, len(sent)) == ({"u7"}, 11)


def test_a_holdout_the_journey_does_not_have_is_refused(play):
    with pytest.raises(Misconfigured, match="a person held out needs a `holdout` in the journey"):
        play(_MEI.replace("id: mei", "id: mei, holdout: true"), more="")


# --- what providers and people answer ----------------------------------------------------------------------


def test_a_refused_address_falls_back_and_a_throttled_one_tries_again(play):
    steps = "  - {push: come-back, else: {sms: come-back}}\n"
    refused = "    reactions: [{user: mei, step: push-1, answer: refused, cause: address}]\n"
    assert "mei 2026-03-02 09:15 send push-1-else" in _happened(play(_MEI + refused, steps=steps))
    throttled = "    reactions: [{user: mei, step: push-1, answer: not_sent, cause: throttled}]\n"
    assert _happened(play(_MEI + throttled, steps=steps))[0] == "mei 2026-03-02 09:15 send push-1"


def test_a_doubt_counts_as_a_message_and_rests_until_the_hold_is_over(play):
    doubt = "    reactions: [{user: mei, step: push-1, answer: in_doubt}]\n"
    assert [line for line in _happened(play(_MEI + doubt)) if "send" in line] == [
        "mei 2026-03-02 09:00 send push-1",
        "mei 2026-03-05 09:00 send sms-2",
    ]


def test_a_receipt_resolves_a_doubt(play):
    doubt = """    reactions:
      - {user: mei, step: push-1, answer: in_doubt}
      - {user: mei, step: push-1, reaction: delivered, after: 5m}
"""
    assert sorted(_happened(play(_MEI + doubt))) == sorted(_WHOLE)


def test_a_stop_ends_the_channel(play):
    stop = "    reactions: [{user: mei, step: sms-1, reaction: opted_out, after: 2m}]\n"
    steps = "  - {sms: come-back}\n  - {wait: 2d}\n  - {sms: come-back}\n"
    assert _happened(play(_MEI + stop, steps=steps)) == [
        "mei 2026-03-02 09:00 send sms-1",
        "mei 2026-03-04 09:00 exit opted_out",
    ]


def test_calls_are_tried_again_by_their_outcomes(play):
    steps = """
  - call: come-back
    attempts: {max: 3, gap: 2h, retry_when: [busy, no_answer]}
    on_outcome: {interested: [{sms: come-back}], declined: exit}
"""
    outcomes = """    reactions:
      - {user: mei, step: call-1, outcome: busy, after: 1m}
      - {user: mei, step: call-1, outcome: interested, after: 1m}
"""
    sends = [line for line in _happened(play(_MEI + outcomes, steps=steps)) if "send" in line]
    assert [line.split(" send ")[1] for line in sends][:2] == ["call-1", "call-1"]


# --- who enters -------------------------------------------------------------------------------------------


_CROWD = f"""
    users:
      - {{id: mei, {_ABOUT}}}
      - {{id: lin, {_ABOUT}}}
      - {{id: never, {_ABOUT}}}
      - {{id: stopped, suppressed: true, {_ABOUT}}}
      - {{id: late, {_ABOUT}}}
    events:
      - {{user: mei, event: loan_settled, at: 2026-03-01 12:00}}
      - {{user: lin, event: loan_settled, at: 2026-03-01 13:00}}
      - {{user: stopped, event: loan_settled, at: 2026-03-01 12:00}}
      - {{user: late, event: loan_settled, at: 2026-03-01 14:00}}
    not_entered: {{never: audience, stopped: suppressed, late: not_rolled_out, lin: daily_limit}}
"""


def test_each_who_does_not_enter_has_a_reason(play):
    about = {"entry": ", limit: {per_day: 1}, rollout: 50%", "steps": "  - {push: come-back}\n"}
    first_day = play(_CROWD, ends="2026-03-02 23:00", **about)
    assert first_day.actual.not_entered == {
        "never": "audience",
        "stopped": "suppressed",
        "late": "not_rolled_out",
        "lin": "daily_limit",
    }
    assert "missing: lin not entered (daily_limit), but entered" in play(_CROWD, **about).differences


def test_who_may_not_come_back_yet_is_told_where_it_is_asked(play):
    twice = _MEI.replace("12:00}]", "12:00}, {user: mei, event: loan_settled, at: 2026-03-04 12:00}]")
    about = {"entry": ", reentry: {after: 30d}", "steps": "  - {push: come-back}\n"}
    assert play(twice, **about).actual.not_entered == {}
    assert play(f"{twice}    not_entered: {{mei: reentry}}\n", **about).actual.not_entered == {"mei": "reentry"}


def test_a_triggered_journey_is_entered_when_the_event_comes(empty: Path):
    case = _case(_MEI.replace("2026-03-01 12:00", "2026-03-03 10:05"))
    triggered = _JOURNEY.replace("anchor: loan_settled", "anchor: {trigger: loan_settled}")
    case.project.journeys["tried"] = read_journey((triggered % ("", "holdout: {percent: 10}", _STEPS)).encode(), "t")
    [case] = cases_of(case.project, "tried")
    assert _happened(case.play(empty))[0] == "mei 2026-03-03 10:15 send push-1"


def test_a_budget_of_the_scenario_is_the_total(play):
    two = _MEI.replace("users: [", f"users: [{{id: lin, {_ABOUT}}}, ").replace(
        "events: [", "events: [{user: lin, event: loan_settled, at: 2026-03-01 13:00}, "
    )
    played = play('    budget: "0.08"' + two, steps="  - {sms: come-back}\n")  # an SMS costs 0.045
    assert [line for line in _happened(played) if " send " in line] == ["lin 2026-03-02 09:00 send sms-1"]
    assert "mei 2026-03-02 09:00 defer budget_spent (sms-1)" in map(str, played.actual.happenings)


def test_a_scenario_that_never_rests_is_ended_with_advice(play, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("recall.engine.scenarios.MOST_LOOKS", 2)
    with pytest.raises(Misconfigured, match="needs more than 2 looks; end it earlier"):
        play(_MEI)


def test_a_run_that_looks_once_a_day_sends_late_and_nothing_twice(play):
    once = _happened(play("    every: 1d" + _MEI, starts="2026-03-02 12:00"))
    assert [line for line in once if "send" in line] == [
        "mei 2026-03-03 12:00 send push-1",
        "mei 2026-03-04 12:00 send sms-2",
    ]


# --- the fixture for adopters -------------------------------------------------------------------------------


def test_a_project_of_an_adopter_tests_its_scenarios(tmp_path: Path):
    _growth(tmp_path)
    journey = tmp_path / "growth/journeys/settled-30d.yaml"
    journey.write_text(journey.read_text().replace("wait: 3d", "wait: 4d"))
    (tmp_path / "pytest.ini").write_text("[pytest]\nrecall_project = growth\n")
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["recall.testing"]\n')
    (tmp_path / "test_growth.py").write_text("def test_every_scenario(scenario):\n    scenario.check()\n")
    done = _pytest(tmp_path)
    assert "1 failed, 1 passed" in done
    assert "at another time: mei 2026-03-05 09:00 send sms-2, but it was 2026-03-06 09:00" in done
    journey.write_text("schema: recall.journey/v1\n")
    assert "settled-30d.yaml:1" in _pytest(tmp_path)


def _pytest(folder: Path) -> str:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-header"]
    alone = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=folder, env=alone, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_a_whole_project_is_checked_without_fixtures(tmp_path: Path):
    _growth(tmp_path)
    check_scenarios(tmp_path / "growth")
    journey = tmp_path / "growth/journeys/settled-30d.yaml"
    journey.write_text(journey.read_text().replace("{push: come-back}", "{sms: come-back}"))
    with pytest.raises(pytest.fail.Exception, match=r"settled-30d: who borrows again hears nothing more: missing: mei"):
        check_scenarios(str(tmp_path / "growth"), "settled-30d")


def _growth(folder: Path) -> None:
    for name, content in files_of(["settled-30d"]).items():
        path = folder / "growth" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
