"""What a bug would leave behind: each kind of sabotage is caught by its check, and no sound variation raises an alarm.

A small study is made by the real code: two networks trained apart and a pruned copy of one, attacked, scored and
audited. A sabotage changes what is stored with all digests consistent, as a bug does that nobody noticed.
"""

from copy import deepcopy
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from attack_fixtures import TRAIN, digits, network, settings
from torch import nn
from torch.nn import functional

from squeezeproof.attacks.craft import craft
from squeezeproof.audit.cells import Split
from squeezeproof.audit.compressed import audit_made
from squeezeproof.audit.data import audit_data
from squeezeproof.audit.findings import FAILURE, WARNING, beyond
from squeezeproof.audit.fresh import audit_fresh
from squeezeproof.audit.models import weights_digest
from squeezeproof.audit.probe import probe
from squeezeproof.audit.sets import Origin, audit_set
from squeezeproof.audit.study import audit_study
from squeezeproof.models.build import Normalize
from squeezeproof.models.predict import predict
from squeezeproof.store.adversarial import save_set
from squeezeproof.store.predictions import NOT_SCORED, save_predictions
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


class House:
    """A study in memory, and its audit."""

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
        # What the jobs note of what they were given.
        self.scored, self.made_of, self.trained_on = {}, {}, {}

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
        return craft(model, self.images, labels, self.attacks[attack], **options)

    def claim(self, source, attack, points):
        """Store some points as the set of a source, everything that is recorded of them consistent."""
        tensors, _ = self.sets[source, attack]
        tensors["adversarial"] = points
        tensors["labels"] = self.labels.clone()
        self.record(source, attack)

    def record(self, source, attack):
        """Record what the source makes of its set."""
        tensors, metadata = self.sets[source, attack]
        with torch.no_grad():
            logits = self.models[source](_pixels(tensors["adversarial"]))
        tensors["predictions"] = logits.argmax(1)
        ranked = logits.scatter(1, self.labels[:, None], float("-inf")).amax(1)
        tensors["margin"] = ranked - logits.gather(1, self.labels[:, None])[:, 0]
        metadata["stages"] = [
            {**metadata["stages"][-1], "standing": int((tensors["predictions"] == self.labels).sum())}
        ]

    def score(self):
        for target, model in self.models.items():
            for source in self.models:
                if target == source or source == "base":
                    found, told = {"clean": predict(model, self.images, 100)}, {}
                    for attack, entry in self.attacks.items():
                        if target == source or not entry["stop_on_success"]:
                            points = self.sets[source, attack][0]["adversarial"]
                            found[attack], told[attack] = predict(model, points, 100), self.told(source, attack)
                            if entry["method"] == "substitute":
                                found[attack][: entry["seeds"]] = NOT_SCORED
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
        found = audit_data("digits", *(self.folder / name for name in ("train", "validation", "test")))
        for source, model in self.models.items():
            options = {"seed": 1, "batch_size": 100, "dataset": "digits", "source": source}
            found += probe(model, self.images[:100], self.labels[:100], None, deep=False, **options)
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
            found += audit_fresh(model, self.images, self.labels, rows, paths, **options)
        paths = []
        for (target, source), predicted in self.predictions.items():
            names = SimpleNamespace(dataset="digits", target=target, source=source)
            paths.append(self.folder / f"{target}-{source}")
            entries = {attack: entry for attack, entry in self.attacks.items() if attack in predicted}
            checkpoint = {"fingerprint": self.digests[target]}
            told = self.scored[target, source]
            save_predictions(paths[-1], self.labels, predicted, names, entries, checkpoint, self.split, scored=told)
        digests, weights = {"train": self.seen(*self.train), "test": self.split["fingerprint"]}, {}
        for name in self.models:
            parent = self.digests.get(PARENTS.get(name))
            told = {
                "trained_on": self.trained_on.get(name, digests["train"]),
                "made_of": self.made_of.get(name, parent),
            }
            found += audit_made("digits", name, told, digests, parent)
        for name, model in self.models.items():
            arrays = {key: value.numpy() for key, value in model.state_dict().items()}
            write_tensors(self.folder / f"{name}.model", arrays, {"kind": "model"})
            weights["digits", name] = weights_digest(self.folder / f"{name}.model")
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
        if finding.verdict in (FAILURE, WARNING)
    }


# Sabotage. Each returns (check, source, target, attack), with None for any, or changes the house before it is crafted.

SABOTAGE = {}


