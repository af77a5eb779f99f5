"""How does the store get its tables, prove that it is whole, and get copied?"""

from __future__ import annotations

from pathlib import Path

import click

from recall.cli.context import App, pass_app


@click.group()
def db() -> None:
    """Migrate, check or back up the store.

    \b
    Example:
      recall db migrate
    """


@db.command()
@pass_app
def migrate(app: App) -> None:
    """Create the tables, or bring them to this version of recall. Running it again changes nothing.

    \b
    Example:
      recall db migrate --database postgresql://localhost/recall
    """
    from recall.store.connect import confirm_address_key
    from recall.store.migrations import migrate

    store = app.unchecked_store
    before, after = migrate(store.engine)
    confirm_address_key(store)
    done = f"migrated from {before or 'nothing'} to {after}" if before != after else f"was at revision {after} already"
    app.output.answer({"before": before, "after": after}, f"The store {done}.")


@db.command()
@pass_app
def check(app: App) -> int:
    """Is the store at the right revision, durable and whole?

    \b
    Example:
      recall db check --json
    """
    from recall.store.integrity import find_damage
    from recall.store.migrations import newest_revision

    damage = find_damage(app.store)
    whole = "The store is whole, durable and at revision " + newest_revision() + "."
    advice = "Stop the workers, restore the last backup into a new store and compare."
    app.output.answer({"revision": newest_revision(), "damage": damage}, *([*damage, advice] if damage else [whole]))
    return 1 if damage else 0


@db.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@pass_app
def backup(app: App, file: Path) -> None:
    """Copy the store to a new FILE that only you can read; workers may go on.

    A copy of PostgreSQL is read back with pg_restore. Keep the address key (var/address.key) beside it: without
    it suppressions are not recognised.

    \b
    Example:
      recall db backup backups/2026-03-02.db
    """
    from recall.store.backup import back_up

    back_up(app.unchecked_store, file)
    size = file.stat().st_size
    app.output.answer({"file": str(file), "bytes": size}, f"Copied the store to {file} ({size:,} bytes).")


@db.command()
@click.option("--dry-run", is_flag=True, help="Only count what would be forgotten.")
@pass_app
def prune(app: App, dry_run: bool) -> None:
    """Forget what was kept longer than `retention` of the policies says; the reconciler does so once a day.

    Texts, events, receipts, decisions, links and files of rejected rows go. Suppressions, consents, what caps need
    and what belongs to passages whose goal can still be reached stay. Each pass is counted in the store.

    \b
    Example:
      recall db prune --dry-run
    """
    from recall.engine.retention import REJECTS, count_old, forget_old
    from recall.store.controls import record_action

    rejects, at = app.settings.var_dir / REJECTS, app.clock.now()
    if dry_run:
        done = count_old(app.store, rejects, now=at)
    else:
        done = forget_old(app.store, rejects, now=at, who=app.who)
        with app.store.writing() as connection:
            record_action(connection, "prune", f"{done.total()} rows", who=app.who, why="kept long enough", at=at)
    told = ", ".join(f"{rows} {what}" for what, rows in sorted(done.items()) if rows) or "nothing"
    app.output.answer({"dry_run": dry_run, **done}, f"{'Would forget' if dry_run else 'Forgot'}: {told}.")
