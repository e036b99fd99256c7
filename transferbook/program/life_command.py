"""The command `python -m transferbook life --out FOLDER`: one model, from published to exported."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from transferbook.program import commands


def add_to(parser: argparse.ArgumentParser) -> None:
    """Give the parser of `life` its arguments."""
    parser.add_argument("--out", metavar="FOLDER", required=True, help="for the models and their records")
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn (default 0)")
    parser.add_argument("--labels", type=int, metavar="N", help="stories to learn from; few for a quick look")
    parser.set_defaults(command=commands.run, step=_live)


def _live(options: argparse.Namespace) -> int:
    from transferbook.program import life

    settings = life.Settings() if options.labels is None else life.Settings(labels=options.labels)
    folder = Path(options.out)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; give the name of a folder.")
    links = life.run(folder, settings, options.seed)
    print(table(links, life.speeds(links, settings), life.memory(links)))
    print(f"{folder}: {len(links)} models, each with a record; the last record's hash is {links[-1].digest}")
    return 0


def table(links: Any, speeds: Any, memory: Any) -> str:
    """The stations, one a line.

    Args:
        links: of `life.run`.
        speeds: of `life.speeds`.
        memory: of `life.memory`.
    """
    titles = ("accuracy", "rare", "worst", "calibr.", "changed", "MB", "ms", "95 %", "ratio", "peak MB")
    rows = [f"{'':12}" + "".join(f"{title:>9}" for title in titles)]
    for link in links:
        found = link.record["scores"]
        row = [found[name] for name in ("accuracy", "rare_recall", "worst_recall", "calibration_error")]
        cells = [*(f"{value:9.3f}" for value in row), f"{found['changed']:9.1%}"]
        cells.append(f"{link.record['bytes'] / 1e6:9.1f}")
        if link.name in speeds:
            speed = speeds[link.name]
            cells.append(f"{1e3 * speed.p50:9.1f}{1e3 * speed.p95:9.1f}{speed.ratio:9.2f}")
            cells.append(f"{memory[link.name] / 1e6:9.0f}")
        rows.append(f"{link.name:12}" + "".join(cells))
    return "\n".join(rows)
