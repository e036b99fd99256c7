"""ChemNet: a network that reads the formula of a molecule, letter by letter, and gives 512 features.

It learned to predict the results of assays, in which molecules were tried (Mayr et al., 2018), and became the
yardstick of generated molecules (Preuer et al., 2018). The wheel of `fcd` holds its weights as plain tensors,
which `torch.load(weights_only=True)` reads; the network is written out here.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from transferbook.data import assets

LENGTH = 350  # letters, padding included: what its features were published for
WIDTH = 512
# "X" stands for what is not in the list, "." for the end.
LETTERS = (
    "C N O H F Cl P B Br S I Si # ( ) + - 1 2 3 4 5 6 7 8 = [ ] @ c n o s X ."
).split()  # fmt: skip
_NUMBER = {letter: i for i, letter in enumerate(LETTERS)}
_LONGEST_FIRST = re.compile("|".join(map(re.escape, sorted(LETTERS, key=len, reverse=True))) + "|.")


class ChemNet(nn.Module):
    """Two convolutions over the letters, then two LSTMs: one from the end, one from the start."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            [
                nn.Conv1d(len(LETTERS), 32, kernel_size=4, stride=2, bias=False),
                nn.Conv1d(32, 32, kernel_size=4, stride=2, bias=False),
            ]
        )
        self.from_end = nn.LSTM(32, 128, batch_first=True)
        self.from_start = nn.LSTM(128, WIDTH, batch_first=True)

    def forward(self, letters: Tensor) -> Tensor:
        """Features of molecules.

        Args:
            letters: from `prepare_smiles`, shape (B, 350, 35).

        Returns:
            Shape (B, 512): the state of the last LSTM when it has read all.
        """
        x = letters.transpose(1, 2)  # (B, 35, 350)
        for convolution, padding in zip(self.convolutions, [(1, 1), (1, 2)], strict=True):
            x = F.selu(convolution(F.pad(x, padding)))  # (B, 32, 175), then (B, 32, 88)
        x = x.transpose(1, 2)
        x, _ = self.from_end(x.flip(1))
        x, _ = self.from_start(x.flip(1))
        return x[:, -1]


def load() -> ChemNet:
    """The pretrained network, in eval mode.

    Raises:
        AssetError: if the wheel that holds the weights cannot be had.
    """
    content = assets.read_member("chemnet", "weights.pt")
    layers = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    module = ChemNet().eval()
    homes = [*module.convolutions, module.from_end, module.from_start]
    for home, (_, (weights, _, _)) in zip(homes, layers, strict=True):
        home.load_state_dict(weights)
    return module


def prepare_smiles(smiles: Sequence[str]) -> Tensor:
    """Formulas in the notation SMILES as the network reads them: one of 35 letters at each of 350 places.

    Args:
        smiles: canonical SMILES, such as RDKit writes.

    Returns:
        Shape (N, 350, 35): 1/35 for the letter that stands there, 0 for the others; after the end, all 0.

    Raises:
        ValueError: if a formula has more than 349 letters.
    """
    rows = torch.zeros(len(smiles), LENGTH, len(LETTERS))
    for row, formula in enumerate(smiles):
        numbers = [_NUMBER.get(letter, _NUMBER["X"]) for letter in _LONGEST_FIRST.findall(formula + ".")]
        if len(formula) >= LENGTH:
            raise ValueError(
                f"{formula[:40]}… has {len(formula)} letters; ChemNet reads at most {LENGTH - 1}."
            )
        rows[row, range(len(numbers)), numbers] = 1 / len(LETTERS)
    return rows


@torch.no_grad()
def embed(module: ChemNet, smiles: Sequence[str], batch_size: int = 128) -> Tensor:
    """Features of many molecules, in batches.

    Args:
        module: from `load`.
        smiles: canonical SMILES of N molecules.
        batch_size: how many are read at once.

    Returns:
        Shape (N, 512), float32.

    Raises:
        ValueError: if there are none, or one is too long.
    """
    if not len(smiles):
        raise ValueError("there are no molecules to read.")
    batches = [smiles[start : start + batch_size] for start in range(0, len(smiles), batch_size)]
    return torch.cat([module(prepare_smiles(batch)) for batch in batches])
