"""Which ways to reach people are there, do they work, and does a message arrive?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from journeys.words import AddressKind, Channel, Outcome
from recall.cli.context import App, pass_app
from recall.cli.output import table
from recall.errors import Misconfigured
from recall.settings import Mode

if TYPE_CHECKING:
    from providers.base import Address, Provider

PERSON_NEEDED = 1


@click.group()
def provider() -> None:
    """The ways to reach people: list them, check them, send a test message."""


@provider.command("list")
@pass_app
def list_(app: App) -> None:
    """List every provider by name: its kind, whether it is set up, and what it can do.

    \b
    Example:
      recall provider list
    """
    from providers.registry import KINDS

    names = sorted({*KINDS, *app.settings.provider_options})
    data = [_described(app, name) for name in names]
    columns = ["name", "kind", "channel", "set up", "per request", "doubts", "tells", "per second", "to do"]
    rows = [[str(row[column]) for column in columns] for row in data]
    app.output.answer({"providers": data}, table(columns, rows))


def _described(app: App, name: str) -> dict[str, Any]:
    from providers.registry import kind_of, open_provider

    row: dict[str, Any] = {"name": name, "kind": kind_of(name, app.settings), "channel": "", "set up": "no"}
    row |= {"per request": "", "doubts": "", "tells": "", "per second": "", "to do": ""}
    try:
        opened = open_provider(name, app.settings)
    except Misconfigured as error:
        return {**row, "to do": str(error)}
    caps = opened.caps
    tells = [word for word, does in (("delivered", caps.reports_delivery), ("opened", caps.reports_open)) if does]
    channel = _channel_of(app, name, opened)
    return {
        **row,
        "channel": channel.value if channel else "all",
        "set up": "yes",
        "per request": caps.max_batch,
        "doubts": caps.reconcile.value,
        "tells": " ".join(tells),
        "per second": f"{caps.per_second:g}" if caps.per_second else "",
    }


def _channel_of(app: App, name: str, opened: Provider) -> Channel | None:
    """What it sends; None for those that take every channel."""
    from providers.registry import CHANNELS, kind_of

    profile = getattr(opened, "profile", None)
    return profile.channel if profile is not None else CHANNELS.get(kind_of(name, app.settings))


@provider.command()
@click.argument("names", nargs=-1, metavar="[NAME]…")
@pass_app
def check(app: App, names: tuple[str, ...]) -> int:
    """Would sending work? Credentials, sender, balance, webhook of each NAME, or of all that have options.

    Nothing is sent. Exit code 1 when something needs a person.

    \b
    Example:
      recall provider check sendgrid_email
    """
    from providers.registry import open_provider
    from recall.engine.dispatch import Dispatcher

    wanted = names or tuple(sorted(app.settings.provider_options))
    if not wanted:
        raise Misconfigured("no provider has options; name one, or set RECALL_PROVIDER_OPTIONS")
    dispatcher = Dispatcher()
    data: list[dict[str, Any]] = []
    for name in wanted:
        try:
            opened = open_provider(name, app.settings)
        except Misconfigured as error:
            data.append({"provider": name, "check": "options", "ok": False, "detail": str(error)})
            continue
        preflight = dispatcher.run(opened.preflight())
        dispatcher.run(opened.close())
        data += [
            {"provider": name, "check": each.name, "ok": each.ok, "detail": each.detail} for each in preflight.checks
        ]
    fit = all(row["ok"] for row in data)
    rows = [["ok" if row["ok"] else "PROBLEM", row["provider"], row["check"], row["detail"]] for row in data]
    app.output.answer({"ok": fit, "checks": data}, table(["", "provider", "what", "found"], rows))
    return 0 if fit else PERSON_NEEDED


@provider.command("send-test")
@click.argument("name")
@click.option("--to", "to", required=True, metavar="ADDRESS", help="Your own phone, e-mail address or device token.")
@click.option("--channel", type=click.Choice([each.value for each in Channel]), help="Where a provider has several.")
@click.option("--template", help="A template of the project instead of the test text.")
@click.option("--value", "values", multiple=True, metavar="NAME=TEXT", help="A value the template needs.")
@click.option("--locale", default="", help="Of the template's texts.")
@click.option("--text", default="", help="Another text, where a vendor wants certain words.")
@click.option("--sender", default="", help="Another sender than the provider's own.")
@click.option("--yes", is_flag=True, help="Yes, send a real message.")
@pass_app
def send_test(
    app: App,
    name: str,
    to: str,
    channel: str | None,
    template: str | None,
    values: tuple[str, ...],
    locale: str,
    text: str,
    sender: str,
    yes: bool,
) -> int:
    """Send one message to ADDRESS, by the same code that carries journeys' messages.

    A real message is only sent with --yes, and never to who said stop. In rehearsal mode it goes to the outbox, in
    dry-run mode nowhere. Exit code 1 unless the vendor took it.

    \b
    Example:
      recall provider send-test sendgrid_email --to me@example.com --template come-back --value first_name=Li --yes
    """
    from providers.base import Content
    from providers.registry import open_provider
    from recall.engine.trial import TEXT, TITLE, Letter, content_of, kind_for, refuse_unwanted
    from recall.engine.trial import send_test as send_one

    if template and text:
        raise click.UsageError("give --template or --text, not both")
    opened = open_provider(name, app.settings)
    meant = Channel(channel) if channel else _channel_of(app, name, opened) or Channel.SMS
    own = _channel_of(app, name, opened)
    if own is not None and own is not meant:
        raise Misconfigured(f"{name} sends {own}, not {meant}")
    address = _address(app, kind_for(meant), to)
    if template:
        content = content_of(app.settings.project_dir, template, meant, _pairs(values), locale=locale)
    else:
        content = Content(text or TEXT, "" if meant in (Channel.SMS, Channel.CALL) else TITLE, locale=locale)
    letter = Letter(meant, address, content, sender)
    if app.settings.mode is Mode.REHEARSAL:
        opened = open_provider("outbox", app.settings)
    refuse_unwanted(app.store, opened, letter)
    if app.settings.mode is Mode.DRY_RUN:
        app.output.answer({"provider": name, "outcome": "dry_run"}, "Dry run: nothing was sent.")
        return 0
    if not yes and not opened.caps.simulated:
        raise Misconfigured(f"this would send a real {meant} message through {name}; say --yes if you mean it")
    result = send_one(app.store, app.settings, opened, letter, who=app.who, now=app.clock.now())
    data = {
        "provider": opened.name,
        "ref": result.ref,
        "outcome": result.outcome.value,
        "cause": result.cause.value if result.cause else "",
        "code": result.code,
        "provider_id": result.provider_id,
    }
    why = f" ({' '.join(filter(None, (data['cause'], result.code)))})" if result.outcome is not Outcome.ACCEPTED else ""
    app.output.answer(data, f"{opened.name}: {result.outcome}{why}, ref {result.ref}")
    return 0 if result.outcome is Outcome.ACCEPTED else PERSON_NEEDED


def _pairs(values: tuple[str, ...]) -> dict[str, str]:
    pairs = [value.partition("=") for value in values]
    if any(not mark or not name for name, mark, _ in pairs):
        raise click.UsageError("a value is written NAME=TEXT, such as --value first_name=Li")
    return {name: text for name, _, text in pairs}


def _address(app: App, kind: AddressKind, text: str) -> Address:
    """The address, normalised as an import would; the complaint does not show it."""
    from providers.base import Address
    from recall.intake.emails import read_email
    from recall.intake.phones import read_phone
    from recall.intake.reasons import WHAT_TO_DO, Rejected

    try:
        if kind is AddressKind.PHONE:
            phone = read_phone(text, "to", region=app.settings.default_region, landlines=True)
            value = phone.value if phone else ""
        else:
            value = (read_email(text, "to") if kind is AddressKind.EMAIL else text.strip()) or ""
    except Rejected as error:
        raise Misconfigured(f"--to: {WHAT_TO_DO[error.reason]}") from None
    if not value:
        raise Misconfigured("--to is empty; give your own address")
    return Address(kind, value)
