"""Card fraud as it happens, on the simulator of the fraud detection handbook.

A payment is answered at once; a week later the bank says which were fraud, and silence means that
a payment was honest. What fraudsters do changes while the system is live.
"""

import os
from datetime import date, timedelta

from ml_assets.core.data.columns import Column
from ml_assets.core.data.streams import Stream
from ml_assets.core.errors import DeclarationError
from ml_assets.core.model import Minibatch, Model, Numbers, Torch
from ml_assets.core.policies import (
    DriftPolicy,
    Gate,
    RetrainingPolicy,
    RolloutPolicy,
    Slice,
    Worth,
)
from ml_assets.core.system import Calendar, Entity, System
from ml_assets.core.truths import Outcomes
from ml_assets.ingest.sources.event_rows import EventRows
from ml_assets.systems.fraud.derived import DAYS, DELAY
from ml_assets.systems.fraud.rows import FIRST, SimulatedPayments
from ml_assets.systems.fraud.scenarios import Dear, Spell, Stolen, Tampered
from ml_assets.targets import Binary, Cost, TopPrecision

CUSTOMERS = "FRAUD_CUSTOMERS"
"""The environment variable that says how many customers there are: 5,000 in the handbook."""
GO_LIVE = date(2018, 9, 1)
SPELLS = (
    # Terminals are left alone from June on. Four days after going live it begins anew, and a
    # model that was trained on July and August knows nothing of it.
    Spell(scenario=Dear(), end=163),
    Spell(scenario=Tampered(), end=61),
    Spell(scenario=Tampered(), first=157),
    # On 10 September thieves switch from large sums to many small ones.
    Spell(scenario=Stolen(), end=162),
    Spell(scenario=Stolen(factor=0.1), first=162),
)


def _customers() -> int:
    said = os.environ.get(CUSTOMERS, "500")
    if not said.isdigit():
        raise DeclarationError(f"{CUSTOMERS} is {said!r}; expected a number of customers")
    return int(said)


COLUMNS = (
    Column(name="customer", description="whose card it is", dtype="integer", minimum=0,
           maximum=2**24 - 1),
    Column(name="terminal", description="where the card is read", dtype="integer", minimum=0,
           maximum=2**24 - 1),
    Column(name="amount", description="what is paid", dtype="number", unit="EUR", minimum=0),
)

FRAUD = System(
    name="fraud",
    description="Is this card payment fraud? Chargebacks come a week later.",
    owners=("team:payments",),
    # A month beyond the history stays open for payments that a user sends by hand.
    calendar=Calendar(first_day=FIRST, go_live=GO_LIVE, last_day=date(2018, 10, 31)),
    streams=(
        Stream(
            name="payments", asked=True, description="each card payment that asks to pass",
            source=EventRows(
                rows=SimulatedPayments(customers=_customers(), spells=SPELLS), columns=COLUMNS,
                timestamp="happened", key="payment", label="is_fraud",
            ),
            columns=COLUMNS,
        ),
    ),
    entities=(
        Entity(name="customer", description="whose card it is"),
        Entity(name="terminal", description="where the card is read"),
    ),
    # A customer's payments are judged alike even while two models share the traffic.
    sticky_by="customer",
    feature_service="fraud_features",
    # A payment is refused, and somebody calls its customer, if that costs less than it may.
    target=Binary(name="is_fraud", cost=Cost(miss="amount", alarm=5.0, unit="EUR"),
                  # As many cards as somebody has time for: 100 of the handbook's 5,000.
                  tops=(TopPrecision(by="customer", top=max(1, _customers() // 50),
                                     repeat="once"),)),
    truth=Outcomes(source="bank", after=timedelta(days=7), silence=False),
    model=Model(
        inputs=(Numbers("amount"),),
        # What is derived of these says all that they do.
        without=(*(f"customer_{what}_{days}d" for days in DAYS for what in ("payments", "amount")),
                 *(f"terminal_payments_{days}d" for days in (DELAY, *(
                     DELAY + days for days in DAYS)))),
        network=Torch("ml_assets.systems.fraud.network:FraudNet", {"hidden": 64, "dropout": 0.1}),
        # What thieves did a month ago says little of today, and the latest tenth of the rows, on
        # which epochs would be compared, is the new fraud that has to be learnt. See docs/fraud.md.
        fit=Minibatch(batch=1024, epochs=4, rate=3e-3, validation=0, half_life=timedelta(days=3)),
        # What is held out is not learnt, and labels are a week late already: each day more is
        # a day on which a new fraud goes on.
        holdout=timedelta(days=2),
        history=timedelta(days=30),
    ),
    slices=(
        Slice(name="known_terminal_fraud", where="terminal_risk_7d > 0",
              description="at a terminal with a recent chargeback"),
        Slice(name="small", where="amount < 20", description="payments under 20 EUR"),
    ),
    gates=(
        Gate(metric="roc_auc", at_least=0.7),
        Gate(metric="log_loss", better_than_champion_by=0.0),
    ),
    # A retraining costs 20 EUR: the machine, and somebody who looks at its report. Due when misses
    # and needless calls that a model of today would have saved are expected to have cost as much.
    retraining=RetrainingPolicy(max_age=timedelta(days=4), cooldown=timedelta(days=2),
                                worth=Worth(training=20.0, measure="cost")),
    # What is true of a payment is known a week later: to wait for that would let a new fraud go
    # on for another week. A candidate that passed its gates takes over on the next day, and the
    # one before it is put back if the outcomes say so.
    rollout=RolloutPolicy(shares=(), deadline=timedelta(days=1), at_deadline="promote",
                          deadline_labels=0),
    drift=DriftPolicy(),
)
