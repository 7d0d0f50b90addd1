"""A small study in memory, made by the real code, and what spoils it: the tests of the audit share it.

Two networks are trained apart, a copy of one is pruned; they are attacked, scored and audited. A sabotage changes what
is stored with all digests consistent, as a bug does that nobody noticed.
"""

import io
import pickle
from copy import deepcopy
from functools import cache, partial
from types import SimpleNamespace

import numpy as np
import torch
from attack_fixtures import TRAIN, digits, network, settings
from torch import nn
from torch.nn import functional

from squeezeproof.attacks.craft import craft
from squeezeproof.audit.again import audit_again
from squeezeproof.audit.cells import Split
from squeezeproof.audit.compressed import audit_made
from squeezeproof.audit.data import audit_data
from squeezeproof.audit.findings import RAISED, beyond
from squeezeproof.audit.fresh import audit_fresh
from squeezeproof.audit.kin import audit_kin, audit_masks
from squeezeproof.audit.models import weights_digest
from squeezeproof.audit.probe import probe
from squeezeproof.audit.recorded import audit_recorded
from squeezeproof.audit.scales import audit_scales
from squeezeproof.audit.sets import Origin, audit_set
from squeezeproof.audit.study import audit_study
from squeezeproof.evaluation.again import ask_again
from squeezeproof.evaluation.given import Given
from squeezeproof.models.build import Normalize
from squeezeproof.models.predict import predict
from squeezeproof.store.adversarial import save_set
from squeezeproof.store.predictions import ASKED_AGAIN, NOT_SCORED, save_predictions
from squeezeproof.store.tensors import fingerprint, write_tensors

COUNT = 200
ATTACKS = {
    "fgsm-eps0.1": settings("fgsm", eps=0.1),
    "pgd-eps0.1": settings("pgd", eps=0.1, steps=10),
    "pgd-eps0.15": settings("pgd", eps=0.15, steps=10),
}


def fitted(model, epochs=8, rate=0.1):
    """Trains a network on the digits by plain SGD."""
    images, labels = digits()
    images = images / 255
    model.train()
    for _ in range(epochs):
        for batch in torch.randperm(TRAIN).split(50):
            loss = functional.cross_entropy(model(images[batch]), labels[batch])
            parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
            gradients = torch.autograd.grad(loss, parameters)
            with torch.no_grad():
                for parameter, gradient in zip(parameters, gradients, strict=True):
                    parameter -= rate * gradient
    return model.eval()


def normalised():
    """Batch normalisation after every convolution."""
    return nn.Sequential(
        Normalize([0.3], [0.4]),
        *(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU()),
        nn.Flatten(),
        nn.Linear(256, 10),
    )


def pruned(model, share=0.8):
    """The smallest weights of every layer at zero, fine-tuned with the rest."""
    model = deepcopy(model)
    masks = {}
    for layer in model:
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            weight = layer.weight.data
            masks[layer] = weight.abs() > weight.abs().flatten().kthvalue(int(share * weight.numel())).values
            layer.weight.register_hook(lambda gradient, mask=masks[layer]: gradient * mask)
            weight *= masks[layer]
    fitted(model, epochs=2)
    for layer, mask in masks.items():
        layer.weight = nn.Parameter(layer.weight.data * mask)
    return model


