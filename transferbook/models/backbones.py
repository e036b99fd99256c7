"""One function per pretrained model: the torch module, its preprocessing, and where the weights come from.

Each call makes a new module, so that what one experiment trains, no other one sees. `pretrained=False` gives
the same architecture with weights drawn anew from `seed`, as its library draws them; the global random state
stays as it was.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from transferbook.data import assets
from transferbook.models.encoders import ImageEncoder, TextEncoder


@dataclass(frozen=True)
class Backbone:
    """A pretrained network without its task: inputs in, one vector of features per input out.

    Attributes:
        name: name of the model.
        module: the encoder, in eval mode; its output has shape (B, `width`).
        prepare: turns raw inputs into what the encoder takes: a list of texts into `input_ids` and
            `attention_mask` of shape (N, T), uint8 images (N, C, H, W) into floats (N, 3, size, size).
        width: number of features D.
        provenance: where the weights come from, in words.
        settings: what `prepare` does, in words.
        source_head: the classifier of the source task, features (B, D) to logits (B, 1000), if there is one.
        source_classes: the names of its classes.
        tokenizer: what `prepare` cuts texts into tokens with, of transformers.
    """

    name: str
    module: nn.Module = field(repr=False)
    prepare: Callable[..., dict[str, Tensor] | Tensor] = field(repr=False)
    width: int
    provenance: str
    settings: str
    source_head: nn.Linear | None = field(default=None, repr=False)
    source_classes: tuple[str, ...] = field(default=(), repr=False)
    tokenizer: Any = field(default=None, repr=False)

    @property
    def parameters(self) -> int:
        """Number of parameters of the encoder."""
        return sum(parameter.numel() for parameter in self.module.parameters())

    @property
    def fingerprint(self) -> str:
        """Hash of the weights as they are now and of the preprocessing: backbones that share it are equal."""
        digest = hashlib.sha256(f"{self.name}; {self.settings}".encode())
        for name, tensor in self.module.state_dict().items():
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        return digest.hexdigest()


def minilm(max_tokens: int = 64, pretrained: bool = True, seed: int = 0) -> Backbone:
    """all-MiniLM-L6-v2: 6 layers of width 384, made for sentence embeddings by mean pooling.

    Args:
        max_tokens: longer texts are cut; the two marks at start and end count.
        pretrained: False for random weights.
        seed: of the random weights.

    Raises:
        ValueError: if `max_tokens` is not from 3 to 512.

    Source: Wang et al. (2020), MiniLM; Reimers & Gurevych (2019), Sentence-BERT.
    """
    folder = assets.unpack("minilm")
    return _text_backbone(
        "minilm", folder, assets.catalogue()["minilm"].provenance, max_tokens, pretrained, seed
    )


def bert_base(
    source: str | Path = "bert-base-uncased", max_tokens: int = 128, pretrained: bool = True, seed: int = 0
) -> Backbone:
    """BERT-base: 12 layers of width 768, for scale `full`; fetched from the Hugging Face hub at first use.

    Args:
        source: name on the hub, or a folder with another BERT in the format of `save_pretrained`.
        max_tokens: longer texts are cut; the two marks at start and end count.
        pretrained: False for random weights.
        seed: of the random weights.

    Raises:
        ValueError: if `max_tokens` does not fit the model, or weights are missing from the checkpoint.
        OSError: if the model is neither in the folder or cache nor on a hub within reach.

    Source: Devlin et al. (2019), BERT.
    """
    return _text_backbone("bert_base", source, f"{source}, by transformers", max_tokens, pretrained, seed)


def _text_backbone(
    name: str, source: str | Path, provenance: str, max_tokens: int, pretrained: bool, seed: int
) -> Backbone:
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    local = Path(source).is_dir()
    with _quiet_transformers(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = AutoConfig.from_pretrained(source, local_files_only=local)
        if not 3 <= max_tokens <= config.max_position_embeddings:
            raise ValueError(
                f"max_tokens is {max_tokens}; {name} takes from 3 to {config.max_position_embeddings}."
            )
        if pretrained:
            bert, report = AutoModel.from_pretrained(
                source, config=config, add_pooling_layer=False, dtype=torch.float32, local_files_only=local,
                output_loading_info=True,
            )  # fmt: skip
            if report["missing_keys"]:
                missing = sorted(report["missing_keys"])
                raise ValueError(f"{source} lacks {len(missing)} weights of {name}, such as {missing[0]}.")
        else:
            bert = AutoModel.from_config(config, add_pooling_layer=False)
            provenance = f"random weights, seed {seed}"
        tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=local)

    def prepare(texts: list[str]) -> dict[str, Tensor]:
        if isinstance(texts, str) or len(texts) == 0:
            raise ValueError("prepare needs a list of at least one text.")
        batch = tokenizer(
            list(texts), padding="longest", truncation=True, max_length=max_tokens, return_tensors="pt"
        )
        return {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}

    return Backbone(
        name=name,
        module=TextEncoder(bert).eval(),
        prepare=prepare,
        width=config.hidden_size,
        provenance=provenance,
        settings=f"at most {max_tokens} tokens, mean over tokens",
        tokenizer=tokenizer,
    )


@contextlib.contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Load without transformers' progress bars and load report; its settings are restored afterwards."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def efficientnet_lite0(
    size: int = 224, crop: float = 0.875, pretrained: bool = True, seed: int = 0
) -> Backbone:
    """EfficientNet-Lite0, trained on ImageNet; 1,280 features.

    Args:
        size: width and height of what the network sees.
        crop: the share of the shorter side that is kept, from the centre; 1 for pictures that are framed
            already, such as pictograms and digits.
        pretrained: False for random weights.
        seed: of the random weights.

    Source: Tan & Le (2019), EfficientNet; the Lite variants are TensorFlow's, the architecture is timm's.
    """
    import timm
    from timm.data import ImageNetInfo

    name = "efficientnet_lite0"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    if pretrained:
        weights = torch.load(io.BytesIO(assets.read_member(name, "weights.pth")), weights_only=True)
        # The same tensors in the same order under other names.
        network.load_state_dict(dict(zip(network.state_dict(), weights.values(), strict=True)))
    head = network.get_classifier()
    network.reset_classifier(0)
    stages = [["conv_stem", "bn1"], *([f"blocks.{i}"] for i in range(7)), ["conv_head", "bn2"]]
    settings = network.default_cfg
    return Backbone(
        name=name,
        module=ImageEncoder(network, stages).eval(),
        **_image_preprocessing(size, crop, settings["interpolation"], settings["mean"], settings["std"]),
        width=network.num_features,
        provenance=assets.catalogue()[name].provenance if pretrained else f"random weights, seed {seed}",
        source_head=head.eval() if pretrained else None,
        source_classes=tuple(ImageNetInfo().label_descriptions()) if pretrained else (),
    )


def resnet50(size: int = 224, crop: float = 0.875, pretrained: bool = True, seed: int = 0) -> Backbone:
    """ResNet-50, trained on ImageNet; 2,048 features, for scale `full`; fetched by torchvision at first use.

    The weights are `IMAGENET1K_V1`, those of the original recipe.

    Args:
        size: width and height of what the network sees.
        crop: the share of the shorter side that is kept, from the centre.
        pretrained: False for random weights.
        seed: of the random weights.

    Raises:
        OSError: if the weights are not in torch's cache and cannot be fetched.

    Source: He et al. (2016), Deep residual learning.
    """
    from torchvision import models

    weights = models.ResNet50_Weights.IMAGENET1K_V1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            network = models.resnet50(weights=weights if pretrained else None)
        except OSError as error:
            raise OSError(
                f"ResNet-50's weights are neither in {torch.hub.get_dir()} nor to be had from {weights.url}: "
                f"{error}. It needs the network once."
            ) from error
    head, network.fc = network.fc, nn.Identity()
    stages = [["conv1", "bn1"], ["layer1"], ["layer2"], ["layer3"], ["layer4"]]
    transform = weights.transforms()
    return Backbone(
        name="resnet50",
        module=ImageEncoder(network, stages).eval(),
        **_image_preprocessing(size, crop, transform.interpolation.value, transform.mean, transform.std),
        width=head.in_features,
        provenance=f"torchvision's ResNet-50 {weights.name}"
        if pretrained
        else f"random weights, seed {seed}",
        source_head=head.eval() if pretrained else None,
        source_classes=tuple(weights.meta["categories"]) if pretrained else (),
    )


def _image_preprocessing(
    size: int, crop: float, interpolation: str, mean: Sequence[float], std: Sequence[float]
) -> dict[str, Callable[[Tensor], Tensor] | str]:
    """`prepare` and `settings`: scale the shorter side to size / crop, cut out the centre, normalise."""
    if size < 32 or not 0 < crop <= 1:
        raise ValueError(f"size ({size}) must be at least 32 and crop ({crop}) above 0 and at most 1.")
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import functional

    def prepare(images: Tensor) -> Tensor:
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
            raise ValueError(
                "prepare needs uint8 images of shape (N, 1 or 3, H, W), "
                f"got {images.dtype} of shape {tuple(images.shape)}."
            )
        images = images.expand(-1, 3, -1, -1)  # grey to three equal channels
        images = functional.resize(images, [round(size / crop)], InterpolationMode(interpolation))
        images = functional.center_crop(images, [size, size])
        return functional.normalize(images.float() / 255, list(mean), list(std))  # (N, 3, size, size)

    settings = f"{interpolation} to {round(size / crop)}, centre {size}, mean {mean}, std {std}"
    return {"prepare": prepare, "settings": settings}
