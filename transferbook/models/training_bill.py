"""What the training of a model costs: operations, hours, energy and money, each as a range.

All that is assumed stands in `Assumptions`; the width of the ranges is that of what is not known.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ACCELERATORS", "Accelerator", "Assumptions", "Bill", "six_n_d", "training_bill"]

Range = tuple[float, float]


@dataclass(frozen=True)
class Accelerator:
    """What its maker states.

    Attributes:
        title: its name.
        operations: per second, in 16 bits, in dense products.
        memory: bytes.
        bandwidth: bytes per second.
        watts: the most that it draws.
    """

    title: str
    operations: float
    memory: float
    bandwidth: float
    watts: float


ACCELERATORS = {
    "v100": Accelerator("NVIDIA V100 (SXM2, 32 GB)", 125e12, 32e9, 900e9, 300),
    "a100": Accelerator("NVIDIA A100 (SXM, 80 GB)", 312e12, 80e9, 2_039e9, 400),
    "h100": Accelerator("NVIDIA H100 (SXM, 80 GB)", 989e12, 80e9, 3_350e9, 700),
}


@dataclass(frozen=True)
class Assumptions:
    """What a bill rests on beside the count of operations, each from low to high.

    Attributes:
        utilisation: the share of an accelerator's operations that training makes use of. Four published
            trainings, from GPT-3 to Llama 3, lie between 0.15 and 0.45.
        drawn: power per accelerator, its share of the computer included, as a share of `watts`.
        overhead: power of the whole building (cooling, transport) for each unit of power in computers.
        dollars: rent of an accelerator per hour.

    Raises:
        ValueError: if a range is not positive and in order, or the utilisation exceeds 1.
    """

    utilisation: Range = (0.15, 0.5)
    drawn: Range = (0.6, 1.2)
    overhead: Range = (1.1, 1.5)
    dollars: Range = (1.0, 4.0)

    def __post_init__(self) -> None:
        for name, (low, high) in vars(self).items():
            if not 0 < low <= high or (name == "utilisation" and high > 1):
                raise ValueError(f"{name} is {low} to {high}; it must go from a positive number upwards"
                                 f"{', to at most 1' if name == 'utilisation' else ''}.")  # fmt: skip


@dataclass(frozen=True)
class Bill:
    """What a training takes.

    Attributes:
        operations: in all.
        hours: of accelerators, low and high.
        kilowatt_hours: likewise.
        dollars: likewise.
    """

    operations: float
    hours: Range
    kilowatt_hours: Range
    dollars: Range


def six_n_d(parameters: float, tokens: float) -> float:
    """Operations of a training by the rule of thumb: 6 for each parameter and token.

    Two in the forward pass, one product and one sum; twice as many on the way back. It leaves out the
    attention of tokens to each other, and counts tables that are only looked up as if they were multiplied.

    Source: Kaplan et al. (2020), Scaling laws for neural language models.
    """
    return 6 * parameters * tokens


def training_bill(
    parameters: float, tokens: float, accelerator: Accelerator, assumptions: Assumptions | None = None
) -> Bill:
    """The bill of one run, without failures, restarts, and the runs before it that led there.

    Args:
        parameters: those that work on each token.
        tokens: read in training.
        accelerator: what it runs on.
        assumptions: None for those that stand there.

    Raises:
        ValueError: if parameters or tokens are not positive.
    """
    if parameters <= 0 or tokens <= 0:
        raise ValueError(f"parameters ({parameters:g}) and tokens ({tokens:g}) must be positive.")
    given = assumptions or Assumptions()
    needed = six_n_d(parameters, tokens)
    fastest = needed / accelerator.operations / 3_600
    hours = (fastest / given.utilisation[1], fastest / given.utilisation[0])
    kilowatts = [accelerator.watts / 1_000 * given.drawn[i] * given.overhead[i] for i in (0, 1)]
    return Bill(
        operations=needed,
        hours=hours,
        kilowatt_hours=(hours[0] * kilowatts[0], hours[1] * kilowatts[1]),
        dollars=(hours[0] * given.dollars[0], hours[1] * given.dollars[1]),
    )
