"""How are files read in? Users, events, consents, suppressions and past sends, each with a mapping of columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from recall.cli.context import App, pass_app
from recall.cli.output import table

if TYPE_CHECKING:
    from recall.intake import FileMapping, ImportReport

PERSON_NEEDED = 1
_Command = TypeVar("_Command", bound=Callable[..., Any])
_file = click.argument("file", type=click.Path(exists=True, path_type=Path))


@click.group("import")
def import_group() -> None:
    """Read users, events, consents, suppressions from files.

    Rows that cannot be taken go to a rejects file with line, column and reason (exit code 1); mend it and import it
    with the same options. Importing a file twice adds nothing.

    \b
    Example:
      recall import users users.csv --map user=customer_id --map phone=mobile --region CN
    """


def _pairs(ctx: click.Context, option: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """`NAME=COLUMN` pairs; for extras a lone NAME is the column of that name."""
    pairs: dict[str, str] = {}
    alone = option.name in ("properties", "attributes")
    for value in values:
        name, equals, column = value.partition("=")
        if not name or not (equals or alone):
            raise click.BadParameter(f"{value!r}: write NAME=VALUE", ctx, option)
        if name in pairs:
            raise click.BadParameter(f"{name!r} is given twice", ctx, option)
        pairs[name] = column if equals else name
    return pairs


_SHARED = [
    click.option(
        "--mapping", "mapping_file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="YAML."
    ),
    click.option("--map", multiple=True, callback=_pairs, metavar="FIELD=COLUMN", help="Which column is a field."),
    click.option("--set", multiple=True, callback=_pairs, metavar="FIELD=VALUE", help="The same value in every row."),
    click.option("--zone", help="Zone of times without one, such as Asia/Shanghai."),
    click.option("--times", type=click.Choice(["iso", "epoch_s", "epoch_ms"]), help="How times are written [iso]."),
    click.option("--encoding", help="utf-8, gb18030 or utf-16 [told by the file]."),
    click.option("--delimiter", help="comma ; | tab or whitespace [told by the header]."),
    click.option("--no-header", is_flag=True, help="The first row is data; name the columns with --columns."),
    click.option("--columns", metavar="A,B,C", help="Names of the columns of a file without header."),
    click.option("--multiline", is_flag=True, help="Quoted text may span lines."),
    click.option("--source", help="Name of the source, for freshness and for ids of events."),
    click.option("--as-of", metavar="TIME", help="Up to when the file tells [newest event]."),
    click.option("--rejects", type=click.Path(file_okay=False, path_type=Path), help="Folder for rejects."),
    click.option("--why", default="", help="The reason, kept with your name for the audit."),
]
_region = click.option("--region", metavar="CC", help="Country of phones without country code, such as CN.")
_default_zone = click.option("--default-zone", metavar="ZONE", help="Zone of users of whom nothing tells it.")


def _shared(command: _Command) -> _Command:
    for option in reversed(_SHARED):
        command = option(command)
    return command


@import_group.command("users")
@_file
@click.option(
    "--attribute", "attributes", multiple=True, callback=_pairs, metavar="NAME[=COLUMN]", help="'*': all that is left."
)
@_region
@click.option("--landlines", is_flag=True, help="Take landline phones too (they can be called, not texted).")
@_default_zone
@_shared
@pass_app
def import_users_(app: App, /, file: Path, **options: Any) -> int:
    """Add and change users from FILE, one row each.

    Fields: user (required) phone email push push_kind zone locale jurisdiction is_test created_at updated_at
    proved_at. An empty cell takes a value away; a column that is not mapped leaves what is known. The zone is the
    column's, else the phone's (several are candidates), else --default-zone.

    \b
    Example:
      recall import users users.csv --map user=customer_id --map phone=mobile --region CN --attribute '*'
    """
    from recall.intake import import_users

    return _import(app, file, options, import_users, region=app.settings.default_region)


@import_group.command("events")
@_file
@click.option(
    "--property", "properties", multiple=True, callback=_pairs, metavar="NAME[=COLUMN]", help="'*': all that is left."
)
@click.option("--create-users", is_flag=True, help="Make a user of whoever is not known.")
@_default_zone
@_shared
@pass_app
def import_events_(app: App, /, file: Path, **options: Any) -> int:
    """Add what users did from FILE, one event a row.

    Fields: user name at (required) id. Map the id where the source has one. Without an id an event is known by what
    it says and how often the file said it; then equal rows in two files, or another mapping, cannot be recognised.

    \b
    Example:
      recall import events loans.csv --map user=uid --map at=settled_on --set name=loan_settled --zone Asia/Shanghai
      recall import events cdnow.txt --no-header --columns customer,user,at,cds,amount --delimiter whitespace \\
        --set name=purchased --property amount --zone America/New_York --create-users
    """
    from recall.intake import import_events

    return _import(app, file, options, import_events)


@import_group.command("consents")
@_file
@_shared
@pass_app
def import_consents_(app: App, /, file: Path, **options: Any) -> int:
    """Add consents and withdrawals from FILE.

    Fields: user channel purpose granted at (required) expires_at source wording brand. The newest counts; of two at
    one moment the withdrawal.

    \b
    Example:
      recall import consents sms.csv --map user=uid --map at=agreed --set channel=sms --set purpose=marketing \\
        --set granted=true --zone Asia/Shanghai
    """
    from recall.intake import import_consents

    return _import(app, file, options, import_consents)


@import_group.command("suppressions")
@click.argument("file", type=click.Path(exists=True, path_type=Path), required=False)
@click.option("--none", "none", is_flag=True, help="Declare that there are none; without FILE.")
@click.option("--despite-rejects", is_flag=True, help="Somebody looked at the rejects: declare suppressions known.")
@_region
@_shared
@pass_app
def import_suppressions_(app: App, /, file: Path | None, none: bool, **options: Any) -> int:
    """Keep who must never be messaged from FILE, known to us or not.

    Fields: phone email push user, or kind with value or hash; channel reason at until source brand. Without channel
    every channel is meant. Nothing is sent live until suppressions were imported without rejects, or declared none.

    \b
    Example:
      recall import suppressions stop.csv --map phone=mobile --region CN --set reason=opted_out
      recall import suppressions --none
    """
    if none == (file is not None):
        raise click.UsageError("give a FILE, or --none if there are no suppressions")
    if file is None:
        return _declare_none(app, options["why"])
    from recall.intake import import_suppressions

    despite_rejects = options.pop("despite_rejects")
    region = app.settings.default_region
    return _import(app, file, options, import_suppressions, region=region, despite_rejects=despite_rejects)


def _declare_none(app: App, why: str) -> int:
    from recall.store.controls import record_action
    from recall.store.suppressions import declare_suppressions

    at = app.clock.now()
    with app.store.writing() as connection:
        declare_suppressions(connection, "none", at=at)
        record_action(connection, "declare", "no suppressions", who=app.who, why=why, at=at)
    app.output.answer({"suppressions": "none"}, "Noted with your name: there are no suppressions to import.")
    return 0


@import_group.command("history")
@_file
@_shared
@pass_app
def import_history_(app: App, /, file: Path, **options: Any) -> int:
    """Remember what users were sent before, from FILE, so that caps and rests do not start from nothing.

    Fields: user channel at (required) responded_at brand. The last eight sends of a user and four of each channel
    count; leave out channels your policy does not count.

    \b
    Example:
      recall import history sent.csv --map user=uid --map at=sent_at --set channel=sms --zone Asia/Shanghai
    """
    from recall.intake import import_history

    return _import(app, file, options, import_history)


# --- what all five do -------------------------------------------------------------------------------------


def _import(app: App, /, file: Path, options: dict[str, Any], verb: Callable[..., ImportReport], **more: Any) -> int:
    from recall.intake.loading import plain_name
    from recall.intake.times import read_stated
    from recall.store.controls import record_action

    mapping = _mapping(options)
    as_of, at = options["as_of"], app.clock.now()
    with app.store.writing() as connection:  # before the first row: what an interruption leaves has an author, too
        verb_said = f"import {verb.__name__.removeprefix('import_')}"
        record_action(connection, verb_said, plain_name(file), who=app.who, why=options["why"], at=at)
    with app.output.progress(f"reading {file.name}", file.stat().st_size) as advance:
        report = verb(
            app.store,
            file,
            mapping,
            now=at,
            rejects=options["rejects"] or app.settings.var_dir / "rejects",
            as_of=read_stated(as_of, mapping.time_reading) if as_of else None,
            progress=advance,
            **more,
        )
    _tell(app, report)
    return PERSON_NEEDED if report.rejected else 0


_STATED = (
    *("map", "set", "properties", "attributes", "source", "zone", "times", "default_zone", "create_users"),
    *("landlines", "encoding", "multiline"),
)
_SIGNS = {"comma": ",", "semicolon": ";", "pipe": "|"}


def _mapping(options: dict[str, Any]) -> FileMapping:
    """The mapping file, with what the command line says on top."""
    from recall.intake.mapping import FileMapping, read_mapping, stated_mapping

    path = options["mapping_file"]
    stated = {name: options[name] for name in _STATED if name in options}
    stated["region"] = (options.get("region") or "").upper()
    stated["delimiter"] = _SIGNS.get(options["delimiter"], options["delimiter"])
    stated["header"] = False if options["no_header"] else None
    stated["columns"] = tuple(options["columns"].split(",")) if options["columns"] else ()
    return stated_mapping(read_mapping(path) if path else FileMapping(), stated)


def _tell(app: App, report: ImportReport) -> None:
    data = asdict(report) | {"rejects_path": str(report.rejects_path) if report.rejects_path else None}
    lines: list[Any] = [
        f"{report.file}: {report.read:,} rows read, {report.added:,} added, {report.changed:,} changed, "
        f"{report.unchanged:,} known already, {report.rejected:,} rejected ({report.seconds:.1f} s)."
    ]
    if report.users_created:
        lines.append(f"Users made: {report.users_created:,}.")
    if report.ignored_columns:
        lines.append(f"Not read: {', '.join(report.ignored_columns)}.")
    if report.rejected:
        lines += [_reasons(report), f"The rejected rows are in {report.rejects_path}; mend them and import that file."]
    app.output.answer(data, *lines)


def _reasons(report: ImportReport) -> Any:
    from recall.intake.reasons import WHAT_TO_DO, Reason

    rows = [[reason, count, WHAT_TO_DO[Reason(reason)]] for reason, count in report.reasons.items()]
    return table(["reason", "rows", "what to do"], rows)
