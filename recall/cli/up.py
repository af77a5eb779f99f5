"""How does everything run on one machine? Prefect server, workers and the reconciler, started and stopped together."""

from __future__ import annotations

import fcntl
import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from threading import Event

import click

from recall.cli import cluster as clusters
from recall.cli.context import App, pass_app
from recall.cli.family import Family
from recall.cli.place import AUTH, Place, home_of
from recall.errors import Misconfigured

LIMIT = 4


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the Prefect server; 0: any [4200, or any].")
@click.option("--host", default="127.0.0.1", show_default=True, help=f"Address to listen on; others need {AUTH}.")
@click.option("--cluster", is_flag=True, help="PostgreSQL, a Prefect server with a password, several workers.")
@click.option("--workers", type=click.IntRange(1, 64), help=f"[1; of a cluster {clusters.WORKERS}]")
@click.option("--limit", type=click.IntRange(1), help=f"Flow runs at once [{LIMIT}; of a cluster {clusters.LIMIT}].")
@pass_app
def up(app: App, port: int | None, host: str, cluster: bool, workers: int | None, limit: int | None) -> int:
    """Start Prefect server and worker on this machine; Ctrl-C stops them all.

    Brings the store up to date, publishes the project's journeys if none is published (the shipped catalogue where
    the folder has none), deploys them, and looks each minute for evidence of sends in doubt. Logs are in var/prefect.

    \b
    Example:
      recall up --project my-project
      recall up --project my-project --cluster
    """
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    usual = (clusters.WORKERS, clusters.LIMIT) if cluster else (1, LIMIT)
    with _alone(home_of(app)), clusters.databases(app) if cluster else nullcontext() as database:
        place = Place.choose(app, host, port, database=database)
        _prepare(app)
        return Family(app, place, limit or usual[1], workers or usual[0], stop).run()


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Only one `recall up` per project: two servers would share one database."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Misconfigured("`recall up` is running already for this project") from None
        yield


def _prepare(app: App) -> None:
    """A migrated store with published journeys."""
    from recall.cli.deploy import project_of
    from recall.engine.publish import publish_project
    from recall.store.migrations import migrate
    from recall.store.versions import published_journeys

    migrate(app.unchecked_store.engine)
    with app.store.reading() as connection:
        if published_journeys(connection):
            return
    done = publish_project(app.store, project_of(app.settings.project_dir), now=app.clock.now(), who=app.who)
    app.output.remark(f"recall up: published {', '.join(version.name for version in done.new)}")
