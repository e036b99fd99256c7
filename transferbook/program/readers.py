"""How a classifier reads its inputs: texts by a network, pictures by a network, or texts as weighted words.

A reader turns inputs into features, and says in a few words of JSON how it can be built again.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from transferbook import runtime
from transferbook.learning import transfer
from transferbook.models import backbones
from transferbook.models.backbones import Backbone

KINDS = {"minilm": "texts", "bert_base": "texts", "efficientnet_lite0": "pictures", "resnet50": "pictures"}
CHUNK = 64  # pictures that are held as pixels at a time


@dataclass(frozen=True)
class NetworkReader:
    """Features from a pretrained network.

    Attributes:
        kind: `"texts"` or `"pictures"`.
        limit: tokens of a text, or pixels of a picture's side, that the network reads.
        backbone: the network and its preprocessing.
        source: fingerprint of the backbone as it was before it was trained further.
        tuned: whether its weights have been trained further.
    """

    kind: str
    limit: int
    backbone: Backbone
    source: str
    tuned: bool = False

    def describe(self) -> dict[str, Any]:
        """What `open_reader` needs, besides the weights of a network that was trained further."""
        return {
            "kind": self.kind, "backbone": self.backbone.name, "limit": self.limit, "tuned": self.tuned,
            "fingerprint": self.source, "preprocessing": self.backbone.settings,
        }  # fmt: skip

    def tensors(self) -> dict[str, Tensor]:
        """The weights that a file must hold: none of a network that is as it was published."""
        state = self.backbone.module.state_dict() if self.tuned else {}
        return {f"backbone.{name}": tensor for name, tensor in state.items()}

    def features(self, inputs: Any, *, cache: bool = False, progress: bool | None = None) -> Tensor:
        """Features (N, D) of texts, of pictures as uint8 (N, 3, H, W), or of files that give such pictures.

        Args:
            inputs: a list of texts, a tensor, or anything with a length whose items are pictures.
            cache: keep the features on disk, see `transfer.embed`.
            progress: draw a bar on stderr; by default only in a terminal.
        """
        if self.kind == "texts":
            return transfer.embed(self.backbone, list(inputs), cache=cache)
        from tqdm import tqdm

        show = sys.stderr.isatty() if progress is None else progress
        loader = DataLoader(_Pictures(inputs, torch.zeros(len(inputs), dtype=torch.int64)), batch_size=CHUNK)
        bar = tqdm(loader, desc="reading pictures", unit="batch", disable=not show)
        return torch.cat([transfer.embed(self.backbone, pictures, cache=cache) for pictures, _ in bar])

    def batches(
        self, inputs: Any, labels: Tensor, *, batch_size: int, augment: bool = False, seed: int = 0
    ) -> DataLoader:
        """Shuffled batches for `training.fit`, prepared one by one: texts are padded to their batch only.

        Args:
            inputs: as for `features`.
            labels: class indices, shape (N,).
            batch_size: examples of a batch; the last one may have fewer.
            augment: show each picture cut, mirrored and lit a little differently each time.
            seed: of the order, anew in each epoch.
        """
        transform = _augmentation(self.limit) if augment and self.kind == "pictures" else None
        data = _Pictures(inputs, labels, transform) if self.kind == "pictures" else _Texts(inputs, labels)

        def collate(rows: list[tuple[Any, Tensor]]) -> tuple[Any, Tensor]:
            examples = [example for example, _ in rows]
            stacked = torch.stack(examples) if self.kind == "pictures" else examples
            return self.backbone.prepare(stacked), torch.stack([label for _, label in rows])

        order = torch.Generator().manual_seed(seed)
        return DataLoader(data, batch_size=batch_size, shuffle=True, generator=order, collate_fn=collate)

    def trained(self, module: nn.Module) -> NetworkReader:
        """The same reader with weights that were trained further."""
        return replace(self, backbone=replace(self.backbone, module=module), tuned=True)


@dataclass(frozen=True)
class WordReader:
    """Features from words alone: how often each occurs, weighted by how rare it is (TF-IDF).

    Attributes:
        vocabulary: the words, in the order of the features.
        rarity: their weights, shape (V,), float64.
    """

    vocabulary: tuple[str, ...]
    rarity: Tensor
    kind: str = "texts"
    tuned: bool = False

    @classmethod
    def of(cls, texts: Sequence[str], most: int = 20_000) -> WordReader:
        """The words of some texts, at most the `most` frequent ones.

        Raises:
            ValueError: if the texts hold no word.
        """
        from sklearn.feature_extraction.text import TfidfVectorizer

        try:
            fitted = TfidfVectorizer(max_features=most, sublinear_tf=True).fit(texts)
        except ValueError as error:
            raise ValueError(f"The {len(texts)} texts hold no word of two letters or more.") from error
        return cls(tuple(fitted.get_feature_names_out().tolist()), torch.from_numpy(fitted.idf_))

    def describe(self) -> dict[str, Any]:
        """What `open_reader` needs, besides the weights of the words."""
        return {"kind": self.kind, "words": list(self.vocabulary), "tuned": False}

    def tensors(self) -> dict[str, Tensor]:
        """The weights of the words."""
        return {"rarity": self.rarity}

    def features(self, inputs: Sequence[str], *, cache: bool = False, progress: bool | None = None) -> Any:
        """A SciPy sparse matrix (N, V) with rows of length 1; there is nothing to cache or to wait for."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        reader = TfidfVectorizer(vocabulary=list(self.vocabulary), sublinear_tf=True)
        reader.idf_ = self.rarity.numpy()
        return reader.transform(inputs)


