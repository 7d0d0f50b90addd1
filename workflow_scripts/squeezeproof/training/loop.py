"""Training on a data set that lives on the device as one tensor, resumable after every epoch, bit for bit."""

import math
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import torch
from torch import nn

from squeezeproof.checked import TrainingSettings
from squeezeproof.entries import registry
from squeezeproof.errors import InputError, OfModel
from squeezeproof.jobs import Progress, log
from squeezeproof.models.device import device_of
from squeezeproof.models.predict import accuracy
from squeezeproof.randomness import own_randomness
from squeezeproof.runtime import place
from squeezeproof.seeds import derive_seed
from squeezeproof.store.datasets import to_pixels
from squeezeproof.training.adversaries import Adversary, logits_of, make_adversary
from squeezeproof.training.augmentation import augment
from squeezeproof.training.resume import Resume
from squeezeproof.training.schedules import goes_on, learning_rate
from squeezeproof.training.unconstrained import Unconstrained
from squeezeproof.types import Masks, Split

HISTORY = ["epoch", "learning_rate", "train_loss", "train_accuracy", "validation_accuracy"]
HISTORY += ["clean_loss", "adversarial_loss", "adversarial_accuracy", "eps", "restarts"]
# Multiples of log K, the loss of a model that guesses; LOST also of the loss that the training began with.
LOST, BROKEN = 10, 10_000


class Diverged(InputError):
    """A training whose loss or weights are beyond repair."""


def fit(
    model: nn.Module,
    train: tuple[torch.Tensor, torch.Tensor],
    validation: tuple[torch.Tensor, torch.Tensor],
    settings: TrainingSettings,
    *,
    seed: int,
    masks: Masks | None = None,
    solver: Unconstrained | None = None,
    resume_path: str | Path | None = None,
) -> list[dict[str, Any]]:
    """Train `model` in place and return its history, one row per epoch with the keys of HISTORY.

    Args:
        model: maps pixels [N, C, H, W] in [0, 1] to logits [N, K]; trained on the device of its parameters.
        train, validation: (uint8 images, int64 labels); validation may be empty, its accuracy is then None.
        settings: a checked entry of `trainings` (study.trainings.Training).
        seed: fixes the order of the batches, the augmentation and the adversary; each epoch has its own stream.
        masks: parameter name -> bool tensor; masked weights are zero after every step.
        solver: an `admm.Admm` over weights of the model, which compresses them during the training. Rows then also
            have what its `measure` tells, the last one the accuracies before and after the final projection, of the
            validation images or, without any, of the training images.
        resume_path: file that holds the state after the last finished epoch, left for the caller to remove.

    The losses and accuracies of a row are means over the training images as they were trained on, augmented and, for
    the adversarial ones, as crafted; `eps` is the mean radius in pixel units. What was not computed is None.

    Raises InputError when a weight stops being finite, every step of an epoch has a loss above LOST times the first
    and LOST log K, or its last one above BROKEN log K, and no restart is left; the state of the last good epoch stays
    in `resume_path`.
    """
    solver = solver or Unconstrained()
    if settings["epochs"] == 0 == settings["extend"]["max_epochs"]:
        model.eval()
        return []
    _check_trainable(model, settings["epochs"])
    if settings["precision"] != "float32" and device_of(model).type == "cuda":
        place(model, device_of(model), train[0].shape[1:], settings["precision"])
    solver.plan(settings["epochs"])
    trainer = _Trainer.of(model, train, settings, seed, masks or {}, solver)
    resume = Resume(
        resume_path,
        model,
        trainer.optimizer,
        solver,
        # Whether a restart is allowed changes nothing before it: a diverged training may go on under another limit.
        identity=[
            {key: value for key, value in settings.items() if key != "restarts_on_divergence"},
            seed,
            solver.identity,
        ],
        data=[*train, *validation],
        revertible=settings["restarts_on_divergence"] > 0,
    )
    history = _all_epochs(trainer, validation, resume)
    judges = validation if len(validation[1]) else train
    history[-1] |= solver.finish(lambda: accuracy(model, *judges))
    model.eval()
    return history


def _check_trainable(model: nn.Module, epochs: int) -> None:
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise OfModel(
            f"the network has no parameter that is trained (all are frozen, or it has none), and epochs: {epochs} are "
            f"asked for; write epochs: 0, or let its parameters require gradients"
        )


