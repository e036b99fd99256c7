"""ChemNet, written out: its features are those of the package whose weights it has."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from transferbook.models import chemnet

# Read by the network of the package fcd 1.2.2 itself: the sum of the features, and the eighth of them.
KNOWN = {
    "CCO": (1.190065, -0.003946),
    "O=C(O)c1cc(N=Nc2ccc(S(=O)(=O)Nc3ccccn3)cc2)ccc1O": (11.316055, -0.013376),
    "Oc1c(I)cc(Cl)c2cccnc12": (5.208465, 0.036662),
    "C[C@H](N)/C=C/[Na]": (4.360031, -0.080461),  # letters that it does not know
    "c1ccc2[nH]ccc2c1": (8.355821, -0.042262),
    "CC[Si](C)(C)Br": (7.641071, -0.052267),  # two letters that are one
}


@pytest.fixture(scope="module")
def network():
    return chemnet.load()


def test_features_are_those_of_its_package(network):
    found = chemnet.embed(network, list(KNOWN))
    assert found.shape == (6, 512) and found.dtype == torch.float32
    expected = torch.tensor(list(KNOWN.values()))
    assert found.sum(dim=1).tolist() == pytest.approx(expected[:, 0].tolist(), abs=1e-4)
    assert found[:, 7].tolist() == pytest.approx(expected[:, 1].tolist(), abs=1e-5)


def test_the_lstms_are_the_textbook_s(network):
    """The last state, from the recurrence written out in NumPy."""

    def sigmoid(z):
        return 1 / (1 + np.exp(-z))

    def run(lstm, rows):
        w, u, b, c = (p.detach().double().numpy() for p in lstm.parameters())
        state, cell, states = np.zeros(lstm.hidden_size), np.zeros(lstm.hidden_size), []
        for row in rows:
            i, f, g, o = np.split(w @ row + u @ state + b + c, 4)
            cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
            state = sigmoid(o) * np.tanh(cell)
            states.append(state)
        return np.array(states)

    x = np.pad(chemnet.prepare_smiles(["CC(=O)Nc1ccc(O)cc1"])[0].double().numpy(), [(1, 1), (0, 0)])
    for convolution, padding in zip(network.convolutions, [(0, 0), (1, 2)], strict=True):
        x = np.pad(x, [padding, (0, 0)])
        w = convolution.weight.detach().double().numpy()  # (out, in, 4)
        x = np.array([np.einsum("oik,ki->o", w, x[t : t + 4]) for t in range(0, len(x) - 3, 2)])
        x = 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x))
    last = run(network.from_start, run(network.from_end, x[::-1])[::-1])[-1]
    assert chemnet.embed(network, ["CC(=O)Nc1ccc(O)cc1"])[0].numpy() == pytest.approx(last, abs=1e-4)


def test_letters_stand_where_they_are(network):
    rows = chemnet.prepare_smiles(["ClC", "C"])
    assert rows.shape == (2, 350, 35) and rows.sum(dim=(1, 2)).tolist() == pytest.approx([3 / 35, 2 / 35])
    places = [[chemnet.LETTERS[i] for i in row[:3].argmax(dim=1)] for row in rows]
    assert places[0] == ["Cl", "C", "."] and places[1][:2] == ["C", "."]


def test_batches_change_nothing(network):
    together = chemnet.embed(network, list(KNOWN))
    assert torch.allclose(chemnet.embed(network, list(KNOWN), batch_size=4), together, atol=1e-5)


def test_a_formula_that_is_too_long_and_none_at_all(network):
    assert chemnet.prepare_smiles(["C" * 349]).shape == (1, 350, 35)
    with pytest.raises(ValueError, match=r"^C{40}… has 350 letters; ChemNet reads at most 349\.$"):
        chemnet.prepare_smiles(["C" * 350])
    with pytest.raises(ValueError, match=r"^there are no molecules to read\.$"):
        chemnet.embed(network, [])
