"""The loop itself, as one device takes it."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import islice
from time import monotonic

import torch

from ml_assets.core.errors import NotReady, TrainingFailed
from ml_assets.core.model.minibatch import Minibatch
from ml_assets.training.loop.blocks import BlockSource, RowBlock, batches
from ml_assets.training.loop.checkpoints import Checkpoints, Reached
from ml_assets.training.loop.devices import draw_afresh, tensors
from ml_assets.training.loop.history import EpochLosses, FitHistory
from ml_assets.training.loop.losses import Loss, loss_of
from ml_assets.training.loop.schedules import rate_at
from ml_assets.training.loop.several.sharing import Share

TOLD_S = 0.5
"""Between two words of progress. Asking a GPU for a loss makes it wait."""
WIDER = 4
"""Validation batches have so many times the rows: without gradients a row needs less memory."""
ALL_TAKEN, NO_GAIN, DIVERGED = (
    "all epochs were taken", "the validation loss did not fall for {} epochs",
    "the loss was no finite number")


class OnDevice:
    """A training on one device, alone or as one of several that share each batch."""

    def __init__(
        self,
        network: torch.nn.Module,
        fit: Minibatch,
        source: BlockSource,
        validation: BlockSource | None,
        *,
        loss: Loss,
        seed: int,
        device: torch.device,
        checkpoints: Checkpoints | None,
        progress: Callable[[int, int, int, float], None],
        share: Share = Share(),  # noqa: B008  (frozen)
    ) -> None:
        self.network, self.fit, self.source, self.validation = network, fit, source, validation
        self.seed, self.device, self.share = seed, device, share
        self.checkpoints, self.progress = checkpoints, progress
        self.batch = fit.batch_of(source.rows)
        self.steps = math.ceil(source.rows / self.batch)
        if not self.steps:
            raise NotReady("there is no row to train on")
        self.loss = loss_of(network, loss)
        network.to(device)
        self.parameters = [each for each in network.parameters() if each.requires_grad]
        self.optimiser = _optimiser(fit, self.parameters)
        self.reached, self.best = Reached(), dict[str, torch.Tensor]()
        exact = torch.float32 if device.type == "mps" else torch.float64
        self.lost = torch.zeros((), dtype=exact, device=device)
        self.saved_at = self.told_at = monotonic()

    def train(self) -> FitHistory:
        """Take all steps that are left; the network then has the best weights."""
        resumed = self._resume()
        while self.reached.ended is None:
            self._take_epoch()
            self._close_epoch()
        if self.best:
            self.network.load_state_dict(self.best)
        self._save()
        self.network.eval()
        reached = self.reached
        return FitHistory(
            epochs=tuple(reached.epochs), most_epochs=self.fit.epochs, best=reached.best,
            ended=reached.ended or "", steps=len(reached.epochs) * self.steps, resumed=resumed,
        )

    def _resume(self) -> int:
        """Go on from the checkpoint, if there is one; returns how many steps it has."""
        found = None if self.checkpoints is None else self.checkpoints.load()
        if found is None:
            return 0
        self.reached = found.reached
        self.network.load_state_dict(found.network)
        self.best = {name: value.to(self.device) for name, value in found.best.items()}
        self.optimiser.load_state_dict({
            "state": found.optimiser, "param_groups": self.optimiser.state_dict()["param_groups"]})
        self.lost.fill_(found.reached.lost)
        return self.reached.epoch * self.steps + self.reached.step

    def _take_epoch(self) -> None:
        reached = self.reached
        self.network.train()
        rows = batches(self.source(reached.epoch, self.seed), self.batch)
        for batch in islice(rows, reached.step, None):
            self._step(batch)
            reached.step += 1
            now = monotonic()
            if now - self.told_at >= TOLD_S:
                if not self._tell():
                    return
                self.told_at = now
            if now - self.saved_at >= self.fit.checkpoint_s:
                self._save()
        if reached.step != self.steps:
            raise NotReady(
                f"the source of rows says that it has {self.source.rows}, {self.steps} batches, "
                f"but epoch {reached.epoch + 1} had {reached.step}: it must give the same rows "
                "each time"
            )

    def _step(self, batch: RowBlock) -> None:
        step = self.reached.epoch * self.steps + self.reached.step
        draw_afresh(self.seed, step, self.share.number, self.device)
        self.optimiser.param_groups[0]["lr"] = rate_at(
            self.fit, step, steps=self.steps, epochs=self.fit.epochs)
        self.optimiser.zero_grad()
        weight = batch.weight
        lost = self._descend(self.share.rows(batch), weight)
        self.lost.add_(self.share.add_up(self.parameters, lost))
        self.reached.weight += weight
        if self.fit.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.parameters, self.fit.clip)
        self.optimiser.step()

    def _descend(self, part: RowBlock, weight: float) -> torch.Tensor:
        """Leave the gradients of a part of a batch; returns the sum of its rows' losses.

        Each part counts by its weight: summed, the gradients are those of the batch's mean.
        """
        if not len(part):
            return torch.zeros((), device=self.device)
        loss, own = self._loss(part), part.weight
        counted = loss if self.share.count == 1 else loss * (own / (weight or 1.0))
        counted.backward()  # type: ignore[no-untyped-call]
        return loss.detach() * own

    def _loss(self, rows: RowBlock) -> torch.Tensor:
        inputs, wanted, weights = tensors(rows, self.device)
        return self.loss(self.network(**inputs), wanted, weights)

    def _tell(self) -> bool:
        """Say how far the epoch is; returns whether the loss is still a number."""
        mean = self.lost.item() / (self.reached.weight or 1.0)
        self.progress(self.reached.epoch + 1, self.reached.step, self.steps, mean)
        return self.share.count > 1 or math.isfinite(mean)  # those who share must end together

    def _close_epoch(self) -> None:
        """Judge the epoch, keep its weights if they are the best, and see whether to go on."""
        reached = self.reached
        self.share.agree(self.network)
        fitted = self.lost.item() / (reached.weight or 1.0)
        taken = EpochLosses(fitted=fitted, validated=self._validated())
        self.progress(reached.epoch + 1, reached.step, self.steps, fitted)
        if not math.isfinite(fitted) or not math.isfinite(taken.judged):
            self._end_diverged(fitted)
            return
        reached.epochs.append(taken)
        reached.epoch, reached.step, reached.lost, reached.weight = reached.epoch + 1, 0, 0.0, 0.0
        self.lost.zero_()
        if self.validation is None or not reached.best or (
                taken.judged < reached.epochs[reached.best - 1].judged):
            reached.best = reached.epoch
            self.best = {} if self.validation is None else {
                name: value.detach().clone() for name, value in self.network.state_dict().items()}
        patience = self.fit.patience
        if reached.epoch >= self.fit.epochs:
            reached.ended = ALL_TAKEN
        elif self.validation is not None and patience is not None and (
                reached.epoch - reached.best >= patience):
            reached.ended = NO_GAIN.format(patience)

    def _end_diverged(self, fitted: float) -> None:
        if not self.best:
            raise TrainingFailed(
                f"the mean loss of epoch {self.reached.epoch + 1} is {fitted}: expected a finite "
                "number. Declare a smaller rate, a longer warmup or a smaller clip, and look for "
                "inputs that are infinite or no numbers"
            )
        self.reached.ended = DIVERGED
        self.lost.zero_()

    def _validated(self) -> float | None:
        """The mean loss of a validation row, by its weight."""
        if self.validation is None:
            return None
        self.network.eval()
        lost, weight = torch.zeros_like(self.lost), 0.0
        with torch.inference_mode():
            for batch in batches(self.validation(0, self.seed), WIDER * self.batch):
                weight += batch.weight
                part = self.share.rows(batch)
                if len(part):
                    lost.add_(self._loss(part), alpha=part.weight)
        return self.share.total(lost).item() / (weight or 1.0)

    def _save(self) -> None:
        self.saved_at = monotonic()
        if self.checkpoints is None or self.share.number:
            return
        self.reached.lost = self.lost.item()
        if not math.isfinite(self.reached.lost):
            return
        self.checkpoints.save(self.reached, self.network.state_dict(), self.best, self.optimiser)


def _optimiser(fit: Minibatch, parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    if fit.optimiser == "sgd":
        return torch.optim.SGD(parameters, lr=fit.rate, momentum=fit.momentum,
                               weight_decay=fit.weight_decay, nesterov=fit.momentum > 0)
    return torch.optim.AdamW(parameters, lr=fit.rate, weight_decay=fit.weight_decay)
