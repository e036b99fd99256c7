"""Which studies cannot run here: those that need an optional asset which nobody has fetched."""

from __future__ import annotations

from transferbook.data import assets
from transferbook.evidence import studies
from transferbook.evidence.records import StudyError


def lacking(name: str) -> list[str]:
    """The optional assets that a study needs and that are not here, so that none of its rows can be computed.

    Raises:
        StudyError: if it needs one that is not optional, and so need not be declared.
        AssetError: if there is no such asset.
    """
    needs = studies.open_study(name).needs
    for asset in needs:
        if not assets.lookup(asset).optional:
            raise StudyError(f'Study {name} declares that it needs "{asset}", which is there anyway.')
    return [asset for asset in needs if not assets.is_ready(asset)]
