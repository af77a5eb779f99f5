"""What may be typed after `recall`? Each verb is imported only when it is used, so that `--help` is quick."""

from __future__ import annotations

import gc
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import click

from recall import __version__
from recall.cli.context import App
from recall.cli.rooms import check_rooms
from recall.errors import Misconfigured, RecallError

PERSON_NEEDED = 1
MISUSE = 2
INTERRUPTED = 130
# Starting makes a hundred thousand objects that stay; to walk them after each 700 (Python's own) takes a tenth of it.
_COLLECT_AFTER = 20_000


class Verb(NamedTuple):
    where: str  # module:attribute under recall.cli
    help: str


VERBS = {
    "init": Verb("init:init", "Make a project folder with a first journey."),
    "import": Verb("import_:import_group", "Read users, events, consents, suppressions from files."),
    "journey": Verb("journey:journey", "Check, show, test and publish journeys."),
    "deploy": Verb("deploy:deploy", "Hand the journeys' schedules to Prefect."),
    "run": Verb("run:run", "Send what is due now."),
    "explain": Verb("explain:explain", "Why did this user get, or not get, a message?"),
    "replay": Verb("replay:replay", "Send again what was refused, not sent or skipped."),
    "reconcile": Verb("reconcile:reconcile", "Look for evidence of sends in doubt."),
    "recover": Verb("recover:recover", "After a restored backup: learn what was really sent."),
    "review": Verb("review:review", "Yesterday's look, or the weekly page: did it work?"),
    "measure": Verb("measure:measure", "Compare arms, contacts and splits, with intervals."),
    "simulate": Verb("simulate:simulate", "Run journeys on simulated people and a virtual clock."),
    "pause": Verb("controls:pause", "Stop sending for one journey."),
    "resume": Verb("controls:resume", "Go on sending for a paused journey."),
    "kill-switch": Verb("controls:kill_switch", "Stop, or allow, everything that is sent."),
    "suppress": Verb("controls:suppress", "Never message this user again."),
    "unsuppress": Verb("controls:unsuppress", "Take a suppression of this user back."),
    "dossier": Verb("person:dossier", "Show everything held about a user."),
    "erase": Verb("person:erase", "Forget a user, but for a hash that keeps them from being messaged."),
    "provider": Verb("provider:provider", "List and check providers; send a test message."),
    "inbox": Verb("inbox:inbox", "Replies a person must read: do they mean stop?"),
    "task": Verb("task:task", "What people of ours have to do, and what came of it."),
    "db": Verb("db:db", "Migrate, check or back up the store."),
    "doctor": Verb("doctor:doctor", "Is this installation fit to send?"),
    "serve": Verb("serve:serve", "Take webhooks, clicks, opt-outs and events; settle doubts."),
    "demo": Verb("demo:demo", "See the whole job once, on simulated people."),
    "up": Verb("up:up", "Start Prefect server and worker on this machine."),
}


class Verbs(click.Group):
    """The verbs that are installed; help comes from the list above, code only when a verb is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name in VERBS if find_spec(_module(name))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        command = getattr(import_module(_module(cmd_name)), VERBS[cmd_name].where.partition(":")[2])
        return _with_shared_options(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(name, VERBS[name].help) for name in self.list_commands(ctx)])


def _module(verb: str) -> str:
    return f"recall.cli.{VERBS[verb].where.partition(':')[0]}"


def _project(ctx: click.Context, _: click.Parameter, value: Path | None) -> None:
    if value is not None:
        ctx.ensure_object(App).project = value


def _database(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.ensure_object(App).database = value


def _json(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        ctx.ensure_object(App).output.as_json = True


def _shared_options() -> list[click.Option]:
    """Options that may stand before or after the verb."""
    folder = click.Path(exists=True, file_okay=False, path_type=Path)
    return [
        click.Option(["--project"], type=folder, expose_value=False, callback=_project, help="Project folder [here]."),
        click.Option(["--database"], metavar="URL", expose_value=False, callback=_database, help="Another store."),
        click.Option(["--json"], is_flag=True, expose_value=False, callback=_json, help="One JSON object on stdout."),
    ]


def _with_shared_options(command: click.Command) -> click.Command:
    """Give every leaf the shared options; a leaf's own option of the same name wins."""
    if isinstance(command, click.Group):
        for name, sub in list(command.commands.items()):
            command.add_command(_with_shared_options(sub), name)
        return command
    own = {option for param in command.params for option in param.opts}
    command.params += [option for option in _shared_options() if own.isdisjoint(option.opts)]
    return command


@click.group(cls=Verbs, params=_shared_options(), epilog="Each verb explains itself: recall VERB --help")
@click.version_option(__version__, prog_name="recall")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Brings dormant users back, and can prove that it did."""
    ctx.ensure_object(App)
    check_rooms()
    import_module("recall.settings")  # before the first model of pydantic is built; it says there what for


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one verb and exit: 0 all is well, 1 a person is needed, 2 misuse."""
    gc.set_threshold(_COLLECT_AFTER)
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns its exit code and never raises. A verb may return 1 when a person is needed."""
    app = App()
    try:
        code: Any = cli.main(args=arguments, prog_name="recall", standalone_mode=False, obj=app)
    except click.exceptions.Abort:
        app.output.remark("recall: interrupted")
        return INTERRUPTED
    except click.ClickException as error:
        error.show()
        return MISUSE
    except (Misconfigured, RecallError) as error:
        app.output.fail(str(error))
        return PERSON_NEEDED
    except OSError as error:
        app.output.fail(f"{error.strerror or type(error).__name__}: {error.filename or 'no file named'}")
        return PERSON_NEEDED
    except Exception as error:  # the outermost door: a text nobody foresaw may hold personal data, so only its type
        return _unforeseen(app, error)
    return code if type(code) is int else 0


def _unforeseen(app: App, error: Exception) -> int:
    if _wants_traceback(app):
        traceback.print_exception(error)
    app.output.fail(
        f"stopped by something unforeseen ({type(error).__name__}); what was committed stays, and running again is "
        "safe. RECALL_LOG_LEVEL=DEBUG shows where"
    )
    return PERSON_NEEDED


def _wants_traceback(app: App) -> bool:
    try:
        return app.settings.log_level.upper() == "DEBUG"
    except Exception:  # the settings themselves may be what is broken
        return False


if __name__ == "__main__":
    main()
