"""How does an adopter begin? With a folder of their own: a first journey, its policy and texts, and the next steps."""

from __future__ import annotations

from pathlib import Path

import click

from recall.cli.context import App, pass_app
from recall.errors import Misconfigured

FIRST = "settled-30d"


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--journey",
    "journeys",
    multiple=True,
    default=[FIRST],
    show_default=True,
    metavar="ID",
    help="Journeys to begin with; `recall journey list --shipped` lists them.",
)
@pass_app
def init(app: App, directory: Path, journeys: tuple[str, ...]) -> None:
    """Make a project folder DIR with a first journey. Nothing that is there already is changed.

    \b
    Example:
      recall init growth
      recall init growth --journey granted-7d --journey lapsed-14d
    """
    from recall.cli.init_files import files_of

    files = files_of(journeys)
    _refuse_overwriting(directory, files)
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    lines = [f"{directory} has {len(files)} files: {', '.join(journeys)}, with policy, texts and scenarios."]
    lines.append(f"Next: cd {directory} && recall journey lint && recall journey test (README.md goes on from there)")
    app.output.answer({"directory": str(directory), "files": sorted(files)}, *lines)


def _refuse_overwriting(directory: Path, files: dict[str, str]) -> None:
    there = [name for name in files if (directory / name).exists()]
    if there:
        more = f" and {len(there) - 3} more" if len(there) > 3 else ""
        raise Misconfigured(
            f"{directory} holds {', '.join(there[:3])}{more} already, and nothing is overwritten; "
            "choose another DIR, or move these files away"
        )
