"""Does every line live in its room? The rules of the house that a machine can check."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import click
import pytest
import yaml

from journeys.project import compile_project, shipped_project
from recall.cli.main import cli

ROOT = Path(__file__).parent.parent
ROOMS = ("flows", "tasks", "journeys", "providers", "recall")

# Whom each room may import beside itself; a file belongs to the longest name that fits.
_GROUND = {"recall", "recall.settings", "recall.errors", "recall.clock"}
_RULES = {"journeys", *_GROUND}
_STORE = {"recall.store", *_RULES}
_ENGINE = {"providers", "recall.measure", *_STORE}
_TASKS = {"recall.engine", "recall.intake", *_ENGINE}
_FLOWS = {"tasks", *_TASKS}
MAY_IMPORT = {
    "recall": set[str](),
    "recall.settings": _GROUND,
    "recall.errors": _GROUND,
    "recall.clock": _GROUND,
    "recall.testing": {"recall.engine", *_ENGINE},  # for the tests of adopters; nothing of ours imports it
    "journeys": _GROUND,
    "providers": _RULES,
    "recall.store": _RULES,
    "recall.measure": _STORE,
    "recall.engine": _ENGINE,
    "recall.intake": _ENGINE,
    "tasks": _TASKS,
    "recall.web": _TASKS,
    "flows": _FLOWS,
    "recall.cli": {"flows", "recall.web", *_FLOWS},
}

# Who may name what comes from outside: a room, or one file.
ONLY_IN = {
    "prefect": {"flows", "tasks"},
    "sqlalchemy": {"recall.store"},
    "alembic": {"recall.store.migrations"},
    "psycopg": {"recall.store"},
    "pandas": {"recall.measure", "recall.intake"},
    "twilio": {"providers.twilio_account", "providers.twilio_webhooks", "providers.twilio_voice"},
    "sendgrid": {"providers.sendgrid_email", "providers.sendgrid_events"},
    "firebase_admin": set(),  # an oracle of tests only
    "httptools": set(),  # HTTP is spoken by aiohttp: even where it is slower, nobody here writes a client by hand
    "h11": set(),
    "google": {"providers.fcm_push"},
    "fastapi": {"recall.web"},
    "starlette": {"recall.web"},
    "click": {"recall.cli"},
    "rich": {"recall.cli"},
}

# The only doors that may import flows or tasks, and only inside a function: `import prefect` costs about 2 s.
STARTS_FLOWS = {f"recall.cli.{verb}" for verb in ("up", "demo", "deploy", "run")}

WALL_CLOCK = {
    "datetime.now",
    "datetime.today",
    "datetime.utcnow",
    "date.today",
    "time.time",
    "time.time_ns",
    "time.localtime",
    "time.gmtime",
}
JUNK_DRAWERS = {"utils", "util", "helpers", "common", "misc", "manager", "service", "handler", "core"}


@dataclass(frozen=True)
class Module:
    """One file of ours, parsed."""

    name: str
    path: Path
    tree: ast.Module

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Import:
    """One imported module, where, and whether only when a function runs."""

    target: str
    line: int
    lazy: bool


@cache
def _modules() -> tuple[Module, ...]:
    paths = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
    return tuple(Module(_name(path), path, ast.parse(path.read_text())) for path in paths)


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(module: Module) -> Iterator[Import]:
    """Every import, with `from package import module` resolved to the module when it is one of ours."""
    ours = {each.name for each in _modules()}
    inside = {
        id(node)
        for function in ast.walk(module.tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
    }
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: write imports out in full"
            full = [f"{node.module}.{alias.name}" for alias in node.names]
            targets = [name if name in ours else str(node.module) for name in full]
        else:
            continue
        yield from (Import(target, node.lineno, id(node) in inside) for target in targets)


def _within(name: str, room: str) -> bool:
    return name == room or name.startswith(f"{room}.")


def _room(name: str) -> str:
    return max((room for room in MAY_IMPORT if _within(name, room)), key=len)


def _complaints_about(module: Module) -> Iterator[str]:
    room = _room(module.name)
    for found in _imports(module):
        where = f"{module.path.relative_to(ROOT)}:{found.line}"
        top = found.target.split(".")[0]
        if top in ROOMS:
            target = _room(found.target)
            if target != room and target not in MAY_IMPORT[room]:
                yield f"{where}: {room} may not import {found.target}"
            starts = module.name in STARTS_FLOWS and found.lazy
            if room == "recall.cli" and target in {"flows", "tasks"} and not starts:
                yield f"{where}: only up, demo, deploy and run import flows, inside a function"
        elif top in ONLY_IN and not any(_within(module.name, home) for home in ONLY_IN[top]):
            yield f"{where}: only {', '.join(sorted(ONLY_IN[top]))} may name {top}"


@pytest.mark.parametrize("module", _modules(), ids=str)
def test_imports_go_down_only_and_each_library_has_its_room(module: Module):
    assert list(_complaints_about(module)) == []


@pytest.mark.parametrize("module", _modules(), ids=str)
def test_each_file_begins_with_what_it_answers(module: Module):
    assert ast.get_docstring(module.tree), f"{module.path.relative_to(ROOT)} has no docstring"


def test_no_file_is_a_junk_drawer():
    assert [module.name for module in _modules() if module.name.split(".")[-1] in JUNK_DRAWERS] == []


@pytest.mark.parametrize("module", [each for each in _modules() if each.name != "recall.clock"], ids=str)
def test_only_the_clock_reads_the_wall_clock(module: Module):
    assert [use for use in _names_used(module) if use[0] in WALL_CLOCK] == []


@pytest.mark.parametrize("module", [each for each in _modules() if each.name != "recall.settings"], ids=str)
def test_only_the_settings_read_the_environment(module: Module):
    environment = {"os.environ", "os.environb", "os.getenv", "os.putenv"}
    assert [use for use in _names_used(module) if use[0] in environment] == []


@pytest.mark.parametrize("module", _modules(), ids=str)
def test_nobody_draws_from_the_shared_random_generator(module: Module):
    """Chance has a seed and an owner (`random.Random`) or is a secret (`secrets`)."""
    uses = [use for use in _names_used(module) if use[0].startswith("random.")]
    assert [use for use in uses if use[0] not in {"random.Random", "random.SystemRandom"}] == []


def _names_used(module: Module) -> Iterator[tuple[str, int]]:
    """Dotted names as they are outside, whatever they were imported as: `datetime.now` for all its spellings."""
    known = _outside_names(module)
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute | ast.Name):
            head, *rest = ast.unparse(node).split(".")
            if head in known:
                name = ".".join([known[head], *rest])
                yield name.removeprefix("datetime.") if name.count(".") > 1 else name, node.lineno


def _outside_names(module: Module) -> dict[str, str]:
    """Local name -> real name, for what is imported from the standard library's os, time, datetime, random."""
    watched = {"os", "time", "datetime", "random"}
    known = {}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            known |= {alias.asname or alias.name: alias.name for alias in node.names if alias.name in watched}
        elif isinstance(node, ast.ImportFrom) and node.module in watched:
            prefix = "" if node.module == "datetime" else f"{node.module}."
            known |= {alias.asname or alias.name: f"{prefix}{alias.name}" for alias in node.names}
    return known


