"""How does it look? Small figures as inline SVG, drawn by matplotlib; text stays text, so that any language shows."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

BLUE, ORANGE, GREEN, RED, GREY = "#0072b2", "#d55e00", "#009e73", "#b3261e", "#8a8f98"
SKY = "#56b4e9"
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "recall",
    "font.family": "sans-serif",
    "font.size": 12.5,  # at 390 px a chart is drawn at nine tenths of its size
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "grid.color": "#e3e6ea",
    "axes.axisbelow": True,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}
_LABEL = 16  # percent of a funnel's width that a label takes
_MOST_LABELS = 6  # dates below an axis
Estimate = tuple[str, float, float, float]  # label, estimate, low, high


@contextmanager
def _figure(width: float, height: float, kept: list[str], name: str) -> Iterator[Any]:
    """Yields axes; appends the SVG to `kept`. Ids carry `name`, since several figures share one page."""
    import matplotlib

    with warnings.catch_warnings(), matplotlib.rc_context(_STYLE):
        warnings.simplefilter("ignore")  # the browser has the glyphs that matplotlib's own font lacks
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure

        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        yield figure.add_subplot()
        drawn = io.StringIO()
        figure.savefig(drawn, format="svg", metadata={"Date": None, "Creator": None})
    kept.append(_inline(drawn.getvalue(), name))


def _inline(svg: str, name: str) -> str:
    """Without XML head, sized by the page, every id with a prefix of its own."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r'\1 class="chart" role="img"', svg, count=1)
    svg = svg.replace(' xmlns:xlink="http://www.w3.org/1999/xlink"', "").replace("xlink:href", "href")
    return re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", svg)


def _drawn(name: str, width: float, height: float, draw: Callable[[Any], None]) -> str:
    kept: list[str] = []
    with _figure(width, height, kept, name) as axes:
        draw(axes)
    return kept[0]


def lifts(name: str, estimates: Sequence[Estimate], *, axis: str) -> str:
    """Estimates with intervals, one below the other; the line is no effect."""

    def draw(axes: Any) -> None:
        for n, (_, at, low, high) in enumerate(estimates):
            colour = GREEN if low > 0 else RED if high < 0 else GREY
            axes.plot([100 * low, 100 * high], [n, n], color=colour, linewidth=3, solid_capstyle="butt")
            axes.plot([100 * at], [n], "o", color=colour, markersize=8)
        axes.axvline(0, color="#333333", linewidth=1)
        axes.set_yticks(range(len(estimates)), [label for label, *_ in estimates])
        axes.set_ylim(len(estimates) - 0.4, -0.6)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(axis)

    return _drawn(name, 5.6, 1.2 + 0.5 * len(estimates), draw)


def funnel(name: str, stages: Sequence[tuple[str, float, int | None]], *, axis: str, target: str) -> str:
    """(stage, share of the stage before, target in percent)."""

    def draw(axes: Any) -> None:
        for n, (_, share, aim) in enumerate(stages):
            below = aim is not None and 100 * share < aim
            axes.barh(n, min(100 * share, 100), color=ORANGE if below else BLUE, height=0.62)
            ends = min(100 * share, 100)
            clear = aim if aim is not None and ends < aim < ends + _LABEL else ends  # not across the mark
            axes.text(clear + 1.5, n, f"{100 * share:.0f} %", va="center", fontsize=11.5)
        aims = [(n, aim) for n, (_, _, aim) in enumerate(stages) if aim is not None]
        for n, aim in aims:
            axes.plot(
                [aim, aim], [n - 0.4, n + 0.4], color="#111111", linewidth=2, label=target if n == aims[0][0] else None
            )
        axes.set_yticks(range(len(stages)), [label for label, *_ in stages])
        axes.set_ylim(len(stages) - 0.4, -0.6)
        axes.set_xlim(0, 112)
        axes.set_xticks(range(0, 101, 20))
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(axis)
        if aims:
            axes.legend(frameon=False, fontsize=11.5, loc="lower center", bbox_to_anchor=(0.5, 1.0))

    return _drawn(name, 5.6, 1.4 + 0.4 * len(stages), draw)


