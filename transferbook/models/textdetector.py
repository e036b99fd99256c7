"""A network that marks the text in a picture, and boxes made from its marks.

The detector of PP-OCRv4 in its small form. For every pixel it tells a probability that the pixel lies in the
middle of a line of text: of a box that was made smaller on all sides, so that neighbours stay apart. What it
was trained to say is Differentiable Binarization (Liao et al., 2020); `boxes` follows their rule back from
the marks to boxes, with the settings of the package that has the weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transferbook.data import assets

WIDTH = 24  # features of every second pixel
SHORT_SIDE = 736  # pixels to which the package that has the weights enlarges a picture's shorter side
_MULTIPLE = 32  # of pixels, in either direction: the network halves five times
_FEATURES = "batch_norm_1.tmp_4"  # what the last layer reads


@dataclass(frozen=True)
class Marks:
    """What the detector says of one picture, at the size at which it read it.

    Attributes:
        probability: shape (h, w), multiples of 32: that a pixel is in the middle of a line of text.
        features: shape (24, h / 2, w / 2), at least 0: what the last layer makes the probability of.
    """

    probability: NDArray[np.float32]
    features: NDArray[np.float32]


@dataclass(frozen=True)
class TextDetector:
    """Pictures to `Marks` (`read`)."""

    session: Any = field(repr=False)

    def read(self, picture: NDArray[np.uint8], scale: float) -> Marks:
        """Marks of one picture.

        Args:
            picture: shape (H, W, 3), whole numbers from 0 to 255.
            scale: how much larger the network is to see it; the sides are rounded to multiples of 32.

        Raises:
            ValueError: if it is no such picture, or the scale leaves nothing of it.
        """
        if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
            raise ValueError(
                f"a picture has shape (H, W, 3) and uint8; this one has {picture.shape} and {picture.dtype}."
            )
        size = [round(side * scale / _MULTIPLE) * _MULTIPLE for side in picture.shape[:2]]
        if min(size) < _MULTIPLE:
            raise ValueError(
                f"at scale {scale:g} a picture of {picture.shape[:2]} pixels is too small to be read."
            )
        resized = _resize(picture, size)
        x = (resized.transpose(2, 0, 1)[None] / 255 - 0.5) / 0.5  # (1, 3, h, w), from -1 to 1
        probability, features = self.session.run(None, {"x": x.astype(np.float32)})
        return Marks(probability[0, 0], features[0])


def load() -> TextDetector:
    """The pretrained detector, for one thread of the CPU.

    Raises:
        AssetError: if the wheel that holds it cannot be had.
    """
    import onnx
    import onnxruntime

    model = onnx.load_from_string(assets.read_member("textdetector", "detector.onnx"))
    model.graph.output.append(onnx.helper.make_tensor_value_info(_FEATURES, onnx.TensorProto.FLOAT, None))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return TextDetector(
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    )


def boxes(
    probability: NDArray[np.floating],
    shape: Sequence[int],
    threshold: float = 0.3,
    sure: float = 0.5,
    growth: float = 1.6,
) -> NDArray[np.float64]:
    r"""Upright boxes around what is marked as text.

    Pixels above the threshold that touch are one line of text. Around them lies a box, of width $w$ and
    height $h$; it is kept if the mean probability in it is at least `sure`, and grows on every side by
    $\text{growth} \cdot wh / 2(w + h)$, since the marks are smaller than the text (Liao et al., 2020).

    Args:
        probability: shape (h, w), of any size.
        shape: height and width of the picture, in whose pixels the boxes are told.
        threshold: from which probability on a pixel is marked.
        sure: the least mean probability of a box.
        growth: how much boxes grow.

    Returns:
        Shape (N, 4), in pixels of the picture: left, top, right, bottom. Narrower ones than 4 are left out.

    Raises:
        ValueError: if the probabilities are no such array.
    """
    from scipy import ndimage

    if probability.ndim != 2:
        raise ValueError(f"probabilities have the shape (h, w), not {probability.shape}.")
    marked = ndimage.maximum_filter(probability > threshold, size=2)
    labels, _ = ndimage.label(marked, structure=np.ones((3, 3)))
    high, wide = shape[0] / probability.shape[0], shape[1] / probability.shape[1]
    found = []
    for place in ndimage.find_objects(labels):
        (top, bottom), (left, right) = ((side.start, side.stop - 1) for side in place)
        w, h = right - left, bottom - top
        if min(w, h) < 3 or probability[place].mean() < sure:
            continue
        d = growth * w * h / (2 * (w + h))
        box = np.array([left - d, top - d, right + d, bottom + d]) * [wide, high, wide, high]
        found.append(box.clip(0, [shape[1], shape[0], shape[1], shape[0]]))
    found = np.array(found).reshape(-1, 4)
    return found[np.minimum(found[:, 2] - found[:, 0], found[:, 3] - found[:, 1]) >= 4]


def _resize(picture: NDArray[np.uint8], size: Sequence[int]) -> NDArray[np.float64]:
    """Between pixels by straight lines, in whole numbers, as the detector's package does it."""
    import torch
    from torch.nn import functional as F

    x = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].double()
    x = F.interpolate(x, size=list(size), mode="bilinear", align_corners=False)
    return x[0].permute(1, 2, 0).round().numpy()