def test_the_rules_above_see_what_they_forbid():
    """Each checker, held against a file that breaks it in several spellings."""
    source = """
import datetime as dt, os, random
from datetime import datetime as moment
from os import environ as e
from time import time_ns
def f():
    import prefect.flows
    from recall import engine
    dt.datetime.now(); moment.now(); time_ns(); os.environ; e; random.random(); dt.date.today()
"""
    module = Module("journeys.bad", ROOT / "journeys" / "bad.py", ast.parse(source))
    names = {name for name, _ in _names_used(module)}
    assert {"datetime.now", "time.time_ns", "os.environ", "random.random", "date.today"} <= names
    assert [text.split(": ")[1] for text in _complaints_about(module)] == [
        "only flows, tasks may name prefect",
        "journeys may not import recall.engine",
    ]


def test_pyproject_lists_exactly_the_packages_there_are():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    there = {_name(path) for room in ROOMS for path in (ROOT / room).rglob("__init__.py")}
    assert sorted(listed) == sorted(there)


def test_no_folder_of_tests_hides_a_package():
    assert list((ROOT / "tests").rglob("__init__.py")) == []


def test_the_lock_names_no_index_and_no_path():
    line = re.compile(r"[a-zA-Z0-9._-]+(\[[a-z0-9,-]+\])?==\S+( ; [^\\]+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?")
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    assert [text for text in lines if not line.fullmatch(text)] == []


def test_every_entrypoint_of_prefect_yaml_is_a_module_path_that_resolves():
    path = ROOT / "prefect.yaml"
    deployments = yaml.safe_load(path.read_text())["deployments"] if path.exists() else []
    for deployment in deployments:
        assert re.fullmatch(r"flows(\.\w+)+", deployment["entrypoint"]), "a file path would load a second module"
        module, _, name = deployment["entrypoint"].rpartition(".")
        source = (ROOT / module.replace(".", "/")).with_suffix(".py")
        functions = [
            n for n in ast.parse(source.read_text()).body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
        ]
        assert name in [function.name for function in functions]


def test_help_and_lint_wait_for_no_heavy_library():
    """`recall --help` answers in half a second; each of these costs more than that, or nearly."""
    heavy = {"prefect", "pandas", "matplotlib", "statsmodels", "scipy", "phonenumbers", "sqlalchemy", "holidays"}
    program = "import sys, recall.cli.main, importlib; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert heavy.isdisjoint(run.stdout.split())


def test_every_shipped_journey_policy_and_template_is_without_error():
    shipped = shipped_project()
    assert compile_project(shipped).keys() == shipped.journeys.keys()
    assert shipped.journeys
    assert shipped.policies


def test_the_readme_names_exactly_the_verbs_there_are():
    table = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("| `recall ")]
    named = {verb for line in table for verb in re.findall(r"`recall ([a-z-]+)", line)}
    assert named == set(cli.list_commands(click.Context(cli)))


def test_no_document_links_to_what_is_not_there():
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    targets = [
        (each, link) for each in documents for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", each.read_text())
    ]
    assert [f"{each.name}: {link}" for each, link in targets if not (each.parent / link).exists()] == []
