from __future__ import annotations

import contextlib
import json
import os
import platform
import random

import numpy as np
import pytest
import torch

from transferbook import runtime


def draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))  # noqa: NPY002


def test_device_is_the_cpu_without_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    assert runtime.device() == torch.device("cpu")
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ


@pytest.mark.parametrize("already", [None, ":16:8"])
def test_device_is_the_gpu_with_a_reproducible_workspace(monkeypatch, already):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "to be restored")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    if already:
        monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", already)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert runtime.device() == torch.device("cuda", 0)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert runtime.device() == torch.device("cuda", 1)
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == (already or ":4096:8")


@pytest.mark.parametrize(("value", "picked"), [(None, 1), ("small", 1), ("full", 2)])
def test_scale_picks(monkeypatch, value, picked):
    monkeypatch.delenv("TRANSFERBOOK_SCALE", raising=False)
    if value:
        monkeypatch.setenv("TRANSFERBOOK_SCALE", value)
    assert runtime.scale() == (value or "small")
    assert runtime.pick(small=1, full=2) == picked


@pytest.mark.parametrize("value", ["medium", "Full", ""])
def test_a_wrong_scale_is_named(monkeypatch, value):
    monkeypatch.setenv("TRANSFERBOOK_SCALE", value)
    with pytest.raises(ValueError, match=f'TRANSFERBOOK_SCALE is "{value}"; set it to "small" or "full"'):
        runtime.scale()


def test_the_same_seed_gives_the_same_draws():
    runtime.seed_everything(7)
    first = draws()
    runtime.seed_everything(7)
    assert draws() == first


def test_another_seed_gives_other_draws_from_every_generator():
    runtime.seed_everything(0)
    first = draws()
    runtime.seed_everything(1)
    assert all(new != old for new, old in zip(draws(), first, strict=True))


def test_seeding_asks_for_deterministic_algorithms_but_only_warns():
    torch.set_deterministic_debug_mode("default")
    runtime.seed_everything(0)
    assert torch.are_deterministic_algorithms_enabled()
    assert torch.is_deterministic_algorithms_warn_only_enabled()


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_out_of_range_is_named(seed):
    with pytest.raises(ValueError, match=rf"The seed is {seed}; it must lie between 0 and 2\*\*32 - 1"):
        runtime.seed_everything(seed)


def test_the_largest_seed_is_accepted():
    runtime.seed_everything(2**32 - 1)


def test_autocast_leaves_the_cpu_in_single_precision():
    with runtime.autocast(torch.device("cpu")):
        assert (torch.ones(2, 3) @ torch.ones(3, 4)).dtype == torch.float32


@pytest.mark.filterwarnings("ignore:.*CUDA is not available")
def test_autocast_takes_bfloat16_on_a_gpu_that_has_it(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: not including_emulation)
    assert runtime.autocast(torch.device("cuda")).fast_dtype == torch.bfloat16
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation)
    assert isinstance(runtime.autocast(torch.device("cuda")), contextlib.nullcontext)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_computes_in_bfloat16_and_repeats_itself():
    device = runtime.device()

    def product() -> torch.Tensor:
        runtime.seed_everything(3)
        with runtime.autocast(device):
            return torch.randn(64, 64, device=device) @ torch.randn(64, 64, device=device)

    assert product().dtype == torch.bfloat16
    assert torch.equal(product(), product())


def test_describe_is_json_about_this_machine(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("TRANSFERBOOK_SCALE", "full")
    facts = runtime.describe()
    assert json.loads(json.dumps(facts)) == facts
    assert facts["python"] == platform.python_version()
    assert facts["torch"] == torch.__version__
    assert (facts["device"], facts["scale"]) == ("cpu", "full")
    assert facts["device_name"]
    assert 1 <= facts["cores"] <= os.cpu_count()
    assert 0.5 < facts["memory_gb"] < 100_000