@cache
def trained():
    """Model name -> model: two that were trained apart, and a compressed copy of the first."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        base = network()
        return {"base": base, "other": fitted(normalised()), "small": pruned(base)}


PARENTS = {"base": None, "other": None, "small": "base"}


# What crafting and probing a source depends on -> what came of it.
REMEMBERED = {}


class Pickler(pickle.Pickler):
    """Equal tensors become equal bytes; those of torch have the addresses of their memory."""

    def reducer_override(self, value):
        if isinstance(value, torch.Tensor):
            return type(value), (fingerprint(value.detach().numpy()), value.stride(), value.requires_grad)
        return NotImplemented


class Remembered(dict):
    """What was found in this process, in the place of the file that `store.kept.Kept` keeps from run to run."""

    def find(self, about, find):
        if about not in self:
            self[about] = find()
        return self[about]

    @classmethod
    def of(cls, *given):
        """What was found of these models, tensors and settings; nothing yet where one of them cannot be pickled."""
        written = io.BytesIO()
        try:
            Pickler(written).dump(given)
        except (AttributeError, pickle.PicklingError):
            return cls()
        return REMEMBERED.setdefault(written.getvalue(), cls())


class House:
    """A study in memory, and its audit.

    Most kinds of sabotage change one set of nine: what the audit finds of the others is found once in a process.
    """

    def __init__(self, folder, models=None, attacks=None):
        self.folder = folder
        self.models = deepcopy(trained()) if models is None else models
        self.attacks = deepcopy(ATTACKS if attacks is None else attacks)
        images, labels = digits()
        self.train = images[:TRAIN], labels[:TRAIN]
        self.images, self.labels = images[TRAIN : TRAIN + COUNT].clone(), labels[TRAIN : TRAIN + COUNT].clone()
        self.digests = {name: name.upper() for name in self.models}
        self.current = self.digests
        self.sets, self.predictions = {}, {}
        # Model -> parameter -> pruning mask, as its checkpoint has them.
        self.masks = {}
        self.expected = COUNT
        # What the jobs note of what they were given.
        self.scored, self.made_of, self.trained_on, self.given = {}, {}, {}, {}

    @staticmethod
    def seen(images, labels):
        return fingerprint(images.numpy(), labels.numpy())

    def told(self, source, attack):
        """What a set says of itself."""
        return f"{self.digests[source]}:{fingerprint(self.sets[source, attack][0]['adversarial'].numpy())}"

    @property
    def split(self):
        digest = self.seen(self.images, self.labels)
        return {"fingerprint": digest, "classes": list("0123456789")}

    def craft(self):
        for source in self.models:
            for attack in self.attacks:
                self.sets[source, attack] = self.crafted(self.models[source], attack)
        return self

    def crafted(self, model, attack, labels=None, seed=0):
        labels = self.labels if labels is None else labels
        options = {"seed": seed, "batch_size": 64, "training": self.train}
        known = Remembered.of(model, self.images, labels, self.attacks[attack], options)
        return deepcopy(known.find("set", lambda: craft(model, self.images, labels, self.attacks[attack], **options)))

    def claim(self, source, attack, points):
        """Store some points as the set of a source, everything that is recorded of them consistent."""
        tensors, _ = self.sets[source, attack]
        tensors["adversarial"] = points
        tensors["labels"] = self.labels.clone()
        self.record(source, attack)

    def record(self, source, attack):
        """Record what the source makes of its set."""
        tensors, metadata = self.sets[source, attack]
        targets = tensors.get("targets")
        aims = self.labels if targets is None else targets
        with torch.no_grad():
            logits = self.models[source](_pixels(tensors["adversarial"]))
        tensors["predictions"] = logits.argmax(1)
        ahead = logits.scatter(1, aims[:, None], float("-inf")).amax(1) - logits.gather(1, aims[:, None])[:, 0]
        reached, tensors["margin"] = tensors["predictions"] == aims, ahead if targets is None else -ahead
        standing = reached if targets is None else ~reached & (targets != self.labels)
        metadata["stages"] = [{**metadata["stages"][-1], "standing": int(standing.sum())}]

    def labelled(self, given, name, model, images):
        """The labels of a model, as the job gets them that notes what the model is given."""
        with given.watching(model):
            found = predict(model, given.begin(images), 100)
        given.found[name] = given.digests
        return found

    def targets(self, source):
        """Targeted attack -> the classes that its images of a source are to reach."""
        aimed = [attack for attack, entry in self.attacks.items() if entry.get("targeted")]
        return {attack: self.sets[source, attack][0]["targets"] for attack in aimed}

    def score(self):
        for target, model in self.models.items():
            for source in self.models:
                if target == source or source == "base":
                    given = self.given[target, source] = Given()
                    found, told = {"clean": self.labelled(given, "clean", model, self.images)}, {}
                    for attack, entry in self.attacks.items():
                        if target == source or not entry["stop_on_success"]:
                            points = self.sets[source, attack][0]["adversarial"]
                            found[attack] = self.labelled(given, attack, model, points)
                            told[attack] = self.told(source, attack)
                            if entry["method"] == "substitute":
                                found[attack][: entry["seeds"]] = NOT_SCORED
                    for attack, targets in self.targets(source).items():
                        found[attack][targets == self.labels] = NOT_SCORED
                    self.predictions[target, source], self.scored[target, source] = found, told
        return self

    def audit(self):
        """(check, verdict, source, target, attack) of every finding that is no pass."""
        for name, (images, labels) in {
            "train": self.train,
            "validation": (self.images[:0], self.labels[:0]),
            "test": (self.images, self.labels),
        }.items():
            write_tensors(
                self.folder / name,
                {"images": images.numpy(), "labels": labels.numpy()},
                {"kind": "dataset", **self.split},
            )
        found = audit_data("digits", *(self.folder / name for name in ("train", "validation", "test")), self.expected)
        for source, model in self.models.items():
            options = {"seed": 1, "batch_size": 100, "dataset": "digits", "source": source}
            kept = Remembered.of(model, self.images, self.labels, source)
            looked_at = model, self.images[:100], self.labels[:100], None
            found += kept.find("the source", partial(probe, *looked_at, deep=False, **options))
            paths = {attack: self.folder / f"{source}.{attack}" for attack in self.attacks}
            for attack, path in paths.items():
                tensors, metadata = self.sets[source, attack]
                told = {**metadata, "attack": attack}
                save_set(path, tensors, self.attacks[attack], told, {"fingerprint": self.digests[source]}, self.split)
                origin = Origin(self.images.numpy(), self.labels.numpy(), self.digests[source])
                evaluated = self.predictions[source, source].get(attack)
                evaluated = None if evaluated is None else evaluated.numpy()
                clean = self.predictions[source, source]["clean"].numpy()
                found += audit_set(path, "digits", source, attack, origin, evaluated, clean)
            rows = np.arange(len(self.images))
            found += audit_fresh(model, self.images, self.labels, rows, paths, **options, kept=kept)
            looked = {key: value for key, value in options.items() if key != "seed"}
            found += audit_scales(model, self.images[:100], **looked)
            alone = {name: path for name, path in paths.items() if name not in self.predictions[source, source]}
            found += audit_recorded(model, alone, **looked, expectation=1, kept=kept)
            again = {**looked, "classes": list("0123456789"), "kept": kept}
            seeds = dict.fromkeys(paths, 0)
            found += audit_again(model, self.images, self.labels, paths, seeds, **again)
        paths = []
        for (target, source), predicted in self.predictions.items():
            names = SimpleNamespace(dataset="digits", target=target, source=source)
            paths.append(self.folder / f"{target}-{source}")
            entries = {attack: entry for attack, entry in self.attacks.items() if attack in predicted}
            checkpoint = {"fingerprint": self.digests[target]}
            told = self.scored[target, source]
            given = names, entries, checkpoint, self.split, self.targets(source)
            sets = [self.folder / f"{source}.{attack}" for attack in entries]
            seen = self.given[target, source].found
            again = ask_again(self.models[target], self.folder / "test", sets, predicted, given=seen)
            save_predictions(paths[-1], self.labels, predicted, *given, scored=told, **{ASKED_AGAIN: again})
        digests, weights = {"train": self.seen(*self.train), "test": self.split["fingerprint"]}, {}
        for name in self.models:
            parent = self.digests.get(PARENTS.get(name))
            told = {
                "trained_on": self.trained_on.get(name, digests["train"]),
                "made_of": self.made_of.get(name, parent),
            }
            found += audit_made("digits", name, told, digests, parent)
        files = {name: self.folder / f"{name}.model" for name in self.models}
        for name, model in self.models.items():
            arrays = {key: value.numpy() for key, value in model.state_dict().items()}
            arrays |= {f"mask:{key}": mask.numpy() for key, mask in self.masks.get(name, {}).items()}
            write_tensors(files[name], arrays, {"kind": "model"})
            weights["digits", name] = weights_digest(files[name])
        for name, path in files.items():
            found += audit_masks("digits", name, path)
            found += audit_kin("digits", name, {}, path, files.get(PARENTS.get(name)))
        split = Split(self.labels.numpy(), self.split["fingerprint"])
        known = {("digits", name): digest for name, digest in self.current.items()}
        parents = {("digits", name): PARENTS.get(name) for name in self.models}
        return audit_study(found, paths, {"digits": split}, known, weights, parents)


def _pixels(points):
    return points / 255 if points.dtype == torch.uint8 else points


def alarms(findings):
    """What is no pass; every verdict is what value and threshold say."""
    for finding in findings:
        assert not (finding.verdict == "pass" and beyond(finding.check, finding.value, finding.threshold)), finding
    return {
        (finding.check, finding.verdict, finding.source, finding.target, finding.attack): finding.message
        for finding in findings
        if finding.verdict in RAISED
    }


def dense(width=24):
    return nn.Sequential(Normalize([0.3], [0.4]), nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))
