"""Does every call end with an exit code, and a sentence that says what to do next?"""

from __future__ import annotations

import importlib
from pathlib import Path

import click
import pytest

from recall.cli.main import VERBS, Verbs, cli
from recall.errors import BadFile, Misconfigured, Problem, Transient
from recall.store.connect import Store


def test_help_lists_every_verb_that_is_installed(recall):
    answer = recall("--help")
    assert answer.code == 0
    assert all(f"  {verb} " in answer.out for verb in ("db", "doctor", "pause", "kill-switch"))


def _installed() -> list[str]:
    return cli.list_commands(click.Context(cli))


def _leaves() -> list[list[str]]:
    """Every verb, and every verb within a verb."""
    found = []
    for verb in _installed():
        command = cli.get_command(click.Context(cli), verb)
        below = [[verb, name] for name in command.commands] if isinstance(command, click.Group) else []
        found += below or [[verb]]
    return found


@pytest.mark.parametrize("verb", _leaves(), ids=" ".join)
def test_each_verb_explains_itself_with_an_example(verb, recall):
    answer = recall(*verb, "--help")
    assert answer.code == 0
    assert "Example:\n    recall " in answer.out
    assert "--json" in answer.out


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_is_either_whole_or_absent(verb):
    module, _, attribute = VERBS[verb].where.partition(":")
    if verb in _installed():
        assert isinstance(getattr(importlib.import_module(f"recall.cli.{module}"), attribute), click.Command)


def test_an_unknown_verb_is_misuse(recall):
    answer = recall("sned")
    assert (answer.code, answer.out) == (2, "")
    assert "No such command 'sned'" in answer.err


@pytest.fixture
def fails(recall, monkeypatch: pytest.MonkeyPatch):
    """A call of a verb that raises what the test says."""

    def call(error: BaseException, *options: str):
        @click.command()
        def verb() -> None:
            raise error

        monkeypatch.setattr(Verbs, "get_command", lambda *_: verb)
        return recall(*options, "verb")

    return call


@pytest.mark.parametrize(
    "error",
    [
        Misconfigured("run `recall db migrate`"),
        Transient("run `recall db migrate`"),
        BadFile([Problem("a.yaml", 3, "zero wait", "run `recall db migrate`")]),
    ],
)
def test_an_error_we_know_is_told_in_its_own_words(fails, error):
    answer = fails(error)
    assert (answer.code, answer.out) == (1, "")
    assert "run `recall db migrate`" in answer.err
    assert "Traceback" not in answer.err


def test_with_json_an_error_is_an_object_too(fails):
    assert fails(Misconfigured("no store"), "--json").data == {"error": "no store"}


def test_an_unforeseen_error_tells_its_type_but_not_its_text(fails):
    answer = fails(ValueError("Key (phone)=(+8613800138000) already exists"))
    assert answer.code == 1
    assert "ValueError" in answer.err
    assert "138" not in answer.err
    assert "Traceback" not in answer.err


def test_the_traceback_is_there_for_who_asks(fails, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RECALL_LOG_LEVEL", "DEBUG")
    assert "Traceback" in fails(ValueError("deep down")).err


def test_a_missing_file_is_named(fails):
    assert (
        "No such file or directory: users.csv"
        in fails(FileNotFoundError(2, "No such file or directory", "users.csv")).err
    )


def test_an_interrupted_call_ends_like_an_interrupted_program(fails):
    answer = fails(KeyboardInterrupt())
    assert answer.code == 130
    assert "Traceback" not in answer.err


@pytest.mark.parametrize("at", [0, 2])
def test_shared_options_may_stand_before_and_after_the_verb(recall_on, at):
    words = ["db", "check"]
    assert recall_on(*words[:at], "--json", *words[at:]).data["damage"] == []


def test_a_wrong_setting_is_named_without_its_value(recall, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RECALL_MODE", "s3cret")
    answer = recall("db", "check")
    assert answer.code == 1
    assert "RECALL_MODE" in answer.err
    assert "s3cret" not in answer.err


def test_a_project_folder_brings_its_settings_and_keeps_its_data(recall, tmp_path: Path):
    project = tmp_path / "shop"
    project.mkdir()
    (project / ".env").write_text("RECALL_VAR_DIR=data\n")
    assert recall("db", "migrate", "--project", project).code == 0
    assert (project / "data" / "recall.db").exists()


def test_the_database_option_wins(recall, sqlite_store: Store, tmp_path: Path):
    other = tmp_path / "other.db"
    assert recall("--database", f"sqlite:///{other}", "db", "migrate").code == 0
    assert other.exists()


def test_a_store_without_tables_says_how_to_make_them(recall):
    answer = recall("kill-switch")
    assert answer.code == 1
    assert "run `recall db migrate`" in answer.err


def test_a_store_of_another_key_is_refused(recall, monkeypatch: pytest.MonkeyPatch):
    assert recall("db", "migrate").code == 0
    monkeypatch.setenv("RECALL_ADDRESS_KEY", "another")
    assert "address key is not the one" in recall("db", "check").err
