"""The multilingual encoder, held against vectors of the package that it comes from, and against itself."""

from __future__ import annotations

import pytest
import torch

from transferbook.models import multilingual

SENTENCES = ("The password is too short.", "Das Passwort ist zu kurz.", "Salasana on liian lyhyt.")
# the first four numbers, as the package's own code computes them
EXPECTED = (
    (0.023742, -0.067245, 0.031667, 0.018837),
    (0.016979, -0.065246, 0.054500, 0.042067),
    (-0.083549, -0.060019, 0.042961, 0.037336),
)


@pytest.fixture(scope="module")
def encoder():
    return multilingual.sentence_encoder()


def test_vectors_are_those_of_the_package(encoder):
    vectors = encoder.embed(SENTENCES)
    assert vectors.shape == (3, multilingual.WIDTH) and vectors.dtype == torch.float32
    torch.testing.assert_close(vectors[:, :4], torch.tensor(EXPECTED), atol=1e-5, rtol=0)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(3))


def test_a_batch_changes_no_vector(encoder):
    texts = [
        "No",
        *SENTENCES,
        "A rather long sentence, which is cut into many more pieces than the others are.",
    ]
    alone = torch.cat([encoder.embed([text]) for text in texts])
    torch.testing.assert_close(encoder.embed(texts, batch=2), alone, atol=1e-5, rtol=0)
    torch.testing.assert_close(encoder.embed(texts), alone, atol=1e-5, rtol=0)


def test_translations_are_close_in_its_languages_alone(encoder):
    english, german, finnish = encoder.embed(SENTENCES)
    assert english @ german > 0.8 and english @ finnish < 0.5


def test_pieces(encoder):
    assert encoder.pieces(["The password is too short."]) == [[76, 11007, 32, 651, 2115, 8]]
    assert encoder.pieces(["  The  password is too short.  "]) == encoder.pieces(
        ["The password is too short."]
    )
    assert multilingual.UNKNOWN in encoder.pieces(["ئەو ژمارەی"])[0]
    assert encoder.pieces([""]) == [[multilingual.UNKNOWN]]


def test_nothing_to_embed(encoder):
    with pytest.raises(ValueError, match=r"^There is no text to embed\.$"):
        encoder.embed([])
