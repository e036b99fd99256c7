"""The command `python -m transferbook costs MODEL`: what a transformer costs, before anybody runs it."""

from __future__ import annotations

import argparse
import json
import math
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transferbook.models.costs import Transformer
    from transferbook.models.known_models import KnownModel

LARGEST = 10**15  # tokens, of a text or of a training: more is a slip of the finger
WIDTH = 44


def add_to(parser: argparse.ArgumentParser) -> None:
    """Give the parser of `costs` its arguments."""
    parser.add_argument("model", metavar="MODEL", help="a known model, a config.json or its folder; or list")
    parser.add_argument("--length", metavar="T", help="tokens of a text (default 1024, or what it can)")
    parser.add_argument("--batch", default="1", metavar="B", help="texts at a time (default 1)")
    parser.add_argument("--bits", default="16", metavar="N", help="of a number: 32, 16, 8 or 4 (default 16)")
    parser.add_argument("--train-on", metavar="TOKENS", help="tokens of a training, such as 2e12")
    parser.add_argument("--on", default="a100", metavar="NAME", help="accelerator: v100, a100, h100")
    parser.add_argument("--json", action="store_true", help="print numbers for programs")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the parsed command; 0, or 1 after one sentence on stderr."""
    try:
        print(listing() if options.model == "list" else _answer(options))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def listing() -> str:
    """The known models: parameters computed, and as their authors print them."""
    from transferbook.models.known_models import KNOWN

    rows = [f"{'name':14} {'parameters':>17} {'work on a token':>17}  printed"]
    for name, known in KNOWN.items():
        sizes = known.sizes
        rows.append(f"{name:14} {sizes.total:17,} {sizes.active:17,}  {known.printed}")
    return "\n".join(rows)


def _answer(options: argparse.Namespace) -> str:
    from transferbook.models.known_models import lookup
    from transferbook.models.training_bill import ACCELERATORS

    batch = _count("--batch", options.batch)
    bits = _count("--bits", options.bits)
    if bits not in (32, 16, 8, 4):
        raise ValueError(f"--bits is {bits}; it must be 32, 16, 8 or 4.")
    if options.on.lower() not in ACCELERATORS:
        raise ValueError(f"There is no accelerator {options.on!r}; there are {', '.join(ACCELERATORS)}.")
    sizes, known = lookup(options.model)
    longest = sizes.positions or LARGEST
    length = _count("--length", options.length) if options.length is not None else min(1_024, longest)
    if length > longest:
        raise ValueError(f"--length is {length}; {options.model} has {sizes.positions} positions.")
    tokens = _count("--train-on", options.train_on) if options.train_on is not None else None
    if tokens is None and known is not None and known.trained_on:
        tokens = int(known.trained_on)
    found = numbers(sizes, length, batch, bits, tokens, options.on.lower())
    if options.json:
        return json.dumps(found, indent=2)
    return page(options.model, sizes, known, found)


def numbers(
    sizes: Transformer, length: int, batch: int, bits: int, tokens: int | None, accelerator: str
) -> dict[str, Any]:
    """All that the command says, as numbers.

    Args:
        sizes: of the network.
        length: tokens of each text.
        batch: texts at a time.
        bits: of a number in weights and cache.
        tokens: of a training; None leaves it out.
        accelerator: a name of `training_bill.ACCELERATORS`.
    """
    from transferbook.models import training_bill

    machine = training_bill.ACCELERATORS[accelerator]
    weights = sizes.total * bits // 8
    cache = sizes.cache_bytes(length, batch, each=2) if sizes.head != "none" else 0
    read = sizes.active * bits / 8 + cache  # for each token that is written; the chosen experts of one text
    found: dict[str, Any] = {
        "parameters": {name: count for name, count in sizes.parameters().items() if count},
        "total": sizes.total,
        "active": sizes.active,
        "length": length,
        "batch": batch,
        "bits": bits,
        "bytes": {
            "weights": weights,
            "cache of keys and values": cache,
            "training: weights, gradients, Adam": 16 * sizes.total,
            "training: activations": sizes.kept_bytes(length, batch, each=2),
        },
        "operations": {
            "reading the batch": sum(sizes.operations(length, batch).values()),
            "training on it": sizes.training_operations(length, batch),
        },
        "accelerator": {
            "name": machine.title,
            "needed at least": math.ceil((weights + cache) / machine.memory),
        },
    }
    if sizes.head != "none" and batch == 1:
        found["accelerator"]["tokens per second at most"] = machine.bandwidth / read
    if tokens is not None:
        bill = training_bill.training_bill(sizes.active, tokens, machine)
        found["training"] = {"tokens": tokens, **vars(bill)}
        found["assumptions"] = vars(training_bill.Assumptions())
    return found


def page(name: str, sizes: Transformer, known: KnownModel | None, found: dict[str, Any]) -> str:
    """The same, for people."""
    kind = "encoder" if sizes.head == "none" else "decoder"
    groups = f" on {sizes.key_heads} of keys" if sizes.key_heads != sizes.heads else ""
    experts = f", {sizes.chosen} of {sizes.experts} experts" if sizes.experts > 1 else ""
    rows = [
        f"{known.title if known else name}: {kind}, {sizes.layers} layers of width {sizes.width:,}, "
        f"{sizes.heads} heads{groups}{experts}",
        "",
        "parameters",
    ]
    for term, count in found["parameters"].items():
        rows.append(_row(term, f"{count:,}", f"{count / sizes.total:6.1%}"))
    printed = f"printed: {known.printed}" if known else ""
    rows.append(_row("all", f"{sizes.total:,}", printed))
    if sizes.experts > 1:
        rows.append(_row("that work on a token", f"{sizes.active:,}"))
    at_a_time = f"{found['batch']} text{'s' * (found['batch'] > 1)} of {found['length']:,} tokens"
    rows += ["", f"memory ({at_a_time})"]
    for term, size in found["bytes"].items():
        bits = f" of {found['bits']} bits" if term == "weights" else ""
        rows += [_row(term + bits, _bytes(size))] if size else []
    rows += ["", f"operations ({at_a_time})"]
    rows += [_row(term, _short(count)) for term, count in found["operations"].items()]
    machine = found["accelerator"]
    rows += ["", machine["name"], _row("needed at least, to run it", f"{machine['needed at least']:,}")]
    if "tokens per second at most" in machine:
        written = f"{machine['tokens per second at most']:,.0f}"
        rows.append(_row("tokens a second at most, one text", written, "memory is read once for each"))
    if "training" in found:
        rows += _training(found)
    if known and known.note:
        rows += ["", known.note]
    return "\n".join(rows)


def _training(found: dict[str, Any]) -> list[str]:
    bill, assumed = found["training"], found["assumptions"]
    use, rent = (" to ".join(f"{end:g}" for end in assumed[name]) for name in ("utilisation", "dollars"))
    return [
        "",
        f"a training on {_short(bill['tokens'])} tokens there",
        _row("operations", _short(bill["operations"]), "6 for each parameter and token"),
        _row("hours", _range(bill["hours"]), f"using {use} of the peak"),
        _row("megawatt hours", _range([end / 1_000 for end in bill["kilowatt_hours"]])),
        _row("dollars", _range(bill["dollars"]), f"at {rent} an hour"),
    ]


def _count(name: str, given: str) -> int:
    """A positive whole number, also written as 2e12 or 1_000."""
    try:
        value = float(given)
    except ValueError:
        value = math.nan
    if not (1 <= value <= LARGEST and value == int(value)):
        raise ValueError(f"{name} is {given!r}; it must be a whole number from 1 to {LARGEST:.0e}.")
    return int(value)


def _row(title: str, value: str, remark: str = "") -> str:
    return f"  {title:{WIDTH - 8}} {value:>19}  {remark}".rstrip()


def _short(value: float) -> str:
    """Three digits and a power of ten, in words where there is one."""
    for size, word in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if size <= value < 1e15:
            return f"{value / size:.3g} {word}"
    return f"{value:.3g}" if value >= 1e15 else f"{value:,.0f}"


def _bytes(size: float) -> str:
    unit = next((unit for unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")) if size >= unit[0]), (1e3, "kB"))
    return f"{size / unit[0]:,.2f} {unit[1]}"


def _range(ends: Any) -> str:
    rounded = [float(f"{end:.2g}") for end in ends]
    return " to ".join(_short(end) if end >= 1e6 else f"{end:,g}" for end in rounded)
