"""The command `python -m transferbook card MODEL [--out FILE]`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from transferbook.program import commands


def add_to(parser: argparse.ArgumentParser) -> None:
    """Give the parser of `card` its arguments."""
    known = "a file of `classify train --save` or of `export`, or a record of `life` (.json)"
    parser.add_argument("model", metavar="MODEL", help=known)
    parser.add_argument("--out", metavar="FILE", help="ending in .md, or in .html; default: print")
    parser.set_defaults(command=commands.run, step=_card)


def _card(options: argparse.Namespace) -> int:
    from transferbook.program import card

    out = None if options.out is None else Path(options.out)
    if out is not None and out.suffix.lower() not in (".md", ".html"):
        raise ValueError(f"{out} has another ending than .md or .html; give it one of these.")
    commands._check_folder(out)
    text = card.page(options.model)
    if out is None:
        sys.stdout.write(text)
        return 0
    commands._write(out, card.as_html(text) if out.suffix.lower() == ".html" else text)
    print(f"{out}: the card of {options.model}.")
    return 0
