"""Re-run a study's smallest grid with shuffled training labels: python rerun_study.py NAME FILE."""

from __future__ import annotations

import dataclasses
import json
import runpy
import sys
from pathlib import Path

from transferbook.evidence import studies

runpy.run_path(str(Path(__file__).with_name("shuffle_labels.py")))

study = studies.open_study(sys.argv[1])
rows = [
    {"config": dataclasses.asdict(config), "seed": seed, "metrics": study.run(config, seed)}
    for config, seed in study.smallest()
]
Path(sys.argv[2]).write_text(json.dumps(rows), encoding="utf-8")