def sabotage(check, *, before=False):
    """Register a kind of sabotage under its function's name; `before` crafting, else between crafting and scoring."""

    def register(function):
        SABOTAGE[function.__name__] = (function, check, before)
        return function

    return register


@sabotage(24)
def crafted_through_the_base(house):
    house.claim("small", "pgd-eps0.1", house.crafted(house.models["base"], "pgd-eps0.1")[0]["adversarial"])


@sabotage(24)
def gradients_through_another_normalisation(house):
    model = deepcopy(house.models["base"])
    model[0] = Normalize([0.0], [0.02])
    house.claim("base", "pgd-eps0.1", house.crafted(model, "pgd-eps0.1")[0]["adversarial"])


@sabotage(24)
def fgsm_through_another_normalisation(house):
    model = deepcopy(house.models["base"])
    model[0] = Normalize([0.9], [0.05])
    house.claim("base", "fgsm-eps0.1", house.crafted(model, "fgsm-eps0.1")[0]["adversarial"])


@sabotage(24)
def batch_normalisation_in_training_mode(house):
    import torchattacks

    model = deepcopy(house.models["other"]).train()
    for layer in model:
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 0.0
    points = []
    for first in range(0, COUNT, 2):
        attack = torchattacks.PGD(model, eps=0.1, alpha=0.025, steps=10)
        attack.set_model_training_mode(True, batchnorm_training=True)
        points.append(attack(house.images[first : first + 2] / 255, house.labels[first : first + 2]))
    house.claim("other", "pgd-eps0.1", torch.cat(points))


@sabotage(24)
def a_stale_checkpoint(house):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(9)
        before = fitted(normalised(), epochs=1)
    house.claim("other", "pgd-eps0.1", house.crafted(before, "pgd-eps0.1")[0]["adversarial"])


@sabotage(24)
def noise_called_pgd(house):
    house.attacks["noise"] = settings("noise", eps=0.1)
    points = house.crafted(house.models["base"], "noise")[0]["adversarial"]
    del house.attacks["noise"]
    house.claim("base", "pgd-eps0.1", points)


@sabotage(24)
def the_wrong_labels_attacked(house):
    with torch.no_grad():
        ranked = house.models["base"](house.images / 255).argsort(1, descending=True)
    points, _ = house.crafted(house.models["base"], "pgd-eps0.1", labels=ranked[:, -1])
    house.claim("base", "pgd-eps0.1", points["adversarial"])


@sabotage(24)
def steps_down_the_loss(house):
    clean = house.images / 255
    points = house.sets["base", "pgd-eps0.1"][0]["adversarial"]
    house.claim("base", "pgd-eps0.1", (2 * clean - points).clamp(0, 1))


@sabotage(24)
def every_second_batch_left_out(house):
    tensors, _ = house.sets["base", "pgd-eps0.1"]
    noise = (house.images / 255 + 0.1 * torch.randn_like(tensors["adversarial"]).sign()).clamp(0, 1)
    odd = torch.arange(COUNT) // 10 % 2 == 1
    house.claim("base", "pgd-eps0.1", torch.where(odd[:, None, None, None], noise, tensors["adversarial"]))


@sabotage(25)
def a_budget_in_the_wrong_unit(house):
    attacks, house.attacks = house.attacks, {"pgd-eps0.1": {**house.attacks["pgd-eps0.1"], "eps": 0.1 / 255}}
    points = house.crafted(house.models["base"], "pgd-eps0.1")[0]["adversarial"]
    house.attacks = attacks
    house.claim("base", "pgd-eps0.1", points)


@sabotage(25)
def a_step_size_in_the_wrong_unit(house):
    attacks, changed = house.attacks, {"alpha": 0.01 / 255, "random_start": False}
    house.attacks = {"pgd-eps0.1": {**house.attacks["pgd-eps0.1"], **changed}}
    points = house.crafted(house.models["base"], "pgd-eps0.1")[0]["adversarial"]
    house.attacks = attacks
    house.claim("base", "pgd-eps0.1", points)


@sabotage(3)
def clean_images_where_the_attack_fails(house):
    tensors, _ = house.sets["base", "pgd-eps0.1"]
    failed = tensors["predictions"] == house.labels
    house.claim(
        "base", "pgd-eps0.1", torch.where(failed[:, None, None, None], house.images / 255, tensors["adversarial"])
    )


@sabotage(3)
def clean_images_throughout(house):
    house.claim("base", "fgsm-eps0.1", house.images / 255)


@sabotage(1)
def out_of_the_ball(house):
    tensors, _ = house.sets["base", "pgd-eps0.1"]
    tensors["adversarial"][7] += 2e-5


