from __future__ import annotations

import io
import itertools
import subprocess
import sys

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from nbclient import NotebookClient

from transferbook.evidence import intervals, plotting


@pytest.fixture(autouse=True)
def style():
    with plt.rc_context():
        plotting.use_style()
        yield
    plt.close("all")


def samples(points: int, seeds: int = 5) -> np.ndarray:
    return np.random.default_rng(0).normal(0.7, 0.05, size=(points, seeds))


def svg(fig: plt.Figure) -> str:
    stored = io.StringIO()
    fig.savefig(stored, format="svg", metadata={"Date": None})
    return stored.getvalue()


def draw() -> plt.Figure:
    fig, ax = plotting.figure()
    plotting.interval_line(ax, [1, 2, 3], samples(3), "probe")
    ax.set_xlabel("labels")
    plotting.direct_labels(ax)
    return fig


def test_svg_is_the_same_each_time_and_needs_no_font():
    first, second = svg(draw()), svg(draw())
    assert first == second
    assert "<text" not in first and "<image" not in first and "<dc:date>" not in first
    assert "fill: #ffffff" in first  # an opaque ground, for the site in dark


def test_two_sizes():
    for wide, rows, width, height in [(False, 1, 5.6, 3.3), (True, 1, 7.4, 3.3), (True, 2, 7.4, 6.6)]:
        fig, _ = plotting.figure(wide=wide, rows=rows)
        assert tuple(fig.get_size_inches()) == pytest.approx((width, height))
    fig, axes = plotting.figure(wide=True, columns=3, sharey=True)
    assert axes.shape == (3,) and len(fig.axes) == 3


def test_raster_turns_points_into_pixels_and_leaves_text_alone():
    x, y = np.random.default_rng(0).normal(size=(2, 2_000))
    sizes = {}
    for raster in (False, True):
        fig, ax = plotting.figure(raster=raster)
        ax.scatter(x, y, s=4)
        sizes[raster] = svg(fig)
    assert "<image" in sizes[True] and "<image" not in sizes[False]
    assert 'id="text_1"' in sizes[True]
    assert len(sizes[True]) < len(sizes[False])
    assert sizes[True].count("<use") < 100 < sizes[False].count("<use")


def test_interval_line_draws_the_mean_and_the_t_interval():
    _, ax = plotting.figure()
    values = samples(4)
    drawn = plotting.interval_line(ax, [1, 2, 3, 4], values, "fine-tuned")
    (line,), (band,) = ax.get_lines(), ax.collections
    np.testing.assert_allclose(line.get_ydata(), values.mean(axis=1))
    assert drawn == [intervals.mean(row) for row in values]
    vertices = band.get_paths()[0].vertices
    for x, interval in zip([1, 2, 3, 4], drawn, strict=True):
        at_x = vertices[vertices[:, 0] == x, 1]
        assert (at_x.min(), at_x.max()) == pytest.approx((interval.low, interval.high))
    assert line.get_color() == plotting.COLORS["fine-tuned"] and line.get_label() == "fine-tuned"


def test_interval_line_of_another_method_needs_a_color():
    _, ax = plotting.figure()
    with pytest.raises(ValueError, match="'my method' has no colour; pass color=, or use one of scratch"):
        plotting.interval_line(ax, [1, 2], samples(2), "my method")
    plotting.interval_line(ax, [1, 2], samples(2), "my method", color="#123456", linestyle=":")
    assert ax.get_lines()[0].get_color() == "#123456" and ax.get_lines()[0].get_linestyle() == ":"


def test_interval_line_names_shapes_that_do_not_fit():
    _, ax = plotting.figure()
    with pytest.raises(
        ValueError, match=r"samples of shape \(5, 3\) do not fit x \(3,\); need \(len\(x\), seeds\)"
    ):
        plotting.interval_line(ax, [1, 2, 3], samples(3).T, "probe")
    with pytest.raises(ValueError, match="at least 2 values"):
        plotting.interval_line(ax, [1, 2, 3], samples(3, seeds=1), "probe")


def test_interval_dots_has_one_row_each_the_first_on_top():
    _, ax = plotting.figure()
    named = {"probe": intervals.mean(samples(1)[0]), "nine layers frozen": intervals.mean(samples(2)[1])}
    plotting.interval_dots(ax, named)
    assert [tick.get_text() for tick in ax.get_yticklabels()] == list(named)
    assert ax.yaxis_inverted()
    whiskers, dots = ax.get_lines()[::2], ax.get_lines()[1::2]
    for row, (whisker, dot, interval) in enumerate(zip(whiskers, dots, named.values(), strict=True)):
        assert list(whisker.get_xdata()) == [interval.low, interval.high]
        assert (dot.get_xdata()[0], dot.get_ydata()[0]) == (interval.mean, row)
    assert [dot.get_color() for dot in dots] == [plotting.COLORS["probe"], plotting.INK]
    with pytest.raises(ValueError, match="no intervals to draw"):
        plotting.interval_dots(ax, {})


