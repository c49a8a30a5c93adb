"""What the system of card fraud declares: its source, its features, its network."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ml_assets.core.errors import DeclarationError, Quarantined
from ml_assets.core.settings import ROOT
from ml_assets.ingest.sources.event_rows import EventRows
from ml_assets.serving.answer.intake.admission import Admission
from ml_assets.systems.fraud import COLUMNS, CUSTOMERS, FRAUD, SPELLS
from ml_assets.systems.fraud.derived import DAYS, DELAY, GIVES, compared
from ml_assets.systems.fraud.network import FraudNet
from ml_assets.systems.fraud.rows import HandbookPayments, SimulatedPayments
from ml_assets.training.encoding.shapes import Shapes

PAID = np.datetime64("2018-04-07T03:30", "us")
"""A Saturday night."""


def source(rows: SimulatedPayments | HandbookPayments) -> EventRows:
    return EventRows(rows=rows, columns=COLUMNS, timestamp="happened", key="payment",
                     label="is_fraud")


@pytest.mark.parametrize("rows", [
    SimulatedPayments(customers=50, days=5, spells=SPELLS),
    HandbookPayments(customers=30, terminals=900, days=5),
], ids=["simulated", "handbook"])
def test_payments_are_drawn_once_and_read_as_any_recorded_history(
    rows: SimulatedPayments | HandbookPayments, tmp_path: Path
) -> None:
    events = source(rows)
    fetched = events.fetch(tmp_path)
    stamp = fetched.stat().st_mtime_ns
    assert events.fetch(tmp_path) == fetched and fetched.stat().st_mtime_ns == stamp
    archive = list(events.archive(fetched))
    assert len(archive) > 50
    assert [each.event_id for each in archive] == [str(n) for n in range(len(archive))]
    happened = [each.event_timestamp for each in archive]
    assert happened == sorted(happened) and happened[0].date() == FRAUD.calendar.first_day
    for each in archive:
        assert events.parse(each.request) == dict(each.request)
        assert each.outcome in (True, False) and each.problem is None


def test_a_payment_without_an_amount_is_refused() -> None:
    with pytest.raises(Quarantined, match=r"'ammount', which is no column.*Closest: 'amount'"):
        Admission(FRAUD).read('{"customer": 1, "terminal": 2, "ammount": 3}')


@pytest.mark.parametrize("customers", [9, 2**23])
def test_a_number_of_customers_that_ids_cannot_tell_apart_is_refused(customers: int) -> None:
    with pytest.raises(DeclarationError, match="customers is"):
        SimulatedPayments(customers=customers, spells=())


def test_the_environment_says_how_many_customers_there_are() -> None:
    code = ("from ml_assets.systems.fraud import FRAUD;"
            "print(FRAUD.source.rows.customers, FRAUD.target.tops[0].top)")

    def said(customers: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True,
                              text=True, check=False,
                              env={"PYTHONPATH": str(ROOT), CUSTOMERS: customers})

    assert said("5000").stdout.split() == ["5000", "100"]
    assert "FRAUD_CUSTOMERS is 'many'; expected a number of customers" in said("many").stderr


def test_a_window_gets_the_payment_itself_and_a_terminal_its_risk() -> None:
    """The second row has no past at all."""
    rows: dict[str, np.ndarray] = {
        "amount": np.array([30.0, 12.0]),
        "event_timestamp": PAID + np.array([0, 54], "m8[h]"),
        "customer_amount_std_30d": np.array([5.0, np.nan]),
        **{f"customer_payments_{days}d": np.array([3.0, 0.0]) for days in DAYS},
        **{f"customer_amount_{days}d": np.array([10.0, np.nan]) for days in DAYS},
        f"terminal_payments_{DELAY}d": np.array([4.0, 0.0]),
        **{f"terminal_payments_{days + DELAY}d": np.array([8.0, 0.0]) for days in DAYS},
        **{f"terminal_fraud_{days}d": np.array([1.0, 0.0]) for days in DAYS},
    }
    given = compared(rows)
    assert set(given) == set(GIVES)
    for days in DAYS:
        assert given[f"customer_count_{days}d"].tolist() == [4, 1]
        assert given[f"customer_mean_{days}d"].tolist() == [15, 12]
        assert given[f"terminal_known_{days}d"].tolist() == [4, 0]
        assert given[f"terminal_risk_{days}d"].tolist() == [0.25, 0]
    assert given["times_usual"][0] == 3 and given["above_usual"][0] == 4
    assert given["at_night"].tolist() == [True, False]
    assert given["on_weekend"].tolist() == [True, False]


def test_the_network_gives_a_logit_for_each_payment() -> None:
    network = FraudNet(Shapes(numbers=("amount", "at_night")), hidden=4).eval()
    numbers, missing = torch.randn(5, 2), torch.zeros(5, 2)
    together = network(numbers, missing)
    assert together.shape == (5, 1)
    assert torch.allclose(together[3:4], network(numbers[3:4], missing[3:4]))