@sabotage(1)
def out_of_the_box(house):
    tensors, _ = house.sets["base", "pgd-eps0.1"]
    tensors["adversarial"][7] -= 1e-3


@sabotage(1)
def truncated_to_eight_bits(house):
    tensors, _ = house.sets["base", "pgd-eps0.1"]
    house.claim("base", "pgd-eps0.1", (tensors["adversarial"] * 255).floor() / 255)


@sabotage(1)
def another_order(house):
    house.claim("base", "pgd-eps0.1", house.sets["base", "pgd-eps0.1"][0]["adversarial"].roll(1, 0))


@sabotage(1)
def labels_shifted_in_the_set(house):
    tensors, _ = house.sets["base", "pgd-eps0.1"]
    tensors["labels"] = (tensors["labels"] + 1) % 10


@sabotage(4)
def success_that_is_not_there(house):
    tensors, metadata = house.sets["base", "pgd-eps0.1"]
    standing = (tensors["predictions"] == house.labels).nonzero()[:5, 0]
    tensors["predictions"][standing] = (house.labels[standing] + 1) % 10
    metadata["stages"][-1]["standing"] -= len(standing)


@sabotage(5)
def stages_miscounted(house):
    house.sets["base", "pgd-eps0.1"][1]["stages"][-1]["standing"] += 3


@sabotage(23, before=True)
def a_compressed_model_that_is_its_base(house):
    house.models["small"] = deepcopy(house.models["base"])


@sabotage(23, before=True)
def one_model_under_two_names(house):
    house.models["another"] = deepcopy(house.models["other"])
    house.digests["another"] = "ANOTHER"


@sabotage(23, before=True)
def the_same_function_in_other_weights(house):
    again = deepcopy(house.models["base"])
    with torch.no_grad():
        again[-1].bias += 1.0
    house.models["small"] = again


@sabotage(22, before=True)
def one_class_for_every_image(house):
    with torch.no_grad():
        house.models["small"][-1].bias[3] += 1000


@sabotage(22, before=True)
def a_network_that_training_lost(house):
    with torch.no_grad():
        house.models["small"][-1].weight[:] = house.models["small"][-1].weight.roll(5, 0)


@sabotage(22, before=True)
def wrong_test_labels(house):
    house.labels = (house.labels + 1) % 10


@sabotage(26, before=True)
def some_wrong_test_labels(house):
    house.labels[::8] = (house.labels[::8] + 3) % 10


@sabotage(20, before=True)
def training_images_for_test_images(house):
    house.images, house.labels = house.train[0][:COUNT].clone(), house.train[1][:COUNT].clone()


@sabotage(20, before=True)
def ten_images_out_of_the_training_set(house):
    house.images[:10], house.labels[:10] = house.train[0][:10], house.train[1][:10]


class Wrapped(nn.Module):
    def __init__(self, network, after):
        super().__init__()
        self.network, self.after = network, after

    def forward(self, points):
        return self.after(self.network(points))


@sabotage(7)
def probabilities_for_logits(house):
    house.models["base"] = Wrapped(house.models["base"], lambda logits: logits.softmax(1))


@sabotage(6)
def random_numbers_in_eval_mode(house):
    house.models["base"] = Wrapped(house.models["base"], lambda logits: logits + 0.01 * torch.randn_like(logits))


@sabotage(9)
def gradients_that_vanish(house):
    house.models["base"] = Wrapped(house.models["base"], lambda logits: 2000 * logits)


AFTER_SCORING = {}


def after_scoring(check):
    def register(function):
        AFTER_SCORING[function.__name__] = (function, check)
        return function

    return register


@after_scoring(2)
def an_attack_was_not_scored(house):
    del house.predictions["base", "base"]["pgd-eps0.1"]
    house.predictions["base", "base"]["pgd-eps0.1"] = torch.full((COUNT,), NOT_SCORED)


@after_scoring(1)
def a_retrained_target(house):
    house.current = {**house.digests, "small": "RETRAINED"}


@after_scoring(1)
def images_of_another_split(house):
    house.images = house.images.flip(0)
    house.labels = house.labels.flip(0)


@after_scoring(1)
def not_a_number(house):
    house.sets["base", "pgd-eps0.1"][0]["adversarial"][0, 0, 0, 0] = float("nan")


@after_scoring(4)
def predictions_in_another_order(house):
    found = house.predictions["base", "base"]
    found["pgd-eps0.1"] = found["pgd-eps0.1"].roll(3)


