"""Can a person check, read, compare, try out and publish a journey, and does each refusal say what to do?"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from journeys.project import SHIPPED

JOURNEY = Path("journeys/settled-30d.yaml")


def _write(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


# --- lint -----------------------------------------------------------------------------------------------


def test_a_new_project_has_no_problems(growth):
    answer = growth.recall("journey", "lint")
    assert answer.code == 0
    assert answer.out.endswith("No problems, 1 warning.\n")  # the brand is still the example's


def test_warnings_count_where_they_are_asked_to(growth):
    assert growth.recall("journey", "lint", "--strict").code == 1


def test_a_text_no_gateway_takes_is_told_before_anything_is_sent(growth, monkeypatch: pytest.MonkeyPatch):
    options = {"sms-cn": {"kind": "http_gateway", "profile": "cn-106"}}
    monkeypatch.setenv("RECALL_PROVIDER_OPTIONS", json.dumps(options))
    policies = Path("policies")
    policies.mkdir(exist_ok=True)
    shipped = (SHIPPED / "policies" / "cn-consumer-finance.yaml").read_text()
    (policies / "cn-consumer-finance.yaml").write_text(
        shipped.replace("sms: {providers: [outbox]", "sms: {providers: [sms-cn]")
    )
    first = growth.recall("journey", "lint", "--json")
    told = [each for each in first.data["problems"] if each["file"] == "templates/come-back.yaml"]
    assert [(each["where"], each["severity"]) for each in told] == [("sms.en", "warning")]
    assert "provider sms-cn" in told[0]["message"]
    assert first.code == 0
    _write(Path("templates/come-back.yaml"), "【{{ brand }}】您的借款已结清", "您的借款已结清")
    worse = growth.recall("journey", "lint")
    assert worse.code == 1
    assert "does not begin with the brand, once" in worse.out
    assert "begin with 【{{ brand }}】" in worse.out


def test_a_problem_is_told_with_file_line_and_what_to_write(growth):
    _write(JOURNEY, "wait: 3d", "wait: 0d")
    answer = growth.recall("journey", "lint", "--all")
    assert answer.code == 1
    assert "journeys/settled-30d.yaml:15 [steps[1].wait]: a zero duration does nothing -> leave it out" in answer.out


def test_with_json_each_problem_is_an_object(growth):
    _write(JOURNEY, "policy: cn-consumer-finance", "policy: cn")
    data = growth.recall("journey", "lint", "--json").data
    assert data["ok"] is False
    assert {"file": "journeys/settled-30d.yaml", "line": 4}.items() <= data["problems"][0].items()


def test_one_file_is_checked_with_its_project_and_without_the_problems_of_others(growth):
    Path("journeys/other.yaml").write_text("schema: recall.journey/v1\nid: other\n")
    _write(JOURNEY, "percent: 10", "percent: 100")
    answer = growth.recall("journey", "lint", "journeys/other.yaml")
    assert answer.code == 1
    assert "settled-30d" not in answer.out
    assert "journeys/other.yaml" in answer.out


def test_where_another_file_stands_in_the_way_it_is_told(growth):
    Path("templates/come-back.yaml").write_text("schema: recall.template/v1\n")
    answer = growth.recall("journey", "lint", JOURNEY)
    assert answer.code == 1
    assert "templates/come-back.yaml" in answer.out


def test_a_folder_without_journeys_says_how_to_make_one(recall):
    answer = recall("journey", "lint")
    assert answer.code == 1
    assert "recall init DIR" in answer.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.yaml"], "does not exist"),
        (["README.md"], "lies in none of the folders"),
        (["journeys/settled-30d.yaml", "--all"], "not both"),
        (["journeys/settled-30d.yaml", "--shipped"], "not both"),
    ],
)
def test_lint_misused_says_how_to_use_it(growth, arguments, said):
    answer = growth.recall("journey", "lint", *arguments)
    assert answer.code == 2
    assert said in answer.err


@pytest.mark.parametrize("words", [["--shipped"], [], ["journeys/settled-30d.yaml"]])
def test_linting_imports_no_heavy_library_also_where_there_is_a_store(growth, words):
    heavy = {"prefect", "pandas", "sqlalchemy", "scipy", "statsmodels", "matplotlib", "phonenumbers", "rich.console"}
    program = (
        "import sys; from recall.cli.main import run; "
        f"code = run(['journey', 'lint', '--database', '{growth.scene.store.engine.url}', *{words}]); "
        "print(code, *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    code, *modules = done.stdout.splitlines()[-1].split()
    assert code == "0"
    assert heavy.isdisjoint(modules)


# --- show, list, schema ------------------------------------------------------------------------------------


def test_a_journey_is_read_aloud(growth):
    out = growth.recall("journey", "show", "settled-30d").out
    assert "did loan_settled, the latest between 30d and 60d ago and did not loan_drawn since loan_settled" in out
    assert "  push come-back  [push-1]\n  wait 3d\n  sms come-back  [sms-2]" in out
    assert "Not published yet." in out


def test_else_arms_branches_and_outcomes_stand_below_their_step(recall):
    recall("init", "growth", "--journey", "application-3d", "--journey", "granted-7d", "--journey", "lapsed-28d")
    call = recall("journey", "show", "application-3d", "--project", "growth").out
    assert "    else sms finish-application" in call
    assert "    answered interested:\n      task finish-application  [task-4]" in call
    assert "    when clicked sms-2\n" in recall("journey", "show", "granted-7d", "--project", "growth").out
    assert " %\n" in recall("journey", "show", "lapsed-28d", "--project", "growth").out


def test_every_shipped_journey_can_be_shown(recall):
    shipped = recall("journey", "list", "--shipped", "--json").data["journeys"]
    assert len(shipped) >= 10
    for row in shipped:
        assert f"{row['journey']}: {row['title']}" in recall("journey", "show", row["journey"], "--shipped").out


def test_published_versions_are_listed_with_who_and_when(published):
    [version] = published.recall("journey", "show", "settled-30d", "--json").data["versions"]
    assert (version["version"], version["published"], version["current"]) == (1, "2026-03-02 02:00 UTC", "current")


def test_the_list_says_which_files_differ_from_what_is_published(published):
    def states():
        return [row["published"] for row in published.recall("journey", "list", "--json").data["journeys"]]

    assert states() == ["version 1"]
    _write(JOURNEY, "wait: 3d", "wait: 4d")
    assert states() == ["version 1, the file differs"]
    JOURNEY.unlink()
    Path("journeys/settled-30d.scenarios.yaml").unlink()
    assert states() == ["version 1, no file"]


def test_looking_at_files_makes_no_store(recall, tmp_path: Path):
    recall("init", ".")
    for arguments in (["list"], ["show", "settled-30d"], ["lint"], ["test"]):
        assert recall("journey", *arguments).code == 0
    assert not (tmp_path / "var").exists()


@pytest.mark.parametrize("kind", ["journey", "policy", "template", "segment", "scenarios"])
def test_each_kind_of_file_has_a_schema(recall, kind):
    assert json.loads(recall("journey", "schema", kind).out)["title"].startswith("recall.")


def test_an_unknown_journey_is_told_with_those_there_are(growth):
    answer = growth.recall("journey", "show", "setled-30d")
    assert answer.code == 1
    assert "there is no journey 'setled-30d' in journeys; there are: settled-30d" in answer.err


# --- diff -------------------------------------------------------------------------------------------------


def test_a_file_is_compared_with_what_is_published(published):
    assert "say the same" in published.recall("journey", "diff", "settled-30d").out
    _write(JOURNEY, "wait: 3d", "wait: 4d")
    answer = published.recall("journey", "diff", "settled-30d")
    assert answer.code == 0
    assert "-  wait 3d\n+  wait 4d\n" in answer.out
    assert "@@" not in answer.out


def test_two_versions_are_compared_texts_included(published):
    _write(Path("templates/come-back.yaml"), "您的额度仍然可用", "欢迎回来")
    published.recall("journey", "publish", "settled-30d")
    data = published.recall("journey", "diff", "settled-30d@1", "settled-30d@2", "--json").data
    assert data["equal"] is False
    assert "+come-back push zh-CN title: 欢迎回来" in data["differences"]
    back = published.recall("journey", "diff", "settled-30d@published", "settled-30d@1").out
    assert "+come-back push zh-CN title: 您的额度仍然可用" in back


@pytest.mark.parametrize(
    ("a", "code", "said"),
    [
        ("settled-30d@2", 1, "settled-30d has no version 2; there are: 1"),
        ("settled-30d@new", 2, "write ID for the file, ID@2 for version 2"),
        ("setled-30d@1", 1, "no journey 'setled-30d' is published; run `recall journey publish setled-30d`"),
    ],
)
def test_what_cannot_be_compared_is_told(published, a, code, said):
    answer = published.recall("journey", "diff", a)
    assert answer.code == code
    assert said in answer.err


def test_without_a_store_nothing_is_published_and_none_is_made(recall, tmp_path: Path):
    recall("init", ".")
    answer = recall("journey", "diff", "settled-30d")
    assert answer.code == 1
    assert "no journey 'settled-30d' is published" in answer.err
    assert not (tmp_path / "var").exists()


# --- test -------------------------------------------------------------------------------------------------


def test_the_scenarios_of_a_new_project_are_as_expected(growth):
    answer = growth.recall("journey", "test")
    assert answer.code == 0
    assert "ok   settled-30d: who borrows again hears nothing more" in answer.out
    assert "no surprises." in answer.out


def test_a_difference_is_told_and_ends_with_1(growth):
    _write(JOURNEY, "wait: 3d", "wait: 4d")
    answer = growth.recall("journey", "test", "settled-30d")
    assert answer.code == 1
    assert "at another time: mei 2026-03-05 09:00 send sms-2, but it was 2026-03-06 09:00" in answer.out
    data = growth.recall("journey", "test", "settled-30d", "--json").data
    assert data["ok"] is False
    assert "mei 2026-03-06 09:00 send sms-2" in data["scenarios"][0]["happened"]


def test_a_journey_without_scenarios_says_where_to_write_them(growth):
    answer = growth.recall("journey", "test", "granted-7d")
    assert answer.code == 1
    assert "write journeys/granted-7d.scenarios.yaml" in answer.err
    Path("journeys/settled-30d.scenarios.yaml").unlink()
    assert "there are no scenarios yet" in growth.recall("journey", "test").err


def test_a_project_with_problems_is_not_played(growth):
    _write(JOURNEY, "wait: 3d", "wait: 0d")
    answer = growth.recall("journey", "test")
    assert answer.code == 1
    assert "journeys/settled-30d.yaml:15" in answer.err


# --- publish ----------------------------------------------------------------------------------------------


def test_publishing_tells_versions_and_policies(growth):
    answer = growth.recall("journey", "publish", "settled-30d")
    assert answer.code == 0
    assert "settled-30d is published as version 1." in answer.out
    assert "Policy cn-consumer-finance is in force now" in answer.out
    again = growth.recall("journey", "publish", "--all", "--json").data
    assert again == {"new": [], "unchanged": ["settled-30d"], "policies": [], "left": []}
    assert [verb for verb, _, _ in growth.actions()] == ["publish policy", "publish journey"]


def test_a_lint_error_publishes_nothing(growth):
    _write(JOURNEY, "percent: 10", "percent: 100")
    answer = growth.recall("journey", "publish", "--all")
    assert answer.code == 1
    assert "everybody is held out" in answer.err
    assert growth.actions() == []


@pytest.mark.parametrize("arguments", [[], ["settled-30d", "--all"]])
def test_what_to_publish_is_said_once(growth, arguments):
    answer = growth.recall("journey", "publish", *arguments)
    assert answer.code == 2
    assert "recall journey publish --all" in answer.err


def test_an_unknown_journey_is_not_published(growth):
    answer = growth.recall("journey", "publish", "setled-30d")
    assert answer.code == 1
    assert "there is no journey 'setled-30d' in this project; there are: settled-30d" in answer.err


def test_publishing_needs_a_store_and_says_how_to_make_one(recall):
    recall("init", ".")
    answer = recall("journey", "publish", "--all")
    assert answer.code == 1
    assert "run `recall db migrate`" in answer.err


def test_a_version_that_needs_approval_says_that_it_waits(growth):
    _write(JOURNEY, "policy: cn", "approval: true\npolicy: cn")
    assert "until a person approves" in growth.recall("journey", "publish", "--all").out
