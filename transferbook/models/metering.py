"""Measure what a piece of code costs: operations, bytes kept for the way back, bytes over time, seconds.

Operations are counted by `torch.utils.flop_counter`, bytes by hooks on what autograd saves and
by a tape that every operation of torch passes. Times depend on the machine and
on what else runs there, so they are only ever compared with the `roofline` of the same machine in the same
minute.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ["Roofline", "count_operations", "kept_bytes", "memory_curve", "roofline", "seconds"]


def count_operations(work: Callable[[], object]) -> int:
    """How many operations `work()` takes, by torch's own counter."""
    from torch.utils.flop_counter import FlopCounterMode

    # Torch 2.11 has no formulas for attention on a CPU, and counts it as nothing.
    formulas = {
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_back,
    }
    with FlopCounterMode(display=False, custom_mapping=formulas) as counter:
        work()
    return counter.get_total_flops()


def _attention(query: torch.Size, key: torch.Size, value: torch.Size, *_: object, **__: object) -> int:
    """Operations of attention: the scores, and the sums of values, for each head of the queries."""
    return 2 * query[:3].numel() * key[2] * (query[3] + value[3])


def _attention_back(_: torch.Size, query: torch.Size, key: torch.Size, value: torch.Size, *__, **___) -> int:
    """Operations of its way back: the scores once more, and two products for each of the two ahead."""
    return 2 * query[:3].numel() * key[2] * (3 * query[3] + 2 * value[3])


def kept_bytes(forward: Callable[[], object], parameters: Iterable[Tensor] = ()) -> int:
    """How many bytes autograd keeps for the way back when `forward()` runs, each memory counted once.

    Args:
        forward: what to run.
        parameters: tensors whose memory is there anyway and does not count.
    """
    known = {parameter.untyped_storage().data_ptr() for parameter in parameters}
    kept: dict[int, Tensor] = {}  # held until the end, so that no memory is given away twice

    def pack(tensor: Tensor) -> Tensor:
        if (place := tensor.untyped_storage().data_ptr()) not in known:
            kept[place] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = forward()
    total = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
    del result
    return total


class _Tape(TorchDispatchMode):
    """Writes down the bytes that tensors take after each operation that makes or frees one."""

    def __init__(self) -> None:
        super().__init__()
        self.curve, self.alive = [0], {}

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        out = operation(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                self._note(tensor.untyped_storage())
        return out

    def _note(self, storage: torch.UntypedStorage) -> None:
        place, size = storage._cdata, storage.nbytes()
        if place not in self.alive:
            self.alive[place] = weakref.ref(storage, lambda _: self._forget(place, size))
            self.curve.append(self.curve[-1] + size)

    def _forget(self, place: int, size: int) -> None:
        if self.alive.pop(place, None) is not None:
            self.curve.append(self.curve[-1] - size)


def memory_curve(work: Callable[[], object]) -> Tensor:
    """Bytes that the tensors of `work()` take, after each operation that makes or frees one.

    Every operation of torch passes by, forward, backward and in the optimiser, and memory counts from the
    first tensor in it to the last. What an operation takes and gives back inside of itself is not seen.
    Tensors that were there before count from the first time that an operation returns them, so let `work`
    make its own model.

    Returns:
        Shape (steps,), int64; the largest entry is the peak.
    """
    with _Tape() as tape:
        work()
    return torch.tensor(tape.curve)


def seconds(work: Callable[[], object], rounds: int = 5) -> list[float]:
    """Processor seconds of each of some rounds of `work()`, after one round that does not count."""
    work()
    found = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return found


@dataclass(frozen=True)
class Roofline:
    """What a machine can do at best.

    Attributes:
        operations: per second, in products of large matrices.
        bandwidth: bytes per second, read from memory.
    """

    operations: float
    bandwidth: float

    @property
    def ridge(self) -> float:
        """Operations per byte from which on it is the computing that takes the time, not the reading."""
        return self.operations / self.bandwidth

    def seconds(self, operations: float, read: float) -> float:
        """The least time for work with so many operations on so many bytes: whatever of both takes longer."""
        return max(operations / self.operations, read / self.bandwidth)


def roofline(side: int = 1_024, megabytes: int = 256, rounds: int = 5) -> Roofline:
    """The roofline of this machine now: one product of square matrices, one of a large matrix and a vector.

    The matrix of the second is larger than what a processor keeps at hand, so that it has to be read.

    Args:
        side: of the square matrices.
        megabytes: of the large one.
        rounds: the fastest of as many is taken, since other programs can only slow one down.

    Source: Williams, Waterman & Patterson (2009), Roofline.
    """
    square = torch.rand(side, side)
    product = min(seconds(lambda: square @ square, rounds))
    large, vector = torch.rand(megabytes * 250, 1_000), torch.rand(1_000)
    read = min(seconds(lambda: large @ vector, rounds))
    return Roofline(2 * side**3 / product, 4 * large.numel() / read)