@after_scoring(4)
def predictions_of_another_model(house):
    house.predictions["small", "small"] = dict(house.predictions["small", "base"])


@after_scoring(5)
def clean_predictions_under_attack(house):
    found = house.predictions["base", "base"]
    found["fgsm-eps0.1"] = house.labels.clone()


KINDS = {
    **{name: entry[1] for name, entry in SABOTAGE.items()},
    **{name: entry[1] for name, entry in AFTER_SCORING.items()},
}


@pytest.fixture(autouse=True)
def repeatable():
    """torchattacks draws from the global generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@cache
def sound():
    """The sets of the sound study, which most kinds of sabotage start from."""
    return House(None).craft().sets


@pytest.mark.parametrize("kind", KINDS)
def test_sabotage_is_caught(kind, tmp_path):
    house = House(tmp_path)
    if kind in SABOTAGE:
        spoil, check, before = SABOTAGE[kind]
        if before:
            spoil(house)
            house.craft()
        else:
            house.sets = deepcopy(sound())
            spoil(house)
        house.score()
    else:
        spoil, check = AFTER_SCORING[kind]
        house.sets = deepcopy(sound())
        house.score()
        spoil(house)
    found = alarms(house.audit())
    assert check in {alarm[0] for alarm in found}, found
    assert all(found.values()), "an alarm without a message"


# Sound variations


def dense(width=24):
    return nn.Sequential(Normalize([0.3], [0.4]), nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))


VARIATIONS = {
    "as it is": {},
    **{f"{method}, linf": {"attacks": {"a-eps0.1": settings(method, eps=0.1)}} for method in ("fgsm", "bim", "pgd")},
    **{
        f"{method}, l2": {"attacks": {"a-eps0.5": settings(method, eps=0.5, norm="l2")}}
        for method in ("fgsm", "bim", "pgd", "apgd", "square", "noise", "mifgsm")
    },
    **{
        f"{method}, other schemes": {"attacks": {"a-eps0.1": settings(method, eps=0.1)}}
        for method in ("apgd", "apgd_t", "square", "noise", "mifgsm", "difgsm", "uap")
    },
    **{f"{method}, minimum-norm": {"attacks": {"a": settings(method)}} for method in ("deepfool", "fab", "fab_t")},
    "cw, cut to a ball": {"attacks": {"a-eps1": settings("cw", eps=1.0)}},
    "a black box": {"attacks": {"a-eps0.1": settings("substitute", eps=0.1)}},
    "a small budget": {"attacks": {"a-eps0.01": settings("pgd", eps=0.01, steps=10)}},
    "a large budget": {"attacks": {"a-eps0.5": settings("pgd", eps=0.5, steps=40)}},
    "one step more": {"attacks": {"a-eps0.1": settings("pgd", eps=0.1, steps=1)}},
    "Madry's step size": {"attacks": {"a-eps0.1": settings("pgd", eps=0.1, steps=40, alpha=0.01)}},
    "no random start": {"attacks": {"a-eps0.1": settings("pgd", eps=0.1, steps=10, random_start=False)}},
    "the last iterate": {"attacks": {"a-eps0.1": settings("pgd", eps=0.1, steps=10, keep="last")}},
    "stops at success": {"attacks": {"a-eps0.1": settings("pgd", eps=0.1, steps=10, stop_on_success=True)}},
    "eight bits": {"attacks": {"a-eps0.1": settings("pgd", eps=0.1, steps=10, stored="uint8")}},
    "eight bits, stops at success": {
        "attacks": {"a-eps0.06": settings("pgd", eps=0.06, steps=40, stored="uint8", stop_on_success=True)}
    },
    "the margin loss": {"attacks": {"a-eps0.1": settings("pgd", eps=0.1, steps=10, loss="margin")}},
    "three budgets": {"attacks": {f"a-eps{eps}": settings("pgd", eps=eps, steps=10) for eps in (0.05, 0.1, 0.2)}},
    "another architecture": {"models": {"base": lambda: fitted(dense(), rate=0.2)}},
    "a narrow network": {"models": {"base": lambda: fitted(dense(8), rate=0.2)}},
}


@pytest.mark.parametrize("name", VARIATIONS)
def test_a_sound_variation_raises_no_alarm(name, tmp_path):
    house = House(tmp_path, attacks=VARIATIONS[name].get("attacks"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        for model, make in VARIATIONS[name].get("models", {}).items():
            house.models = {model: make(), "other": house.models["other"]}
    findings = house.craft().score().audit()
    assert alarms(findings) == {}
