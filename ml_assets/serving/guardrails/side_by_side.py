"""What a version and the one that it is compared with did on the same events, and what follows."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isclose, log

import numpy as np

from ml_assets.core.policies import Guardrails
from ml_assets.evaluation.shares import SharesApart, log_e_above

CUTS = 9
"""Of the range of outputs; divided among them, if there are several."""
WARM_PAIRS = 50
"""Pairs that the range is learnt from, unless the target bounds it; later ones are judged."""
FRESH_PAIRS = 10_000
"""Pairs that may wait for the watcher, who comes several times a second."""
SLOW_SHARE = 0.05
"""How often a version may be slow: so `slow_ms` bounds its 95% quantile."""
TIMES = 2.0
"""Slow must also be so many times as long as the other version takes for the same event."""
SAME = 1e-6
"""Outputs of one event that differ by less, relatively, are the same."""
EVEN = 0.5
"""Of slates that two orders without anything in common have the other way round."""
VARIED = 10
"""So many different outputs of the other version make constant ones suspect."""
LEVELLED = ("failures", "slow_ms", "degraded", "changed")
"""The guardrails that a sound version may breach by chance: they share the level."""

Outputs = Sequence[float]


@dataclass(frozen=True, kw_only=True)
class Breach:
    """guardrail: a field of `Guardrails`, or `outputs` or `parity`; reason: half a sentence."""

    guardrail: str
    reason: str


class SideBySide:
    """Of one trial. Written where calls are made, one at a time; `breach` is the watcher's alone.

    policy: None tolerates no failure, and judges nothing else
    level: of the policy, less if several processes watch
    bounds: the range of outputs. Of what is rare all probabilities are small, and none of them is
        far from another; None if only outputs tell their range
    """

    def __init__(
        self, version: int, reference: int, policy: Guardrails | None, level: float = 0.01,
        bounds: tuple[float, float] | None = None,
    ) -> None:
        self.version, self.reference = version, reference
        self._bounds = bounds
        self._policy = policy
        judged = [name for name in LEVELLED if getattr(policy, name, None) is not None]
        self._needed = log(max(len(judged), 1) / level)
        self._wrong: Breach | None = None
        self._scored = self._failed = 0
        self._fault = ""
        self._reads = {version: [0, 0], reference: [0, 0]}
        self._seen: tuple[int, ...] = (0, 0, 0, 0)
        self._apart = SharesApart()
        self._probes = self._slow = 0
        self._took = (0.0, 0.0)
        self._alone: tuple[str, Outputs] | None = None
        self._fresh: deque[tuple[Outputs, Outputs, str | None]] = deque(maxlen=FRESH_PAIRS)
        self._warm: list[Outputs] = []
        self._cuts: list[tuple[int, float]] | None = None
        self._pairs, self._changed = 0, np.zeros(0, dtype=np.int64)
        self._slates = self._reversed = 0
        self._latest: deque[tuple[Outputs, Outputs]] = deque(
            maxlen=(policy and policy.constant_after) or 0)

    # What is seen

    def scored(self, events: int) -> None:
        """The version scored so many events."""
        self._scored += events

    def failed(self, error: Exception, *, invalid: bool) -> bool:
        """It failed on a batch that the reference scored. Returns whether it has failed too often.

        invalid: because its outputs are none that the target allows
        """
        self._failed += 1
        self._fault = f"{type(error).__name__}: {error}"[:300]
        if invalid and self._wrong is None:
            self._wrong = Breach(guardrail="outputs", reason=str(error)[:300])
        return self._policy is None or next(self._at_once(), None) is not None

    def read(self, version: int, *, degraded: bool) -> None:
        """One of the two answered a batch, with or without features from the store."""
        counts = self._reads[version]
        counts[0] += 1
        counts[1] += degraded

    def timed(self, own_s: float, other_s: float) -> None:
        """How long each of the two took for the same event, alone."""
        floor_ms = None if self._policy is None else self._policy.slow_ms
        self._probes += 1
        if floor_ms is not None and own_s * 1000 > floor_ms and own_s > TIMES * other_s:
            self._slow += 1
            self._took = own_s, other_s

    def paired(self, own: Outputs, other: Outputs, slate: str | None) -> None:
        """What each of the two said of the same event.

        slate: the request whose slate it is a row of. There only the order is compared: the same
        order may have other scores.
        """
        self._fresh.append((own, other, slate))

    def alone(self, prediction_id: str, own: Outputs) -> None:
        """What the version says of an event that it scores alone; see `again`."""
        self._alone = prediction_id, own

    def again(self, prediction_id: str, own: Outputs) -> None:
        """What it says of an event among others: the same, or its answers depend on chance."""
        if self._alone is None or self._alone[0] != prediction_id:
            return
        before, self._alone = self._alone[1], None
        if self._wrong is None and not same(before, own):
            self._wrong = Breach(guardrail="parity", reason=(
                f"it says {_told(own)} of prediction {prediction_id} among others and "
                f"{_told(before)} of it alone"))

    # What follows

    def breach(self) -> Breach | None:
        """The first guardrail that is breached; None if all hold. On the watcher's thread."""
        self._take()
        return next(self._breaches(), None)

    def _breaches(self) -> Iterator[Breach]:
        policy = self._policy
        if policy is None:
            return
        yield from self._at_once()
        yield from self._constant()
        if policy.slow_ms is not None and (
                log_e_above(self._slow, self._probes, SLOW_SHARE) >= self._needed):
            yield Breach(guardrail="slow_ms", reason=(
                f"it took longer than {policy.slow_ms:g} ms for {self._slow} of {self._probes} "
                f"events, lately {self._took[0] * 1000:.3g} ms where version {self.reference} took "
                f"{self._took[1] * 1000:.3g} ms"))
        own, own_degraded, other, other_degraded = self._seen
        if policy.degraded is not None and self._apart.log_e >= self._needed and (
                own_degraded / own - other_degraded / other >= policy.degraded):
            yield Breach(guardrail="degraded", reason=(
                f"{own_degraded} of its {own} batches lacked features, {other_degraded} of "
                f"{other} of version {self.reference}"))
        if policy.changed is not None and self._cuts:
            most = int(self._changed.max())
            if log_e_above(most, self._pairs, policy.changed) >= (
                    self._needed + log(len(self._cuts))):
                output, cut = self._cuts[int(self._changed.argmax())]
                yield Breach(guardrail="changed", reason=(
                    f"output {output + 1} is on another side of {cut:.4g} than that of version "
                    f"{self.reference} for {most} of {self._pairs} events"))
        if policy.changed is not None and log_e_above(
                self._reversed, self._slates, max(policy.changed, EVEN)) >= self._needed:
            yield Breach(guardrail="changed", reason=(
                f"it has {self._reversed} of {self._slates} slates rather the other way round than "
                f"version {self.reference}"))

    def _at_once(self) -> Iterator[Breach]:
        """What a call may decide, without the watcher."""
        if self._wrong is not None:
            yield self._wrong
        most = None if self._policy is None else self._policy.failures
        trials = self._scored + self._failed
        if most is not None and log_e_above(self._failed, trials, most) >= self._needed:
            yield Breach(guardrail="failures", reason=(
                f"it failed {self._failed} times in {trials} events that version {self.reference} "
                f"scored, lately with {self._fault}"))

    def _constant(self) -> Iterator[Breach]:
        latest = self._latest
        if not latest or len(latest) < (latest.maxlen or 0):
            return
        own = {tuple(each) for each, _ in latest}
        if len(own) == 1 and len({tuple(each) for _, each in latest}) >= VARIED:
            yield Breach(guardrail="constant_after", reason=(
                f"it says {_told(next(iter(own)))} of each of the latest {len(latest)} events"))

    def _take(self) -> None:
        """Count what came since the last look."""
        now = (*self._reads[self.version], *self._reads[self.reference])
        block = [after - before for after, before in zip(now, self._seen, strict=True)]
        if block[0] and block[2]:
            self._seen = now
            self._apart.add(block[1], block[0], block[3], block[2])
        fresh = [self._fresh.popleft() for _ in range(len(self._fresh))]
        self._latest.extend((own, other) for own, other, _ in fresh)
        self._compare([(own, other) for own, other, slate in fresh if slate is None])
        slates = defaultdict[str, list[tuple[Outputs, Outputs]]](list)
        for own, other, slate in fresh:
            if slate is not None:
                slates[slate].append((own, other))
        agreed = [agreement for rows in slates.values() if (agreement := _agreement(rows))]
        self._slates += len(agreed)
        self._reversed += sum(each < 0 for each in agreed)

    def _compare(self, pairs: list[tuple[Outputs, Outputs]]) -> None:
        """Count on how many events the two are on different sides of a cut."""
        if self._cuts is None:
            fresh, pairs = pairs, []
            for place, (_, other) in enumerate(fresh):
                self._warm.append(other)
                if len(self._warm) == WARM_PAIRS:
                    self._cuts = _cuts_of(np.array(self._warm), self._bounds)
                    pairs = fresh[place + 1:]
                    self._changed = np.zeros(len(self._cuts), dtype=np.int64)
                    break
        if pairs and self._cuts:
            own_NW, other_NW = (np.array(each) for each in zip(*pairs, strict=True))
            self._pairs += len(pairs)
            self._changed += [int(((own_NW[:, output] > cut) != (other_NW[:, output] > cut)).sum())
                              for output, cut in self._cuts]


