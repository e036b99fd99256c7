"""Several processes that train one model: what `fit` leaves to Accelerate, and nothing where there is one.

Each process holds the whole model and takes its part of every batch; the gradients are averaged over all.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from transferbook import runtime
from transferbook.learning import examples
from transferbook.learning.examples import Inputs

Batch = tuple[Inputs, Tensor, int, int]  # a process's part, how many examples count in it, and in the whole
OWN = ("losses", "sizes", "epoch_random", "step_random")  # what of a run's state each process has for itself


class Alone:
    """The only process: it has every example, and its answer is everybody's."""

    size, rank = 1, 0

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def require_same(self, **settings: Any) -> None:
        """Refuse what the processes would have to have in common."""

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model whose way back averages the gradients over the processes."""
        return model

    def begin_epoch(self, fresh: bool, loader: torch.Generator | None) -> bool:
        """Let all processes draw the same order in a `fresh` epoch, and hand it back whether it is one."""
        return fresh

    def parts(self, batches: Iterator[tuple[Inputs, Tensor]], fresh: bool) -> Iterator[Batch]:
        """This process's part of each batch."""
        return ((inputs, labels, len(labels), len(labels)) for inputs, labels in batches)

    def backward(self, loss: Tensor, share: float) -> None:
        """Add the gradient of a loss that is the mean over a `share` of the batch's examples."""
        loss.backward()

    def total(self, value: Tensor) -> Tensor:
        """The sum over the processes."""
        return value

    def any(self, value: bool) -> bool:
        """Whether it holds in one of the processes."""
        return value

    def first(self, value: Any) -> Any:
        """What the first process has."""
        return value

    def settle(self, model: nn.Module) -> None:
        """Give all processes the buffers of the first, such as BatchNorm's running statistics."""

    def predictions(self, compute: Callable[[Inputs], Tensor], inputs: Inputs, labels: Tensor) -> Tensor:
        """The outputs for all examples, each computed by one process."""
        return compute(inputs)

    def collect(self, state: dict[str, Any]) -> dict[str, Any]:
        """The state of a run with what each process has for itself; all processes must ask for it."""
        return state

    def own(self, state: dict[str, Any]) -> dict[str, Any]:
        """Of a collected state, what belongs to this process."""
        return state


class Together(Alone):
    """One of several processes, started by `accelerate launch` or `torchrun`."""

    def __init__(self, device: torch.device) -> None:
        from accelerate import Accelerator, DistributedDataParallelKwargs

        unused = DistributedDataParallelKwargs(find_unused_parameters=True)  # as of a layer that is not asked
        cpu = device.type == "cpu"
        self.accelerator = Accelerator(cpu=cpu, mixed_precision="no", kwargs_handlers=[unused])
        if not self.accelerator.distributed_type.value.startswith("MULTI_"):
            raise ValueError(
                f"fit gives each process the whole model, which {self.accelerator.distributed_type.value} "
                "does not: start it with torchrun, or with accelerate launch --multi_gpu."
            )
        self.accelerator.gradient_accumulation_steps = 1  # whatever the launcher says: `fit` has its own
        super().__init__(self.accelerator.device)
        self.size, self.rank = self.accelerator.num_processes, self.accelerator.process_index

    def require_same(self, **settings: Any) -> None:
        for name, value in settings.items():
            if len(values := {*self._gathered(value)}) > 1:
                shown = " and ".join(sorted(map(str, values)))
                raise ValueError(f"The processes have different {name} ({shown}): pass the same to each.")
        batch_size = settings["batch_size"]
        if batch_size is not None and batch_size % self.size:
            raise ValueError(
                f"A batch of {batch_size} cannot be dealt out evenly to {self.size} processes: let "
                f"batch_size, which counts the examples of all of them, be a multiple of {self.size}."
            )

    def wrap(self, model: nn.Module) -> nn.Module:
        return self.accelerator.prepare_model(model)

    def begin_epoch(self, fresh: bool, loader: torch.Generator | None) -> bool:
        from accelerate.utils import synchronize_rng_states

        if fresh:
            synchronize_rng_states(["torch"] if loader is None else ["torch", "generator"], loader)
        return fresh

    def parts(self, batches: Iterator[tuple[Inputs, Tensor]], fresh: bool) -> Iterator[Batch]:
        for inputs, labels in batches:
            if fresh:  # the order is drawn; from here on each process has dropout of its own
                self._require_alike(labels)
                torch.manual_seed(int(torch.randint(2**62, ())) + self.rank)
                fresh = False
            count = len(labels)
            places = self._places(count)
            index = torch.tensor(places or [count - 1], device=labels.device)  # one that does not count
            yield examples.rows(inputs, index), labels[index], len(places), count

    def backward(self, loss: Tensor, share: float) -> None:
        self.accelerator.backward(loss * (share * self.size))  # whose mean over the processes is taken

    def total(self, value: Tensor) -> Tensor:
        return self.accelerator.reduce(value.to(self.device)).to(value.device)

    def any(self, value: bool) -> bool:
        if value:
            self.accelerator.set_trigger()
        return self.accelerator.check_trigger()

    def first(self, value: Any) -> Any:
        from accelerate.utils import broadcast_object_list

        return broadcast_object_list([value])[0]

    def settle(self, model: nn.Module) -> None:
        from accelerate.utils import broadcast

        broadcast([*model.buffers()])

    def predictions(self, compute: Callable[[Inputs], Tensor], inputs: Inputs, labels: Tensor) -> Tensor:
        self._require_alike(labels)
        places = torch.tensor(self._places(len(labels), padded=True))
        outputs = compute(examples.rows(inputs, places.to(examples.first(inputs).device)))
        outputs, places = self.accelerator.gather((outputs.to(self.device), places.to(self.device)))
        joined = outputs.new_empty(len(labels), *outputs.shape[1:])
        joined[places] = outputs  # an example that was given to two processes counts once
        return joined.cpu()

    def collect(self, state: dict[str, Any]) -> dict[str, Any]:
        own = {name: state[name] for name in OWN} | {"losses": [loss.cpu() for loss in state["losses"]]}
        return state | {"processes": self._gathered(own)}

    def own(self, state: dict[str, Any]) -> dict[str, Any]:
        return state | state["processes"][self.rank]

    def _places(self, count: int, padded: bool = False) -> list[int]:
        with self.accelerator.split_between_processes([*range(count)], apply_padding=padded) as places:
            return places

    def _gathered(self, value: Any) -> list[Any]:
        from accelerate.utils import gather_object

        return gather_object([value])

    def _require_alike(self, labels: Tensor) -> None:
        content = labels.detach().cpu().contiguous().view(torch.uint8)
        if len({*self._gathered((labels.shape, zlib.crc32(content.numpy())))}) > 1:
            raise ValueError(
                "The processes have different examples in a batch: pass all of the data to each, in the same "
                "order; fit deals them out."
            )


def team(device: torch.device | None) -> Alone:
    """What `fit` asks: `Together` where the environment says that there are several processes.

    Raises:
        ValueError: if they are to hold parts of the model, as with FSDP.
    """
    device = device or runtime.device()
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    return Together(device) if several else Alone(device)
