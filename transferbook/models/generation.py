"""How a decoder writes: one token after the other, the likeliest or a drawn one."""

from __future__ import annotations

import torch
from torch import Tensor

from transferbook.models.decoder import Cache, Decoder

__all__ = ["choose_token", "generate"]


def choose_token(
    logits: Tensor,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """One token (B,) for each row of logits (B, V).

    Args:
        logits: of the next token.
        temperature: 0 takes the likeliest (greedy); else the logits are divided by it and a token is drawn.
        top_k: draw among the likeliest k only.
        top_p: draw among the fewest likeliest tokens whose probabilities sum to at least p (nucleus).
        generator: of the draws.

    Raises:
        ValueError: if the temperature is negative, `top_k` below 1, or `top_p` not in (0, 1].

    Source: Holtzman et al. (2020), The curious case of neural text degeneration, for `top_p`.
    """
    if temperature < 0 or (top_k is not None and top_k < 1) or (top_p is not None and not 0 < top_p <= 1):
        raise ValueError(
            f"temperature ({temperature}) must be at least 0, top_k ({top_k}) at least 1 "
            f"and top_p ({top_p}) above 0 and at most 1."
        )
    if temperature == 0:
        return logits.argmax(dim=-1)
    probabilities, order = (logits / temperature).softmax(dim=-1).sort(dim=-1, descending=True, stable=True)
    keep = torch.ones_like(probabilities, dtype=torch.bool)
    if top_k is not None:
        keep[..., top_k:] = False
    if top_p is not None:
        keep &= probabilities.cumsum(dim=-1) - probabilities < top_p
    drawn = torch.multinomial(probabilities * keep, 1, generator=generator)  # (B, 1)
    return order.gather(-1, drawn).squeeze(-1)


@torch.no_grad()
def generate(
    model: Decoder,
    tokens: Tensor,
    present: Tensor | None = None,
    steps: int = 20,
    use_cache: bool = True,
    stop: int | None = None,
    **how: object,
) -> Tensor:
    """The tokens (B, up to `steps`) that a decoder writes after those of `tokens` (B, T).

    Args:
        model: in eval mode or not: it has no dropout.
        tokens: beginnings; ragged ones are padded on the left, as each goes on from the last column.
        present: (B, T), false or 0 for padding.
        steps: at most as many tokens are written.
        use_cache: read each token once; False reads everything anew at each step, which gives the same.
        stop: a token that ends a text, which is filled with it from there on; when all have ended, so does
            the writing.
        how: `temperature`, `top_k`, `top_p`, `generator` of `choose_token`.

    Raises:
        ValueError: if a text ends in padding, or `steps` is below 1.
    """
    present = torch.ones_like(tokens, dtype=torch.bool) if present is None else present.bool()
    if steps < 1 or not present[:, -1].all():
        raise ValueError(f"steps ({steps}) must be at least 1, and no text may end in padding.")
    cache = Cache() if use_cache else None
    read, mask, written = tokens, present, []
    ended = torch.zeros(len(tokens), dtype=torch.bool, device=tokens.device)
    for _ in range(steps):
        token = choose_token(model(read, mask, cache, last=True)[:, -1], **how)  # (B,)
        if stop is not None:
            token = token.masked_fill(ended, stop)
            ended |= token == stop
        written.append(token)
        if stop is not None and ended.all():
            break
        new = torch.ones_like(token, dtype=torch.bool)[:, None]
        if use_cache:
            read, mask = token[:, None], new
        else:
            read, mask = torch.cat([read, token[:, None]], dim=1), torch.cat([mask, new], dim=1)
    return torch.stack(written, dim=1)
