"""Molecules with a measured property, as tables: one molecule a row, its formula in the notation SMILES.

`skeleton` says what the field splits by: rings and the chains between them, without anything that hangs on
them (Bemis and Murcko, 1996).
"""

from __future__ import annotations

import io
from contextlib import contextmanager
from typing import TYPE_CHECKING

from transferbook.data import assets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pandas import DataFrame


def solubility() -> DataFrame:
    """How well molecules dissolve in water: the logarithm of moles in a litre.

    Returns:
        Columns `smiles` (canonical, as RDKit writes it), `name` and `solubility`; 1,282 rows. Molecules that
        were measured twice stay twice.

    Raises:
        AssetError: if the wheel cannot be had.
    """
    import pandas as pd
    from rdkit import Chem

    rows = []
    with _quiet():
        for content in assets.read_members("solubility").values():
            for molecule in Chem.ForwardSDMolSupplier(io.BytesIO(content)):
                said = molecule.GetPropsAsDict()
                rows.append((Chem.MolToSmiles(molecule), str(said["NAME"]), float(said["SOL"])))
    return pd.DataFrame(rows, columns=["smiles", "name", "solubility"])


def blood_brain() -> DataFrame:
    """Whether molecules pass from the blood into the brain: 7,807 rows, as gathered from 50 publications.

    Returns:
        Columns `smiles` (canonical), `name`, `passes` (True or False), and `flat`: the SMILES without what is
        left and right in space, which many rows share. Two rows that RDKit cannot read are left out.

    Raises:
        AssetError: if the wheel cannot be had.
    """
    import pandas as pd
    from rdkit import Chem

    table = pd.read_csv(io.BytesIO(assets.read_member("blood_brain", "molecules.tsv")), sep="\t")
    rows = []
    with _quiet():
        for formula, name, said in zip(
            table["SMILES"], table["compound_name"], table["BBB+/BBB-"], strict=True
        ):
            if (molecule := Chem.MolFromSmiles(formula)) is not None:
                flat = Chem.MolToSmiles(molecule, isomericSmiles=False)
                rows.append((Chem.MolToSmiles(molecule), str(name), said == "BBB+", flat))
    return pd.DataFrame(rows, columns=["smiles", "name", "passes", "flat"])


def skeleton(smiles: str) -> str:
    """Rings and the chains between them, as SMILES; empty for a molecule without a ring.

    Raises:
        ValueError: if RDKit cannot read the formula.
    """
    from rdkit import Chem
    from rdkit.Chem.Scaffolds import MurckoScaffold

    with _quiet():
        molecule = Chem.MolFromSmiles(smiles)
        if molecule is None:
            raise ValueError(f"{smiles!r} is no formula that RDKit can read.")
        return MurckoScaffold.MurckoScaffoldSmiles(mol=molecule, includeChirality=False)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without RDKit's remarks on what it reads."""
    from rdkit import rdBase

    block = rdBase.BlockLogs()
    try:
        yield
    finally:
        del block
