"""Training on a data set that lives on the device as one tensor, resumable after every epoch, bit for bit."""

import math

import torch
from torch import nn

from squeezeproof.errors import InputError
from squeezeproof.evaluation.predict import accuracy
from squeezeproof.jobs import Progress
from squeezeproof.seeds import derive_seed
from squeezeproof.store.datasets import to_pixels
from squeezeproof.training.augmentation import augment
from squeezeproof.training.resume import Resume
from squeezeproof.training.schedules import learning_rate

HISTORY = ["epoch", "learning_rate", "train_loss", "train_accuracy", "validation_accuracy"]


def fit(model, train, validation, settings, *, seed, masks=None, resume_path=None):
    """Train `model` in place and return its history, one row per epoch with the keys of HISTORY.

    Args:
        model: maps pixels [N, C, H, W] in [0, 1] to logits [N, K]; trained on the device of its parameters.
        train, validation: (uint8 images, int64 labels); validation may be empty, its accuracy is then None.
        settings: a checked entry of `trainings` (schemas/training.yaml).
        seed: fixes the order of the batches and the augmentation; each epoch has its own stream.
        masks: parameter name -> bool tensor; masked weights are zero after every step.
        resume_path: file that holds the state after the last finished epoch, left for the caller to remove.

    Raises InputError when the loss or a weight stops being finite.
    """
    device = next(model.parameters()).device
    images, labels = train[0].to(device), train[1].to(device)
    parameters = dict(model.named_parameters())
    masked = [(parameters[name], mask.to(device)) for name, mask in (masks or {}).items()]
    optimizer = make_optimizer(model, settings)
    resume = Resume(resume_path, model, optimizer, identity=[settings, seed], data=[*train, *validation])
    history = resume.load()
    progress = Progress(settings["epochs"] - len(history), "epochs")
    criterion = nn.CrossEntropyLoss(label_smoothing=settings["label_smoothing"])
    for epoch in range(len(history), settings["epochs"]):
        with torch.random.fork_rng():
            torch.manual_seed(derive_seed(seed, "layers", epoch))  # dropout draws from the global RNG
            loss, correct = _epoch(model, images, labels, optimizer, criterion, masked, settings, epoch, seed)
        row = {
            "epoch": epoch + 1,
            "learning_rate": optimizer.param_groups[0]["lr"],
            "train_loss": loss,
            "train_accuracy": correct,
            "validation_accuracy": accuracy(model, *validation) if len(validation[1]) else None,
        }
        history.append(row)
        resume.save(history)
        progress.advance(note=f"loss {loss:.4f}, training accuracy {correct:.3f}")
    model.eval()
    return history


def make_optimizer(model, settings):
    """The optimizer of checked training settings; weight decay spares biases and normalisation."""
    decayed = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    spared = [parameter for parameter in model.parameters() if parameter.dim() <= 1]
    groups = [{"params": decayed, "weight_decay": settings["weight_decay"]}, {"params": spared, "weight_decay": 0.0}]
    groups = [group for group in groups if group["params"]]
    rate, momentum = settings["learning_rate"], settings["momentum"]
    match settings["optimizer"]:
        case "sgd":
            return torch.optim.SGD(groups, lr=rate, momentum=momentum, nesterov=settings["nesterov"])
        case "adam":
            return torch.optim.Adam(groups, lr=rate)
        case "adamw":
            return torch.optim.AdamW(groups, lr=rate)
        case "rmsprop":
            return torch.optim.RMSprop(groups, lr=rate, momentum=momentum, alpha=settings["rmsprop_smoothing"])
    raise ValueError(f"unknown optimizer {settings['optimizer']!r}")


def _epoch(model, images, labels, optimizer, criterion, masked, settings, epoch, seed):
    """One pass over the shuffled images; returns the mean loss and the accuracy on the augmented batches."""
    model.train()
    device = images.device
    generator = torch.Generator().manual_seed(derive_seed(seed, "epoch", epoch))
    order = torch.randperm(len(labels), generator=generator).to(device)
    batches = order.split(settings["batch_size"])
    total = torch.zeros((), device=device, dtype=torch.float64)
    correct = torch.zeros((), device=device, dtype=torch.int64)
    for index, batch in enumerate(batches):
        rate = learning_rate(settings, epoch, (epoch + index / len(batches)) / settings["epochs"])
        for group in optimizer.param_groups:
            group["lr"] = rate
        pixels = augment(
            to_pixels(images[batch], device),
            flip=settings["flip"],
            crop=settings["crop"],
            rotation=settings["rotation"],
            generator=generator,
        )
        with torch.autocast(device.type, torch.bfloat16, enabled=settings["precision"] == "bfloat16"):
            logits = model(pixels)
        loss = criterion(logits.float(), labels[batch])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for parameter, mask in masked:
                parameter.mul_(mask)
        total += loss.detach() * len(batch)
        correct += (logits.detach().argmax(1) == labels[batch]).sum()
    mean_loss = total.item() / len(labels)
    # The loss does not see what the last step of an epoch did.
    if not (math.isfinite(mean_loss) and all(tensor.isfinite().all() for tensor in model.state_dict().values())):
        raise InputError(
            f"training diverged in epoch {epoch + 1} (mean loss {mean_loss:g}); "
            f"lower learning_rate: {settings['learning_rate']:g}"
        )
    return mean_loss, correct.item() / len(labels)
