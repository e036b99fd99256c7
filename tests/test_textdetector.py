"""The text detector, held against the package it comes from, and the boxes that are made of its marks."""

from __future__ import annotations

import numpy as np
import pytest

from transferbook.models import textdetector

SHAPE = (240, 320)
# Found by the package rapidocr-onnxruntime 1.4.4 itself in `words()`: the mean of its map, and its boxes.
MEAN = 0.018293
KNOWN = ((96, 32, 226, 54), (30, 122, 49, 174), (96, 156, 196, 170))


def words():
    """A picture with three words, drawn with matplotlib's typefaces: one is upright."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((3.2, 2.4), dpi=100)
    FigureCanvasAgg(figure)
    figure.text(0.3, 0.8, "Sales by year", size=14)
    figure.text(0.3, 0.3, "thousand euros", size=9, color="#0072B2")
    figure.text(0.1, 0.3, "upright", size=9, rotation=90)
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()


@pytest.fixture(scope="module")
def detector():
    return textdetector.load()


def test_marks_and_boxes_are_those_of_its_package(detector):
    marks = detector.read(words(), textdetector.SHORT_SIDE / 240)
    assert marks.probability.shape == (736, 992)
    assert marks.probability.mean() == pytest.approx(MEAN, abs=2e-4)
    found = textdetector.boxes(marks.probability, SHAPE)
    assert found.shape == (3, 4)
    assert np.abs(found[found[:, 1].argsort()] - KNOWN).max() < 1.6  # the package tells whole pixels


def test_features_are_what_the_last_layer_reads(detector):
    import onnx
    from onnx import numpy_helper

    from transferbook.data import assets

    marks = detector.read(words(), 2)
    graph = onnx.load_from_string(assets.read_member("textdetector", "detector.onnx")).graph
    weights = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    weights |= {
        n.output[0]: numpy_helper.to_array(n.attribute[0].t) for n in graph.node if n.op_type == "Constant"
    }
    last = [node for node in graph.node if node.op_type == "ConvTranspose"][-1]
    kernel = weights[last.input[1]]  # (24, 1, 2, 2)
    add = next(node for node in graph.node if last.output[0] in node.input)
    bias = weights[next(name for name in add.input if name != last.output[0])].ravel()[0]
    logit = np.einsum("chw,cij->hiwj", marks.features, kernel[:, 0]).reshape(480, 640) + bias
    assert marks.features.shape == (textdetector.WIDTH, 240, 320) and marks.features.min() >= 0
    assert np.abs(1 / (1 + np.exp(-logit.clip(-50))) - marks.probability).max() < 1e-5


def test_a_turned_picture_may_be_a_view(detector):
    picture = words()
    turned = np.rot90(picture, -1)
    expected = detector.read(turned.copy(), 1).probability
    assert np.array_equal(detector.read(turned, 1).probability, expected) and expected.shape == (320, 256)


def test_boxes_follow_the_rule():
    chances = np.zeros((100, 200))
    chances[40:50, 20:80] = 0.9  # after joining, 11 by 61 pixels: its corners are 10 and 60 apart
    d = 1.6 * 60 * 10 / (2 * 70)
    (box,) = textdetector.boxes(chances, (200, 400))
    assert box == pytest.approx(2 * np.array([20 - d, 40 - d, 80 + d, 50 + d]))
    (box,) = textdetector.boxes(chances, (100, 200), growth=0)
    assert box == pytest.approx([20, 40, 80, 50])


def test_boxes_that_are_left_out():
    chances = np.zeros((60, 60))
    chances[5:7, 5:40] = 1.0  # joined, 3 pixels high: its corners are 2 apart
    chances[20:40, 5:25] = 0.4
    assert textdetector.boxes(chances, (60, 60)).shape == (0, 4)
    assert len(textdetector.boxes(chances, (60, 60), sure=0.3)) == 1
    assert textdetector.boxes(chances, (60, 60), threshold=0.45, sure=0.3).shape == (0, 4)
    chances[20:40, 5:25] = 0.9
    assert len(textdetector.boxes(chances, (60, 60))) == 1
    assert textdetector.boxes(chances, (6, 6), growth=0).shape == (0, 4)


def test_boxes_stay_in_the_picture():
    (box,) = textdetector.boxes(np.ones((32, 64)), (32, 64))
    assert box.tolist() == [0, 0, 64, 32]


def test_neighbours_at_a_corner_are_one():
    chances = np.zeros((60, 60))
    chances[10:20, 10:20] = chances[21:31, 21:31] = 1.0  # joined, the first reaches up to 20
    assert len(textdetector.boxes(chances, (60, 60), sure=0)) == 1


@pytest.mark.parametrize(
    ("picture", "scale", "said"),
    [
        (np.zeros((240, 320), np.uint8), 1, r"this one has \(240, 320\) and uint8\.$"),
        (np.zeros((240, 320, 3)), 1, r"this one has \(240, 320, 3\) and float64\.$"),
        (np.zeros((24, 32, 3), np.uint8), 0.5, r"^at scale 0\.5 a picture of \(24, 32\) pixels is too small"),
    ],
)
def test_what_is_no_picture_to_read(detector, picture, scale, said):
    with pytest.raises(ValueError, match=said):
        detector.read(picture, scale)


def test_probabilities_have_two_sides():
    with pytest.raises(ValueError, match=r"^probabilities have the shape \(h, w\), not \(1, 4, 4\)\.$"):
        textdetector.boxes(np.zeros((1, 4, 4)), SHAPE)
