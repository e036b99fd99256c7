"""How a decoder writes: choosing tokens, ragged batches, caches and ends."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from transferbook.models import decoder as dec
from transferbook.models import generation

P = torch.tensor([0.1, 0.4, 0.05, 0.3, 0.15])


def draws(count: int = 20_000, **how: object) -> torch.Tensor:
    """How often each of five tokens with the probabilities P is drawn."""
    generator = torch.Generator().manual_seed(0)
    drawn = generation.choose_token(P.log().expand(count, -1), generator=generator, **how)
    return torch.bincount(drawn, minlength=5) / count


@pytest.fixture(scope="module")
def model() -> dec.Decoder:
    torch.manual_seed(3)
    config = dec.DecoderConfig(vocabulary=30, width=16, layers=2, heads=4, kv_heads=2, hidden=24)
    network = dec.Decoder(config).double()
    for parameter in network.parameters():
        parameter.data = torch.randn_like(parameter) / 2 + (parameter.ndim == 1)
    return network


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"temperature": 0.0}, [0, 1, 0, 0, 0]),
        ({"temperature": 1.0}, P.tolist()),
        ({"temperature": 0.5}, (P**2 / (P**2).sum()).tolist()),
        ({"temperature": 1.0, "top_k": 2}, [0, 4 / 7, 0, 3 / 7, 0]),
        ({"temperature": 1.0, "top_p": 0.75}, [0, 0.4 / 0.85, 0, 0.3 / 0.85, 0.15 / 0.85]),
        ({"temperature": 1.0, "top_p": 0.3}, [0, 1, 0, 0, 0]),
        ({"temperature": 1.0, "top_p": 1.0}, P.tolist()),
    ],
)
def test_choose_draws_as_often_as_it_should(how, expected):
    assert_close(draws(**how), torch.tensor(expected, dtype=torch.float32), atol=0.012, rtol=0)


@pytest.mark.parametrize("how", [{"temperature": -1.0}, {"top_k": 0}, {"top_p": 0.0}, {"top_p": 1.5}])
def test_choose_refuses(how):
    with pytest.raises(ValueError, match="must be at least 0, top_k"):
        generation.choose_token(P[None], **how)


def test_greedy_is_the_argmax_again_and_again(model):
    text = torch.tensor([[3, 7, 1]])
    written = generation.generate(model, text, steps=6)
    for token in written[0]:
        assert model(text)[0, -1].argmax() == token
        text = torch.cat([text, token.view(1, 1)], dim=1)


@pytest.mark.parametrize("use_cache", [True, False])
def test_a_ragged_batch_writes_what_each_writes_alone(model, use_cache):
    rows = [[3, 7, 1, 12, 9], [5, 2], [28]]
    batch = torch.tensor([[0] * (5 - len(row)) + row for row in rows])
    present = torch.arange(5) >= (5 - torch.tensor([5, 2, 1]))[:, None]
    together = generation.generate(model, batch, present, steps=8, use_cache=use_cache)
    alone = [generation.generate(model, torch.tensor([row]), steps=8)[0] for row in rows]
    assert torch.equal(together, torch.stack(alone))


def test_sampling_repeats_with_its_generator(model):
    text = torch.tensor([[3, 7, 1], [4, 4, 4]])

    def write(seed: int) -> torch.Tensor:
        return generation.generate(
            model, text, steps=10, temperature=1.0, generator=torch.Generator().manual_seed(seed)
        )

    assert torch.equal(write(1), write(1)) and not torch.equal(write(1), write(2))


def test_a_stop_fills_the_rest_and_ends_when_all_have(model):
    text = torch.tensor([[3, 7, 1], [5, 2, 9]])
    free = generation.generate(model, text, steps=8)
    stop = int(free[0, 2])
    first = [row.index(stop) if stop in row else 8 for row in free.tolist()]
    written = generation.generate(model, text, steps=8, stop=stop)
    assert written.shape[1] == min(8, max(first) + 1)
    for row, where in enumerate(first):
        assert torch.equal(written[row, :where], free[row, :where]) and (written[row, where:] == stop).all()
    assert generation.generate(model, text[:1], steps=8, stop=stop).shape == (1, first[0] + 1)


def test_generate_refuses(model):
    text = torch.tensor([[3, 7, 1]])
    with pytest.raises(ValueError, match=r"steps \(0\) must be at least 1"):
        generation.generate(model, text, steps=0)
    with pytest.raises(ValueError, match="no text may end in padding"):
        generation.generate(model, text, torch.tensor([[1, 1, 0]]))
