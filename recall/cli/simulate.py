"""What would become of people if we ran these journeys? On simulated people, in minutes instead of weeks."""

from __future__ import annotations

from pathlib import Path

import click

from recall.cli.context import App, pass_app

VIOLATED = 1


@click.command()
@click.argument("journeys", nargs=-1, required=True)
@click.option("--users", default=1000, show_default=True, type=click.IntRange(1), help="Simulated people.")
@click.option("--days", default=30, show_default=True, type=click.IntRange(1), help="Virtual days.")
@click.option("--seed", default=1, show_default=True, type=int, help="Another seed, other people and other chances.")
@click.option("--store", "store_file", type=click.Path(dir_okay=False, path_type=Path), help="Keep the store in FILE.")
@click.option("--shipped", is_flag=True, help="Journeys of the catalogue that comes with recall.")
@pass_app
def simulate(
    app: App, journeys: tuple[str, ...], users: int, days: int, seed: int, store_file: Path | None, shipped: bool
) -> int:
    """Run JOURNEYS of this project on simulated people and a virtual clock; nothing leaves this machine.

    The engine, the gate and the store are the real ones; the people are invented, and so are their answers, so trust
    the shape of the numbers and not their level. Exit code 1 when an invariant was violated.

    \b
    Example:
      recall simulate settled-30d --users 5000 --days 60
    """
    from journeys.project import shipped_project
    from recall.cli.deploy import project_of
    from recall.cli.simulated import Size, days_shown, empty_folder, new_simulation, tell
    from recall.engine.simulate import engine_passes
    from recall.engine.simulate import simulate as run_simulation

    if app.database is not None:
        raise click.UsageError("a simulation has a store of its own; name it with --store FILE")
    project = shipped_project() if shipped else project_of(app.settings.project_dir)
    names = tuple(dict.fromkeys(journeys))
    folder = app.settings.var_dir / "simulations" / f"{'+'.join(names)[:60]}-{users}x{days}-{seed}"
    size = Size(users, days, seed)
    with (
        empty_folder(folder),
        new_simulation(folder, project, names, size, store_file=store_file) as simulation,
    ):
        with days_shown(app.output, days) as on_day:
            passes = engine_passes(simulation.setup)
            run_simulation(simulation.setup, simulation.world, names, days=days, passes=passes, on_day=on_day)
        told = tell(simulation)
    kept = f"Kept in {store_file or folder}; `recall explain USER --project {folder}` tells about one user."
    app.output.answer(told.data() | {"folder": str(folder)}, *told.lines(), kept)
    return VIOLATED if told.violations else 0
