"""One style, two sizes and a few helpers for the book's figures.

Figures are SVG with a white ground (the site is read in light and dark, and ink on an opaque ground is
legible in both), text as paths so that no font is needed, and the same bytes each time.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from . import intervals
from .intervals import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#222222"
LABEL_SIZE = 8.5  # points
# method: (colour, marker, line style). Methods that meet in one figure have colours that stay apart for
# red-green blindness (tests/test_plotting.py simulates it); markers and line styles tell them apart in print.
_METHODS = {
    "scratch": ("#949494", "o", "--"),
    "target only": ("#949494", "o", "--"),
    "source only": ("#222222", "X", ":"),
    "TF-IDF": ("#4D4210", "s", "-"),
    "probe": ("#0072B2", "D", "-"),
    "fine-tuned": ("#D55E00", "o", "-"),
    "partial": ("#1480F5", "^", "-"),
    "gradual unfreezing": ("#4B1FC0", "P", "-"),
    "layer-wise rates": ("#5C3A0A", "v", "-"),
    "probe, then fine-tuned": ("#8A1F5C", "p", "-"),
    "zero-initialised head": ("#12965A", "d", "-"),
    "warm start": ("#4B1FC0", "P", "-"),
    "ridge-to-source": ("#12965A", "v", "-"),
    "LoRA": ("#8A1F5C", "h", "-"),
    "CORAL": ("#2E95B6", "s", "-"),
    "MMD": ("#2A2FD8", "^", "-"),
    "DANN": ("#CD3C67", "v", "-"),
    "AdaBN": ("#5E5600", "D", "-"),
    "target supervised": ("#12A52B", "P", "--"),
}
COLORS = {method: colour for method, (colour, _, _) in _METHODS.items()}


def use_style() -> None:
    """Set the book's style; in a notebook, also show figures in it as SVG, whatever `MPLBACKEND` says.

    The first cell of a chapter calls it. Another backend, such as `%matplotlib widget`, is chosen afterwards.
    """
    import matplotlib as mpl

    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if getattr(shell, "kernel", None) is not None:  # a terminal shows no figures
        shell.enable_matplotlib("inline")
    mpl.rcParams.update(
        {
            "figure.facecolor": "white",
            "savefig.facecolor": "white",
            "figure.constrained_layout.use": True,
            "figure.dpi": 144,
            "font.family": "DejaVu Sans",
            "font.size": 9,
            "axes.titlesize": 9.5,
            "axes.titlelocation": "left",
            "axes.labelsize": 9,
            "xtick.labelsize": 8.5,
            "ytick.labelsize": 8.5,
            "legend.frameon": False,
            "legend.fontsize": 8.5,
            "text.color": INK,
            "axes.edgecolor": "#666666",
            "axes.labelcolor": INK,
            "xtick.color": "#666666",
            "ytick.color": "#666666",
            "xtick.labelcolor": INK,
            "ytick.labelcolor": INK,
            "axes.linewidth": 0.7,
            "xtick.major.width": 0.7,
            "ytick.major.width": 0.7,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": "#E4E4E4",
            "grid.linewidth": 0.6,
            "lines.linewidth": 1.6,
            "lines.markersize": 4.5,
            "image.cmap": "cividis",
            "axes.prop_cycle": mpl.cycler(
                color=["#0072B2", "#D55E00", "#12965A", "#8A1F5C", "#4D4210", "#1480F5", "#949494"]
            ),
            "svg.fonttype": "path",
            "svg.hashsalt": "transferbook",
        }
    )
    if shell is not None:
        from matplotlib_inline.backend_inline import set_matplotlib_formats

        set_matplotlib_formats("svg", bbox_inches=None, metadata={"Date": None})


def figure(
    wide: bool = False, rows: int = 1, columns: int = 1, *, raster: bool = False, **subplots: Any
) -> tuple[Figure, Any]:
    """A figure of one of the book's two sizes, in inches: 5.6 or, if `wide`, 7.4 across and 3.3 for each row.

    Args:
        wide: the full width of the page, for several columns.
        rows: rows of axes.
        columns: columns of axes.
        raster: draw pictures and clouds of points as pixels, inside the SVG; for more than about 1,000
            points.
        subplots: passed to `matplotlib.pyplot.subplots`, say `sharey=True`.

    Returns:
        The figure and its axes: one, or an array of them as from `matplotlib.pyplot.subplots`.
    """
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(rows, columns, figsize=(7.4 if wide else 5.6, 3.3 * rows), **subplots)
    if raster:
        for ax in fig.axes:
            ax.set_rasterization_zorder(1.4)  # images have 0, points 1; ticks and their text then 1.5
            ax.set_axisbelow("line")
            ax.grid(False)
    return fig, axes


def interval_line(
    ax: Axes, x: ArrayLike, samples: ArrayLike, label: str, *, color: str | None = None, **line: Any
) -> list[Interval]:
    """Draw the mean over seeds against x, with its 95 % t interval as a band.

    Args:
        ax: where to draw.
        x: shape (P,).
        samples: one row for each x, one column for each seed, shape (P, seeds), seeds >= 2.
        label: the method's name, for `direct_labels` or a legend; a name in `COLORS` has its colour, marker
            and line.
        color: the colour of anything that is not in `COLORS`.
        line: passed to `Axes.plot`.

    Returns:
        The P intervals that were drawn.

    Raises:
        ValueError: if the shapes do not fit, or the label has no colour and none is given.
    """
    x, samples = np.asarray(x), np.asarray(samples, dtype=float)
    if samples.ndim != 2 or x.shape != samples.shape[:1]:
        raise ValueError(f"samples of shape {samples.shape} do not fit x {x.shape}; need (len(x), seeds)")
    drawn = [intervals.mean(row) for row in samples]
    style = _style(label, color) | line
    ax.plot(x, [i.mean for i in drawn], label=label, **style)
    low, high = [i.low for i in drawn], [i.high for i in drawn]
    ax.fill_between(x, low, high, color=style["color"], alpha=0.15, linewidth=0)
    return drawn


def interval_dots(ax: Axes, named: Mapping[str, Interval]) -> None:
    """Draw intervals as dots with whiskers, one line of the figure each, the first on top.

    Args:
        ax: where to draw.
        named: the intervals under the names that label them; a name in `COLORS` has its colour and marker.

    Raises:
        ValueError: if there are none.
    """
    if not named:
        raise ValueError("there are no intervals to draw")
    for row, (name, interval) in enumerate(named.items()):
        color, marker, _ = _METHODS.get(name, (INK, "o", "-"))
        ax.plot([interval.low, interval.high], [row, row], color=color, solid_capstyle="round")
        ax.plot(interval.mean, row, marker=marker, color=color, markersize=6, linestyle="none")
    ax.set_yticks(range(len(named)), list(named))
    ax.set_ylim(len(named) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="y", visible=False)


def direct_labels(ax: Axes) -> None:
    """Write each line's label at its right end, in its colour, moved up or down where two would collide.

    Call it last, when the limits of the axes are settled; it replaces the legend.

    Raises:
        ValueError: if no line has a label.
    """
    lines = [line for line in ax.get_lines() if not str(line.get_label()).startswith("_")]
    if not lines:
        raise ValueError("no line has a label; pass label= when plotting")
    fig = ax.figure.get_figure(root=True)
    fig.draw_without_rendering()  # settles the layout, on which the distances depend
    points = 72 / fig.dpi
    ends = [_last_point(line) for line in lines]
    heights = [ax.transData.transform(end)[1] * points for end in ends]
    box = ax.get_window_extent()
    settled = _spread(
        heights, 1.25 * LABEL_SIZE, box.y0 * points + LABEL_SIZE / 2, box.y1 * points - LABEL_SIZE / 2
    )
    for line, end, height, place in zip(lines, ends, heights, settled, strict=True):
        ax.annotate(
            str(line.get_label()),
            end,
            xytext=(8, place - height),
            textcoords="offset points",
            va="center",
            color=_readable(line.get_color()),
            fontsize=LABEL_SIZE,
            annotation_clip=False,
        )


def _style(label: str, color: str | None) -> dict[str, Any]:
    if label not in _METHODS:
        if color is None:
            raise ValueError(f"{label!r} has no colour; pass color=, or use one of {', '.join(_METHODS)}")
        return {"color": color, "marker": "o"}
    method_color, marker, linestyle = _METHODS[label]
    return {"color": color or method_color, "marker": marker, "linestyle": linestyle}


def _readable(color: Any) -> tuple[float, ...]:
    """The colour mixed with ink, until small text in it has a contrast of 4.5 to 1 on white (WCAG AA)."""
    from matplotlib.colors import to_rgb

    return tuple(0.65 * c + 0.35 * ink for c, ink in zip(to_rgb(color), to_rgb(INK), strict=True))


def _last_point(line: Any) -> tuple[float, float]:
    xy = np.asarray(line.get_xydata(), dtype=float)
    x, y = xy[np.isfinite(xy).all(axis=1)][-1]
    return float(x), float(y)


def _spread(heights: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """The places nearest to `heights` (least squares) that are at least `gap` apart and within low...high."""
    from scipy.optimize import isotonic_regression

    order = np.argsort(heights, kind="stable")
    steps = gap * np.arange(len(heights))
    fitted = isotonic_regression(np.asarray(heights, dtype=float)[order] - steps).x
    placed = np.empty(len(heights))
    placed[order] = np.clip(fitted, low, max(high - steps[-1], low)) + steps
    return placed.tolist()