def lifecycle(
    name: str,
    weeks: Sequence[str],
    above: Sequence[tuple[str, Sequence[int]]],
    below: tuple[str, Sequence[int]],
    *,
    axis: str,
) -> str:
    """Stacked bars of active people, those who fell silent below the line."""

    def draw(axes: Any) -> None:
        places = range(len(weeks))
        base = [0] * len(weeks)
        for (label, counts), colour in zip(above, (SKY, BLUE, GREEN), strict=True):
            axes.bar(places, counts, bottom=base, color=colour, label=label, width=0.8)
            base = [have + more for have, more in zip(base, counts, strict=True)]
        axes.bar(places, [-count for count in below[1]], color=GREY, label=below[0], width=0.8)
        axes.axhline(0, color="#333333", linewidth=1)
        step = -(-len(weeks) // _MOST_LABELS)
        axes.set_xticks(list(places)[::step], list(weeks)[::step])
        axes.grid(visible=False, axis="x")
        axes.yaxis.set_major_formatter(lambda value, _: f"{abs(value):,.0f}")
        axes.set_ylabel(axis)
        axes.legend(frameon=False, ncols=2, fontsize=11.5, loc="lower center", bbox_to_anchor=(0.5, 1.0))

    return _drawn(name, 5.6, 3.4, draw)


def hazard(
    name: str,
    ours: Sequence[tuple[int, float]],
    theirs: Sequence[tuple[int, float]],
    cap: int | None,
    *,
    axes_labels: tuple[str, str],
    labels: tuple[str, str, str],
) -> str:
    """Share who came back right after contact k: messaged, and held out at the same moments; the cap drawn in."""

    def draw(axes: Any) -> None:
        axes.plot([k for k, _ in ours], [100 * h for _, h in ours], "o-", color=BLUE, label=labels[0])
        if theirs:
            axes.plot([k for k, _ in theirs], [100 * h for _, h in theirs], "s--", color=GREY, label=labels[1])
        most = max(k for k, _ in ours)
        if cap is not None:
            axes.axvline(cap + 0.5, color=ORANGE, linewidth=2, linestyle=":", label=labels[2])
            most = max(most, cap + 1)
        axes.set_xlim(0.5, most + 0.6)
        axes.set_xticks(range(1, most + 1))
        axes.set_ylim(0, 112 * max([0.01, *(h for _, h in (*ours, *theirs))]))
        axes.set_xlabel(axes_labels[0])
        axes.set_ylabel(axes_labels[1])
        axes.legend(frameon=False, fontsize=11.5, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)

    return _drawn(name, 5.6, 3.2, draw)


def lift_by_week(name: str, weeks: Sequence[Estimate], *, axis: str) -> str:
    def draw(axes: Any) -> None:
        places = list(range(len(weeks)))
        at = [100 * week[1] for week in weeks]
        down = [100 * (week[1] - week[2]) for week in weeks]
        up = [100 * (week[3] - week[1]) for week in weeks]
        axes.errorbar(places, at, yerr=[down, up], fmt="o", color=BLUE, capsize=4, markersize=7)
        axes.axhline(0, color="#333333", linewidth=1)
        step = -(-len(weeks) // _MOST_LABELS)
        axes.set_xticks(places[::step], [week[0] for week in weeks][::step])
        axes.set_xlim(-0.6, len(weeks) - 0.4)
        axes.grid(visible=False, axis="x")
        axes.set_ylabel(axis)

    return _drawn(name, 5.6, 2.8, draw)


def looks(
    name: str,
    seen: Sequence[tuple[int, float]],
    bounds: Sequence[tuple[int, float]],
    *,
    axis: str,
    labels: tuple[str, str],
) -> str:
    """z at each weekly look against the boundary."""

    def draw(axes: Any) -> None:
        numbers = [k for k, _ in bounds]
        axes.plot(numbers, [b for _, b in bounds], color=ORANGE, label=labels[1])
        axes.plot(numbers, [-b for _, b in bounds], color=ORANGE)
        axes.plot([k for k, _ in seen], [z for _, z in seen], "o-", color=BLUE, label=labels[0])
        axes.axhline(0, color="#333333", linewidth=1)
        axes.set_ylim(-6, 6)
        axes.set_xticks(numbers)
        axes.set_xlabel(axis)
        axes.set_ylabel("z")
        axes.legend(frameon=False, fontsize=11.5, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)

    return _drawn(name, 5.6, 2.9, draw)
