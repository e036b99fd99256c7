"""The bill of a training, by hand and against published trainings."""

from __future__ import annotations

import pytest

from transferbook.models import training_bill as bills
from transferbook.models.known_models import KNOWN

TRAINED = [name for name, known in KNOWN.items() if known.hours]
PLAIN = bills.Accelerator("plain", operations=1e12, memory=1e9, bandwidth=1e9, watts=500)


def test_a_bill_by_hand():
    assumed = bills.Assumptions(utilisation=(0.25, 0.5), drawn=(0.5, 1), overhead=(1, 2), dollars=(2, 3))
    bill = bills.training_bill(1e6, 6e8, PLAIN, assumed)
    assert bill.operations == bills.six_n_d(1e6, 6e8) == 3.6e15
    assert bill.hours == pytest.approx((2, 4))  # 3,600 seconds at the peak, at a half and a quarter of it
    assert bill.kilowatt_hours == pytest.approx((2 * 0.25, 4 * 1.0))
    assert bill.dollars == pytest.approx((4, 12))


@pytest.mark.parametrize("name", TRAINED)
def test_published_hours_lie_in_the_range(name):
    known = KNOWN[name]
    machine = bills.ACCELERATORS[known.accelerator]
    low, high = bills.training_bill(known.sizes.active, known.trained_on, machine).hours
    assert low < known.hours < high


def test_the_energy_that_was_estimated_for_gpt3_lies_in_the_range():
    """1,287 megawatt hours, by Patterson et al. (2021)."""
    known = KNOWN["gpt3"]
    bill = bills.training_bill(known.sizes.total, known.trained_on, bills.ACCELERATORS["v100"])
    assert bill.kilowatt_hours[0] < 1_287_000 < bill.kilowatt_hours[1]
    assert bill.operations == pytest.approx(3.14e23, rel=0.002)  # as printed by Brown et al. (2020)


def test_the_rule_of_six_is_three_passes_without_attention_and_tables():
    """What 6 N D leaves out and counts too much, on a decoder with a small vocabulary and a short text."""
    sizes = KNOWN["llama-2-7b"].sizes
    exact = sizes.training_operations(4_096) / 4_096
    attention = 3 * sizes.operations(4_096)["attention"] / 4_096
    table = sizes.parameters()["tokens"] + sizes.parameters()["norms"]
    assert exact - attention + 6 * table == pytest.approx(bills.six_n_d(sizes.total, 1))


@pytest.mark.parametrize(
    "wrong",
    [{"utilisation": (0.5, 1.5)}, {"utilisation": (0.5, 0.2)}, {"dollars": (0, 1)}, {"overhead": (2, 1)}],
)
def test_assumptions_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} is .* it must go from a positive number"):
        bills.Assumptions(**wrong)


def test_nothing_costs_nothing_and_is_refused():
    with pytest.raises(ValueError, match=r"parameters \(0\) and tokens \(10\) must be positive"):
        bills.training_bill(0, 10, PLAIN)
