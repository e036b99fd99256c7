"""Molecules with a measured property, and the skeletons that they are split by."""

from __future__ import annotations

import pytest
from rdkit import Chem

from transferbook.data import molecules


@pytest.fixture(scope="module")
def soluble():
    return molecules.solubility()


@pytest.fixture(scope="module")
def barrier():
    return molecules.blood_brain()


def canonical(formula: str) -> str:
    return Chem.MolToSmiles(Chem.MolFromSmiles(formula))


def test_solubility_is_as_measured(soluble):
    assert list(soluble) == ["smiles", "name", "solubility"] and len(soluble) == 1282
    first = soluble.loc[soluble["name"] == "n-pentane"].iloc[0]
    assert (first["smiles"], first["solubility"]) == ("CCCCC", -3.18)
    assert soluble["solubility"].between(-12, 2).all() and soluble["solubility"].mean() < -2


def test_formulas_are_canonical(soluble, barrier):
    for formula in [*soluble["smiles"][::50], *barrier["smiles"][::400], *barrier["flat"][::400]]:
        assert canonical(formula) == formula


def test_the_barrier_has_its_rows_and_answers(barrier):
    assert list(barrier) == ["smiles", "name", "passes", "flat"] and len(barrier) == 7805
    assert barrier["passes"].dtype == bool and barrier["passes"].sum() == 4956
    clioquinol = barrier.loc[barrier["name"] == "clioquinol"].iloc[0]
    assert clioquinol["smiles"] == canonical("Oc1c(I)cc(Cl)c2cccnc12") and not clioquinol["passes"]


def test_what_is_flat_forgets_left_and_right(barrier):
    assert not barrier["flat"].str.contains("@").any() and barrier["smiles"].str.contains("@").any()
    assert barrier["flat"].nunique() == 4037  # half of the rows are another row, turned in space


def test_a_skeleton_is_rings_and_what_joins_them():
    assert molecules.skeleton("CCO") == ""
    assert molecules.skeleton("Cc1ccccc1O") == "c1ccccc1"
    assert molecules.skeleton("O=C(O)c1ccc(CCc2ccccc2)cc1") == canonical("c1ccc(CCc2ccccc2)cc1")
    both = [molecules.skeleton(f"C1CC[C{turn}H]2CCCC[C@@H]2C1") for turn in ("@", "@@")]
    assert both[0] == both[1] and "@" not in both[0]
    with pytest.raises(ValueError, match=r"^'C1CC' is no formula that RDKit can read\.$"):
        molecules.skeleton("C1CC")


def test_each_call_gives_a_table_of_its_own(soluble):
    one = molecules.solubility()
    one.loc[0, "solubility"] = 0
    assert molecules.solubility().equals(soluble) and not one.equals(soluble)
