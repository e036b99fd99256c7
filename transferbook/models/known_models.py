"""Well-known transformers by their published sizes, and sizes read from a file.

The totals that their authors print stand beside, so that the arithmetic of `costs` can be held against them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from transferbook.models.costs import Transformer

__all__ = ["KNOWN", "KnownModel", "lookup", "read_sizes"]

LARGEST_FILE = 1_000_000  # bytes; a description of sizes is a few thousand


@dataclass(frozen=True)
class KnownModel:
    """A model that somebody published.

    Attributes:
        title: its name.
        sizes: as published.
        printed: number of parameters as its authors print it.
        source: key of the publication on the page of references.
        trained_on: tokens of its training, where they are published.
        hours: of accelerators that its training took, where they are published.
        accelerator: which one, a name of `training_bill.ACCELERATORS`.
        note: what should be known about the printed number.
    """

    title: str
    sizes: Transformer
    printed: str
    source: str
    trained_on: float | None = None
    hours: float | None = None
    accelerator: str = ""
    note: str = ""


def _gpt(width: int, layers: int, heads: int, positions: int = 1_024) -> Transformer:
    return Transformer(
        50_257, width, layers, heads, 4 * width, positions=positions, norm="layer", gated=False, biases="all"
    )


def _bert(width: int, layers: int, heads: int) -> Transformer:
    return Transformer(
        30_522, width, layers, heads, 4 * width, positions=512, segments=2, norm="layer", gated=False,
        biases="all", head="none", pooler=True,
    )  # fmt: skip


REVISED = "The repository says that the paper's counts are wrong and gives {}."
KNOWN: dict[str, KnownModel] = {
    "gpt2": KnownModel(
        "GPT-2 small", _gpt(768, 12, 12), "117M", "radford2019language", note=REVISED.format("124M")
    ),
    "gpt2-medium": KnownModel(
        "GPT-2 medium", _gpt(1_024, 24, 16), "345M", "radford2019language", note=REVISED.format("355M")
    ),
    "gpt2-large": KnownModel(
        "GPT-2 large", _gpt(1_280, 36, 20), "762M", "radford2019language", note=REVISED.format("774M")
    ),
    "gpt2-xl": KnownModel(
        "GPT-2 XL", _gpt(1_600, 48, 25), "1542M", "radford2019language", note=REVISED.format("1558M")
    ),
    "gpt3": KnownModel(
        "GPT-3", _gpt(12_288, 96, 96, positions=2_048), "175.0B", "brown2020language", trained_on=300e9,
        hours=3.552e6, accelerator="v100",
        note="The hours are 10,000 accelerators times 14.8 days, an estimate of Patterson et al. (2021).",
    ),
    "bert-base": KnownModel(
        "BERT base", _bert(768, 12, 12), "110M", "devlin2019bert", note="Without the heads of its training."
    ),
    "bert-large": KnownModel(
        "BERT large", _bert(1_024, 24, 16), "340M", "devlin2019bert",
        note="Without the heads of its training, which add about a million.",
    ),
    "minilm-l6": KnownModel(
        "MiniLM-L6", _bert(384, 6, 12), "22.7M", "reimers2019sentence",
        note="The book loads it without the pooler, which it does not need.",
    ),
    "llama-2-7b": KnownModel(
        "Llama 2 7B", Transformer(32_000, 4_096, 32, 32, 11_008, head="own"), "7B", "touvron2023llama2",
        trained_on=2e12, hours=184_320, accelerator="a100",
    ),
    "llama-2-70b": KnownModel(
        "Llama 2 70B", Transformer(32_000, 8_192, 80, 64, 28_672, kv_heads=8, head="own"), "70B",
        "touvron2023llama2", trained_on=2e12, hours=1_720_320, accelerator="a100",
    ),
    "llama-3-8b": KnownModel(
        "Llama 3 8B", Transformer(128_256, 4_096, 32, 32, 14_336, kv_heads=8, head="own"), "8B",
        "grattafiori2024llama", trained_on=15e12, hours=1.3e6, accelerator="h100",
    ),
    "mixtral-8x7b": KnownModel(
        "Mixtral 8x7B",
        Transformer(32_000, 4_096, 32, 32, 14_336, kv_heads=8, head="own", experts=8, chosen=2),
        "47B", "jiang2024mixtral",
        note="Eight experts share everything but the feed-forward halves, so it is no eight times seven.",
    ),
    "smollm2-135m": KnownModel(
        "SmolLM2 135M", Transformer(49_152, 576, 30, 9, 1_536, kv_heads=3), "135M", "allal2025smollm2",
        trained_on=2e12,
    ),
}  # fmt: skip


def lookup(name: str) -> tuple[Transformer, KnownModel | None]:
    """The sizes of a known model, or those in a file.

    Args:
        name: a key of `KNOWN`, in any case; or a file or folder for `read_sizes`.

    Raises:
        ValueError: if it is neither, with what there is.
    """
    known = KNOWN.get(name.lower())
    if known is not None:
        return known.sizes, known
    try:
        there = Path(name).exists()
    except (OSError, ValueError):  # a name that no file can have
        there = False
    if there:
        return read_sizes(Path(name)), None
    name = name if len(name) <= 80 else f"{name[:77]}..."
    raise ValueError(f"There is no model or file {name!r}; give a config.json, or one of {', '.join(KNOWN)}.")


def read_sizes(path: Path) -> Transformer:
    """The sizes in a JSON file: a `config.json` as transformers writes it, or the fields of `Transformer`.

    Args:
        path: the file, or a folder with a `config.json`.

    Raises:
        ValueError: if it cannot be read, or does not describe a network that `Transformer` can.
    """
    if path.is_dir():
        path = path / "config.json"
    try:
        if not path.is_file() and path.exists():
            raise ValueError(f"{path} is no ordinary file; give the config.json.")
        if path.stat().st_size > LARGEST_FILE:
            raise ValueError(f"{path} is too large for a description of sizes; give the config.json.")
        found = json.loads(path.read_text(encoding="utf-8-sig"), parse_int=_whole)
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror or error}).") from error
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is not a JSON file.") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds no JSON object; it needs one with the sizes of a network.")
    kind = found.get("model_type")
    if kind is None:
        return _own(found, path)
    if not isinstance(kind, str) or kind not in READERS:
        raise ValueError(f"{path} describes a {kind!r}; this book can count {', '.join(READERS)}.")
    return READERS[kind](_Sizes(found, path))


def _whole(digits: str) -> int | float:
    """A whole number; Python refuses to make one of thousands of digits, which is no size anyway."""
    return int(digits) if len(digits) < 20 else float(digits)


class _Sizes:
    """Asks a description for sizes; what is missing or no whole number ends in one sentence."""

    def __init__(self, found: dict[str, Any], path: Path) -> None:
        self.found, self.path = found, path

    def __call__(self, name: str, default: int | None = None) -> int:
        size = self.found.get(name)
        size = default if size is None else size
        if type(size) is not int or not 0 < size < 10**9:
            said = "lacks" if size is None else f"has {size!r} for"
            raise ValueError(f"{self.path} {said} {name}; it must be a whole number from 1 to 999,999,999.")
        return size

    def flag(self, name: str, default: bool) -> bool:
        value = self.found.get(name, default)
        if not isinstance(value, bool):
            raise ValueError(f"{self.path} has {value!r} for {name}; it must be true or false.")
        return value

    def make(self, **sizes: Any) -> Transformer:
        try:
            return Transformer(**sizes)
        except ValueError as error:
            raise ValueError(f"{self.path}: {error}") from error


def _read_gpt2(ask: _Sizes) -> Transformer:
    width = ask("n_embd")
    return ask.make(
        vocabulary=ask("vocab_size"), width=width, layers=ask("n_layer"), heads=ask("n_head"),
        hidden=ask("n_inner", 4 * width), positions=ask("n_positions"), norm="layer", gated=False,
        biases="all", head="tied" if ask.flag("tie_word_embeddings", True) else "own",
    )  # fmt: skip


def _read_bert(ask: _Sizes) -> Transformer:
    return ask.make(
        **_shared(ask), positions=ask("max_position_embeddings"), segments=ask("type_vocab_size"),
        norm="layer", gated=False, biases="all", head="none", pooler=True,
    )  # fmt: skip


def _read_llama(ask: _Sizes, biases: str = "none") -> Transformer:
    for name in ("attention_bias", "mlp_bias"):
        if ask.flag(name, False):
            raise ValueError(f"{ask.path} has {name}; this book can count such networks without it only.")
    heads = ask("num_attention_heads")
    head_width = ask("head_dim") if ask.found.get("head_dim") is not None else None
    return ask.make(
        **_shared(ask), kv_heads=ask("num_key_value_heads", heads), head_width=head_width, biases=biases,
        head="tied" if ask.flag("tie_word_embeddings", False) else "own",
        experts=ask("num_local_experts", 1), chosen=ask("num_experts_per_tok", 1),
    )  # fmt: skip


def _shared(ask: _Sizes) -> dict[str, int]:
    names = {
        "vocabulary": "vocab_size", "width": "hidden_size", "layers": "num_hidden_layers",
        "heads": "num_attention_heads", "hidden": "intermediate_size",
    }  # fmt: skip
    return {ours: ask(theirs) for ours, theirs in names.items()}


READERS = {
    "bert": _read_bert,
    "gpt2": _read_gpt2,
    "llama": _read_llama,
    "mistral": _read_llama,
    "mixtral": _read_llama,
    "qwen2": lambda ask: _read_llama(ask, biases="qkv"),
}


def _own(found: dict[str, Any], path: Path) -> Transformer:
    """A description by the names of `Transformer`'s fields."""
    known = {part.name: part for part in fields(Transformer)}
    if strange := sorted(found.keys() - known.keys()):
        raise ValueError(f"{path} has no model_type and an unknown size {strange[0]!r}; the sizes are "
                         f"{', '.join(known)}.")  # fmt: skip
    ask = _Sizes(found, path)
    needed = ("vocabulary", "width", "layers", "heads", "hidden")
    sizes: dict[str, Any] = {name: ask(name) for name in needed}
    for name, value in found.items():
        default = known[name].default
        if name in needed or value is None:
            continue
        if isinstance(default, bool):
            sizes[name] = ask.flag(name, default)
        elif isinstance(default, str):
            sizes[name] = value
        else:
            sizes[name] = 0 if type(value) is int and value == 0 else ask(name)
    return ask.make(**sizes)
