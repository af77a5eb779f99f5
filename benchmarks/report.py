"""How do people read it? Writes the newest results into docs/performance.md, and draws the growth.

    .venv/bin/python -m benchmarks.report

Only what stands between the two marks of the page is written; the rest is prose.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.places import KINDS, ROOT

PAGE = ROOT / "docs" / "performance.md"
PICTURE = ROOT / "docs" / "performance.svg"
RESULTS = ROOT / "benchmarks" / "results"
_BEGIN, _END = "<!-- figures: written by benchmarks/report.py -->", "<!-- end of figures -->"
_COLOURS = {"sqlite": "#d55e00", "postgresql": "#0072b2"}
_NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}

Result = dict[str, Any]


def newest(*, full: bool) -> Result | None:
    """The latest result of one size; None when there is none."""
    found = [path for path in sorted(RESULTS.glob("*.json")) if path.stem.endswith("-full") is full]
    return dict(json.loads(found[-1].read_text())) if found else None


# --- the table ----------------------------------------------------------------------------------------------


def table(result: Result) -> Iterator[str]:
    """One line per ratio; what misses its target is marked."""
    yield "| ratio | target | by wall | by CPU | rounds | |"
    yield "|---|---|---|---|---|---|"
    for name, ratio in result["ratios"].items():
        mark = "" if ratio["met"] else "not measured" if ratio["value"] is None else "**missed**"
        told = (_target(ratio["target"]), _told(ratio["value"]), _told(ratio["cpu"]), str(ratio["rounds"]), mark)
        yield f"| {name.replace('_', ' ')}: {result['about'][name]} | {' | '.join(told)} |"


def _target(text: str) -> str:
    return text.replace(">=", "≥").replace("<=", "≤")


def _told(value: float | None) -> str:
    return "–" if value is None else f"{value:g}"


def speeds(result: Result) -> Iterator[str]:
    """Absolute figures of the same runs, which say more about the machine than about recall."""
    yield "| run | people | users/s | CPU µs per user | peak MiB (own) |"
    yield "|---|---|---|---|---|"
    for name, runs in result["runs"].items():
        if runs and "per_second" in runs[0]:
            yield (
                f"| {name} | {runs[0]['users']:,} | {_median(runs, 'per_second'):,.0f} | {_median(runs, 'us'):.1f}"
                f" | {_median(runs, 'peak_mib'):.0f} ({_median(runs, 'peak_own_mib'):.0f}) |"
            )


def _median(runs: Sequence[Result], name: str) -> float:
    return statistics.median(float(run[name]) for run in runs)


def section(result: Result) -> str:
    """One measurement, as it stands in the page."""
    size = {"small": "`make bench`", "full": "`make bench-full`"}.get(result["size"], result["size"])
    load = ", ".join(str(each) for each in result["load"])
    durable = {
        run["store"]: run["durability"] for runs in result["runs"].values() for run in runs if "durability" in run
    }
    lines = [
        f"### {size}, {result['date']}",
        "",
        f"{result['cores']} cores, {result['machine']}; load at the end {load}; {result['seconds'] / 60:.0f} minutes. "
        + " ".join(
            f"{_NAMES[kind]}: {', '.join(f'{k}={v}' for k, v in sorted(settings.items()))}."
            for kind, settings in sorted(durable.items())
        ),
        "",
        *table(result),
        "",
        "Absolute figures of the same runs:",
        "",
        *speeds(result),
    ]
    if result["broken"]:
        lines += ["", "Could not be measured: " + "; ".join(f"{k} ({v})" for k, v in result["broken"].items()) + "."]
    return "\n".join(lines)


# --- the picture --------------------------------------------------------------------------------------------


def points(result: Result, kind: str) -> list[tuple[int, float, float]]:
    """People, seconds and CPU seconds of the engine without dispatch, by size."""
    by_size: dict[int, list[Result]] = {}
    for name in (f"small null {kind}", f"null {kind}", f"big null {kind}"):
        for run in result["runs"].get(name, []):
            by_size.setdefault(run["users"], []).append(run)
    return [(people, _median(runs, "wall"), _median(runs, "cpu")) for people, runs in sorted(by_size.items())]


def draw(result: Result, path: Path) -> None:
    """Seconds over people, both axes logarithmic: a straight line at 45 degrees is proportional."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    style: Any = {
        "svg.hashsalt": "recall",
        "svg.fonttype": "none",
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(7, 4), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        for kind in KINDS:
            _draw_store(axes, points(result, kind), kind)
        axes.set(xscale="log", yscale="log", xlabel="people due", ylabel="seconds")
        axes.set_title("A run without dispatch: wall (solid), CPU (dashed), proportional (dotted)", fontsize=10)
        axes.grid(color="#e3e6ea")
        if axes.lines:
            axes.legend(frameon=False)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def _draw_store(axes: Any, found: Sequence[tuple[int, float, float]], kind: str) -> None:
    if not found:
        return
    people, wall, cpu = zip(*found, strict=True)
    colour = _COLOURS[kind]
    axes.plot(people, wall, marker="o", color=colour, label=_NAMES[kind])
    axes.plot(people, cpu, marker=".", linestyle="--", color=colour)
    axes.plot(people, [wall[0] * each / people[0] for each in people], linestyle=":", color=colour, linewidth=1)


def main() -> None:
    results = [found for full in (True, False) if (found := newest(full=full)) is not None]
    if not results:
        raise SystemExit("there are no results yet; run `make bench`")
    draw(results[0], PICTURE)
    page = PAGE.read_text()
    before, after = page[: page.index(_BEGIN) + len(_BEGIN)], page[page.index(_END) :]
    PAGE.write_text("\n\n".join([before, "![growth](performance.svg)", *map(section, results), after]))
    print(f"written: {PAGE.relative_to(ROOT)}, {PICTURE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
