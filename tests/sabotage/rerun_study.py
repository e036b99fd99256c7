"""Re-run a study's smallest grid with shuffled training labels: python rerun_study.py NAME FILE.

Where the study needs an optional asset that is not here, nothing can be run: then each metric of its recorded
rows is dealt out to other rows by lot, so that no comparison means anything.
"""

from __future__ import annotations

import dataclasses
import json
import os
import random
import runpy
import sys
from pathlib import Path

from transferbook.evidence import records, studies

sys.path.append(str(Path(__file__).parents[1]))
from study_needs import lacking

runpy.run_path(str(Path(__file__).with_name("shuffle_labels.py")))

study = studies.open_study(sys.argv[1])


def dealt() -> list[dict]:
    """The recorded metrics of the smallest grid, each dealt out among the rows that have it."""
    os.environ["TRANSFERBOOK_RESULTS"] = os.environ["TRANSFERBOOK_RECORDED"]
    recorded = {records.key(row): row["metrics"] for _, _, row in studies.complete(study.name)}
    rows = [dict(recorded[studies.row_key(*pair)]) for pair in study.smallest()]
    for metric in sorted({metric for row in rows for metric in row}):
        holders = [row for row in rows if metric in row]
        values = [row[metric] for row in holders]
        random.Random(metric).shuffle(values)
        for row, value in zip(holders, values, strict=True):
            row[metric] = value
    return rows


metrics = dealt() if lacking(study.name) else [study.run(*pair) for pair in study.smallest()]
rows = [
    {"config": dataclasses.asdict(config), "seed": seed, "metrics": found}
    for (config, seed), found in zip(study.smallest(), metrics, strict=True)
]
Path(sys.argv[2]).write_text(json.dumps(rows), encoding="utf-8")