def test_direct_labels_do_not_collide_and_keep_their_order():
    fig, ax = plotting.figure()
    ends = {"probe": 0.7, "fine-tuned": 0.703, "LoRA": 0.701, "partial": 0.9, "TF-IDF": 0.2}
    for method, end in ends.items():
        ax.plot([1, 2, 3], [0.5, 0.6, end], label=method, color=plotting.COLORS[method])
    ax.plot([1, 3], [0.5, 0.5])  # no label, no text
    plotting.direct_labels(ax)
    fig.canvas.draw()
    boxes = {text.get_text(): text.get_window_extent() for text in ax.texts}
    assert set(boxes) == set(ends)
    for (_, first), (_, second) in itertools.combinations(boxes.items(), 2):
        assert not first.overlaps(second)
    assert sorted(boxes, key=lambda name: boxes[name].y0) == sorted(ends, key=ends.get)
    for box in boxes.values():
        assert ax.bbox.x1 - 60 < box.x0 and box.x1 <= fig.bbox.x1 and box.y0 >= 0 and box.y1 <= fig.bbox.y1
    alone = boxes["TF-IDF"]
    assert (alone.y0 + alone.y1) / 2 == pytest.approx(ax.transData.transform((3, 0.2))[1], abs=3)


def test_direct_labels_stand_at_the_last_finite_point():
    _, ax = plotting.figure()
    ax.plot([1, 2, 3], [0.1, 0.9, np.nan], label="stopped")
    plotting.direct_labels(ax)
    assert ax.texts[0].xy == (2.0, 0.9)


def test_direct_labels_without_a_label_is_an_error():
    _, ax = plotting.figure()
    ax.plot([1, 2])
    with pytest.raises(ValueError, match="no line has a label; pass label="):
        plotting.direct_labels(ax)


def test_spread_moves_as_little_as_possible():
    assert plotting._spread([5.0, 50.0], 10, 0, 100) == [5.0, 50.0]
    assert plotting._spread([50.0, 50.0, 50.0], 10, 0, 100) == pytest.approx([40, 50, 60])
    assert plotting._spread([52.0, 48.0], 10, 0, 100) == pytest.approx([55, 45])
    assert plotting._spread([99.0, 98.0], 10, 0, 100) == pytest.approx([100, 90])
    assert plotting._spread([0.0, 1.0], 10, 0, 100) == pytest.approx([0, 10])


# The linear-light matrices of Machado, Oliveira & Fernandes (2009) for complete protanopia and deuteranopia.
VISION = {
    "full": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
}
TOGETHER = [  # the methods that meet in one figure
    ("scratch", "TF-IDF", "probe", "fine-tuned", "warm start", "ridge-to-source"),
    (
        "scratch",
        "probe",
        "partial",
        "fine-tuned",
        "probe, then fine-tuned",
        "layer-wise rates",
        "zero-initialised head",
    ),
    ("probe", "partial", "fine-tuned", "layer-wise rates", "gradual unfreezing", "LoRA"),
    ("scratch", "source only", "fine-tuned", "ridge-to-source"),
    ("source only", "CORAL", "MMD", "DANN", "AdaBN", "target supervised"),
]


def linear(color: str | tuple[float, ...]) -> np.ndarray:
    rgb = np.array(to_rgb(color))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def contrast_on_white(color: str | tuple[float, ...]) -> float:
    return 1.05 / (linear(color) @ [0.2126, 0.7152, 0.0722] + 0.05)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIE 1976 L*a*b* of linear sRGB, in which a distance of 2 is just seen."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ np.clip(rgb, 0, 1) / to_xyz.sum(axis=1)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("methods", TOGETHER, ids="+".join)
def test_colors_of_one_figure_stay_apart(methods, vision):
    for first, second in itertools.combinations(methods, 2):
        seen = [lab(VISION[vision] @ linear(plotting.COLORS[method])) for method in (first, second)]
        assert np.linalg.norm(seen[0] - seen[1]) > 15, (first, second)


@pytest.mark.parametrize("methods", TOGETHER, ids="+".join)
def test_markers_and_lines_of_one_figure_differ_in_print(methods):
    looks = [plotting._METHODS[method][1:] for method in methods]
    assert len(set(looks)) == len(looks)


def test_colors_are_legible_on_white():
    for method, color in plotting.COLORS.items():
        assert contrast_on_white(color) >= 3, method
        assert contrast_on_white(plotting._readable(color)) >= 4.5, method


def test_import_is_light():
    heavy = "{'matplotlib', 'myst_nb', 'IPython'}"
    code = f"import sys, transferbook.evidence.plotting; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_notebook_shows_svg():
    """In a real kernel shell: the SVG formatter is on, PNG off."""
    code = (
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "import os; os.environ['MPLBACKEND'] = 'module://matplotlib_inline.backend_inline'\n"
        "shell = InteractiveShell.instance()\n"
        "result = shell.run_cell('from transferbook.evidence import plotting; plotting.use_style()')\n"
        "result.raise_error()\n"
        "result = shell.run_cell('fig, ax = plotting.figure()')\n"
        "result.raise_error()\n"
        "data, _ = shell.display_formatter.format(shell.user_ns['fig'])\n"
        "assert 'image/svg+xml' in data and 'image/png' not in data, list(data)\n"
        "assert 'width=\"403.2pt\"' in data['image/svg+xml'] and 'dc:date' not in data['image/svg+xml']\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("backend", [None, "agg", "module://no_such_package.backend"])
def test_a_kernel_shows_figures_whatever_the_environment_says(backend, monkeypatch):
    monkeypatch.delenv("MPLBACKEND", raising=False)
    if backend:
        monkeypatch.setenv("MPLBACKEND", backend)
    cells = [
        "from transferbook.evidence import plotting\nplotting.use_style()",
        "fig, ax = plotting.figure()",
        "import matplotlib.pyplot as plt\nassert plt.get_fignums() == []  # shown once, then closed",
        "fig",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    shown = [[set(output["data"]) for output in cell["outputs"]] for cell in notebook["cells"]]
    assert shown == [[], [{"text/plain", "image/svg+xml"}], [], [{"text/plain", "image/svg+xml"}]]