def same(one: Outputs, other: Outputs) -> bool:
    """Whether two answers to the same question are the same."""
    return len(one) == len(other) and all(
        isclose(a, b, rel_tol=SAME, abs_tol=SAME) for a, b in zip(one, other, strict=True))


def _agreement(rows: Sequence[tuple[Outputs, Outputs]]) -> float:
    """Of two orders of the same rows: below 0 if one is rather the other way round (Spearman)."""
    own_N, other_N = (np.argsort(np.argsort([each[0] for each in outputs], kind="stable"))
                      for outputs in zip(*rows, strict=True))
    middle = (len(rows) - 1) / 2
    return float(((own_N - middle) * (other_N - middle)).sum())


def _cuts_of(
    outputs_NW: np.ndarray[tuple[int, int], np.dtype[np.float64]],
    bounds: tuple[float, float] | None,
) -> list[tuple[int, float]]:
    """Cuts at even distances inside the range of each output, with the output's index."""
    count = max(CUTS // outputs_NW.shape[1], 1)
    cuts: list[tuple[int, float]] = []
    for output, values_N in enumerate(outputs_NW.T):
        low, high = bounds or np.quantile(values_N, (0.02, 0.98))
        if high > low:
            cuts += [(output, float(cut)) for cut in np.linspace(low, high, count + 2)[1:-1]]
    return cuts


def _told(outputs: Outputs) -> str:
    return ", ".join(f"{each:.6g}" for each in outputs)
