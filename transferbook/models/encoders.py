"""The two encoders of the book: a network from inputs to one vector of features, and its stages."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class TextEncoder(nn.Module):
    """A BERT-like network followed by the mean over the tokens of each text.

    Args:
        bert: a transformers model with `embeddings` and `encoder.layer`, without its pooler.
    """

    def __init__(self, bert: nn.Module) -> None:
        super().__init__()
        self.bert = bert

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Features (B, D) of token indices (B, T) and their mask (B, T), 1 for a token and 0 for padding.

        Columns at the end that are padding in every row are dropped first: they cost time and change nothing.
        """
        if not torch.compiler.is_exporting():  # a file cannot hold a length that the numbers decide
            length = int(attention_mask.any(dim=0).nonzero().max()) + 1
            input_ids, attention_mask = input_ids[:, :length], attention_mask[:, :length]
        tokens = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state  # (B, T, D)
        weights = attention_mask.unsqueeze(-1).to(tokens.dtype)  # (B, T, 1)
        return (tokens * weights).sum(dim=1) / weights.sum(dim=1)

    def stages(self) -> list[list[nn.Module]]:
        """The modules from input to output: the embeddings, then each transformer layer."""
        return [[self.bert.embeddings], *([layer] for layer in self.bert.encoder.layer)]


class ImageEncoder(nn.Module):
    """A convolutional network up to its pooled features, its images laid out channels-last.

    That layout changes no value, only the order in memory; on a CPU it trains from a third faster to twice
    as fast.

    Args:
        network: a module from pixels (B, 3, H, W) to features (B, D).
        stage_names: names of its submodules, stage by stage from input to output.
    """

    def __init__(self, network: nn.Module, stage_names: Sequence[Sequence[str]]) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self.stage_names = stage_names

    def forward(self, pixels: Tensor) -> Tensor:
        """Features (B, D) of normalised images (B, 3, H, W)."""
        return self.network(pixels.contiguous(memory_format=torch.channels_last))

    def stages(self) -> list[list[nn.Module]]:
        """The modules from input to output: the stem, each block of the network, the last convolution."""
        return [[self.network.get_submodule(name) for name in names] for names in self.stage_names]