def _all_epochs(trainer: "_Trainer", validation: Split, resume: Resume) -> list[dict[str, Any]]:
    """Train from the last saved epoch to the end, restarting where it diverges; the rows of all epochs."""
    settings, history = trainer.settings, resume.load()
    restarts = history[-1]["restarts"] if history else 0
    progress = Progress(max(settings["epochs"], settings["extend"]["max_epochs"]), "epochs", done=len(history))
    while goes_on(history, settings, since=trainer.solver.settled):
        try:
            row = trainer.epoch(len(history), restarts, history[0]["train_loss"] if history else None)
        except Diverged as error:
            if restarts >= settings["restarts_on_divergence"]:
                raise
            restarts += 1
            resume.revert()
            log.info("%s; restart %d after epoch %d", error, restarts, len(history))
            continue
        except torch.OutOfMemoryError:
            raise InputError(
                f"the GPU's memory does not hold the training on {settings['batch_size']} images at a time; lower its "
                f"batch_size, or use a larger GPU"
            ) from None
        row["validation_accuracy"] = accuracy(trainer.model, *validation) if len(validation[1]) else None
        history.append({key: row[key] for key in HISTORY} | trainer.solver.measure())
        resume.save(history)
        progress.advance(note=_note(row))
    return history


def make_optimizer(model: nn.Module, settings: TrainingSettings) -> torch.optim.Optimizer:
    """The optimizer of checked training settings; weight decay spares biases and normalisation."""
    decayed = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    spared = [parameter for parameter in model.parameters() if parameter.dim() <= 1]
    groups = [{"params": decayed, "weight_decay": settings["weight_decay"]}, {"params": spared, "weight_decay": 0.0}]
    groups = [group for group in groups if group["params"]]
    optimizer = registry.optimizers()[settings["optimizer"]]
    return optimizer.imported()(groups, lr=settings["learning_rate"], **optimizer.options(settings))