Reader = NetworkReader | WordReader


def network_reader(name: str, limit: int, *, pretrained: bool = True) -> NetworkReader:
    """A reader with one of the book's backbones.

    Args:
        name: of a backbone in `KINDS`.
        limit: tokens of a text or pixels of a picture's side.
        pretrained: False for weights that will be replaced.

    Raises:
        ValueError: if there is no such backbone, or the limit is out of its range.
    """
    if name not in KINDS:
        raise ValueError(f"There is no backbone {name!r}; there are {', '.join(KINDS)}.")
    make, kind = getattr(backbones, name), KINDS[name]
    # The pictures are square already: none of them is cropped once more.
    options = {"max_tokens": limit} if kind == "texts" else {"size": limit, "crop": 1.0}
    backbone = make(**options, pretrained=pretrained)
    return NetworkReader(kind, limit, backbone, backbone.fingerprint if pretrained else "")


def open_reader(description: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Reader:
    """The reader that `describe` and `tensors` tell of.

    Raises:
        ValueError: if the backbone here is another one, or prepares its inputs in another way.
    """
    if "words" in description:
        return WordReader(tuple(description["words"]), tensors["rarity"])
    name, tuned = description["backbone"], description["tuned"]
    reader = network_reader(name, description["limit"], pretrained=not tuned)
    if reader.backbone.settings != description["preprocessing"]:
        raise ValueError(
            f"The model was trained with {name} reading {description['preprocessing']}, and here it reads "
            f"{reader.backbone.settings}; use the version of the book that trained it."
        )
    if not tuned and reader.source != description["fingerprint"]:
        raise ValueError(
            f"The model was trained on {name} with the hash {description['fingerprint'][:12]}…, and the one "
            f"here has {reader.source[:12]}…; use the version of the book that trained it."
        )
    if tuned:
        mine = {n.removeprefix("backbone."): t for n, t in tensors.items() if n.startswith("backbone.")}
        reader.backbone.module.load_state_dict(mine)
        reader = replace(reader, source=description["fingerprint"], tuned=True)
    return reader


def apply_head(head: nn.Linear, features: Any) -> Tensor:
    """Logits (N, C) of a linear layer over a tensor or a SciPy sparse matrix of features (N, D)."""
    if isinstance(features, Tensor):
        with torch.no_grad():
            return head.cpu()(features)
    weight, bias = (p.detach().cpu().double().numpy() for p in (head.weight, head.bias))
    return torch.from_numpy(np.asarray(features @ weight.T + bias)).float()


class _Texts(Dataset):
    def __init__(self, texts: Sequence[str], labels: Tensor) -> None:
        self.texts, self.labels = texts, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[str, Tensor]:
        return self.texts[index], self.labels[index]


class _Pictures(Dataset):
    """Pictures one by one, as uint8 (3, H, W), read from their files when their turn comes."""

    def __init__(self, pictures: Any, labels: Tensor, transform: nn.Module | None = None) -> None:
        self.pictures, self.labels, self.transform = pictures, labels, transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        picture = torch.as_tensor(self.pictures[index])
        return picture if self.transform is None else self.transform(picture), self.labels[index]


def _augmentation(size: int) -> nn.Module:
    from torchvision.transforms import v2

    return v2.Compose([
        v2.RandomResizedCrop(size, scale=(0.6, 1.0), ratio=(0.9, 1.1), antialias=True),
        v2.RandomHorizontalFlip(),
        v2.ColorJitter(brightness=0.2, contrast=0.2),
    ])  # fmt: skip


def default_backbone(kind: str) -> str:
    """The backbone that is used where none is named, by the kind of inputs and the scale."""
    small, full = {
        "texts": ("minilm", "bert_base"), "pictures": ("efficientnet_lite0", "resnet50"),
    }[kind]  # fmt: skip
    return runtime.pick(small=small, full=full)