@dataclass(frozen=True)
class _Trainer:
    """What the epochs of one training share."""

    model: nn.Module
    images: torch.Tensor
    labels: torch.Tensor
    optimizer: torch.optim.Optimizer
    criterion: nn.Module
    masked: list[tuple[nn.Parameter, torch.Tensor]]
    solver: Unconstrained
    # As text, which makes what is named here no part of a job's code.
    settings: "TrainingSettings"
    seed: int

    @classmethod
    def of(
        cls,
        model: nn.Module,
        train: tuple[torch.Tensor, torch.Tensor],
        settings: TrainingSettings,
        seed: int,
        masks: Masks,
        solver: Unconstrained,
    ) -> "_Trainer":
        device = device_of(model)
        parameters = dict(model.named_parameters())
        return cls(
            model=model,
            images=train[0].to(device),
            labels=train[1].to(device),
            optimizer=make_optimizer(model, settings),
            criterion=nn.CrossEntropyLoss(label_smoothing=settings["label_smoothing"]),
            masked=[(parameters[name], mask.to(device)) for name, mask in masks.items()],
            solver=solver,
            settings=settings,
            seed=seed,
        )

    def epoch(self, epoch: int, restarts: int, reference: float | None) -> dict[str, Any]:
        """One pass over the shuffled images; returns its row of the history, raises Diverged.

        `reference` is the loss of the first epoch, None in it.
        """
        self.solver.begin(epoch)
        # Dropout draws from the generators that everything shares, and so may the user's own layers and adversaries.
        with own_randomness(derive_seed(self.seed, "layers", epoch), self.images.device):
            sums, first, lowest, last = self._pass(epoch, self.settings["divergence_factor"] ** restarts)
        means = {key: float(value) / len(self.labels) for key, value in sums.items()}
        self._check(epoch, means["train_loss"], reference or first, lowest, last, restarts)
        return {
            **dict.fromkeys(HISTORY),
            **means,
            "epoch": epoch + 1,
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "train_accuracy": means.get("clean_accuracy"),
            "restarts": restarts,
        }

    def _pass(self, epoch: int, factor: float) -> tuple[dict[str, torch.Tensor], float, float, float]:
        """The sums over all images of what `_losses` measures, and the first, lowest and last loss of a batch."""
        self.model.train()
        device, settings = self.images.device, self.settings
        generator = torch.Generator().manual_seed(derive_seed(self.seed, "epoch", epoch))
        order = torch.randperm(len(self.labels), generator=generator).to(device)
        batches = list(order.split(settings["batch_size"]))
        if len(batches) > 1 and len(batches[-1]) == 1:
            # Batch normalisation has no variance over one image.
            batches[-2:] = [torch.cat(batches[-2:])]
        adversary = make_adversary(self.solver.adversary(settings["adversary"]), self.model)
        sums = {}
        first = lowest = last = torch.full((), float("inf"), device=device)
        for index, batch in enumerate(batches):
            # An extension goes on at the rate of the last step before it.
            position = min(epoch + index / len(batches), settings["epochs"] - 1 / len(batches))
            rate = factor * learning_rate(settings, epoch, position / settings["epochs"])
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            pixels = augment(
                to_pixels(self.images[batch], device),
                flip=settings["flip"],
                crop=settings["crop"],
                rotation=settings["rotation"],
                generator=generator,
            )
            self.solver.before(index)
            loss, measured = self._losses(pixels, batch, adversary, derive_seed(self.seed, "adversary", epoch, index))
            self._step(loss)
            self.solver.after(index, len(batches))
            last = loss.detach()
            first = first if index else last
            lowest = torch.minimum(lowest, last)
            for key, value in measured.items():
                sums[key] = sums.get(key, 0) + value
        return sums, first.item(), lowest.item(), last.item()

    def _losses(
        self, pixels: torch.Tensor, indices: torch.Tensor, adversary: Adversary | None, seed: int
    ) -> tuple[torch.Tensor, dict[str, Any]]:
        """The loss of a batch, and the batch's sums of what the history tells."""
        labels, count, measured = self.labels[indices], len(indices), {}
        precision = self.settings["precision"]
        feeds = [("clean", 1.0, pixels)]
        if adversary is not None:
            points, eps = adversary.craft(self.model, pixels, labels, seed=seed, indices=indices, precision=precision)
            weight = adversary.clean_weight
            feeds = [("clean", weight, pixels)] * (weight > 0) + [("adversarial", 1 - weight, points)]
            measured["eps"] = count * eps
        images = [images for _, _, images in feeds]
        logits = logits_of(self.model, torch.cat(images) if len(images) > 1 else images[0], precision)
        shares = []
        for (kind, share, _), part in zip(feeds, logits.split(count), strict=True):
            loss = self.criterion(part, labels)
            shares.append(share * loss)
            measured[f"{kind}_loss"] = count * loss.detach().double()
            measured[f"{kind}_accuracy"] = (part.detach().argmax(1) == labels).sum()
        total = reduce(add, shares)
        measured["train_loss"] = count * total.detach().double()
        return total, measured

    def _step(self, loss: torch.Tensor) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.solver.add_gradients()
        self.optimizer.step()
        with torch.no_grad():
            for parameter, mask in self.masked:
                parameter.mul_(mask)

    def _check(self, epoch: int, mean: float, reference: float, lowest: float, last: float, restarts: int) -> None:
        # The loss does not see what the last step of an epoch did.
        finite = math.isfinite(mean) and all(tensor.isfinite().all() for tensor in self.model.state_dict().values())
        guessing = math.log(max(2, int(self.labels.max()) + 1))
        # What starts with a high loss, as a network pruned hard does, has not diverged by that.
        if finite and lowest <= LOST * max(guessing, reference) and last <= BROKEN * guessing:
            return
        raise Diverged(
            f"training diverged in epoch {epoch + 1} (mean loss {mean:g}); "
            f"lower learning_rate: {self.settings['learning_rate']:g}, or write restarts_on_divergence: {restarts + 1} "
            f"to go on from the last good epoch at {self.settings['divergence_factor']:g} of it"
        )


def _note(row: dict[str, Any]) -> str:
    told = {key: row[key] for key in ("train_loss", "train_accuracy", "adversarial_accuracy") if row[key] is not None}
    return ", ".join(f"{key.replace('_', ' ').replace('train ', '')} {value:.4g}" for key, value in told.items())
