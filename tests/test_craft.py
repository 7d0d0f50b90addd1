"""Crafting of a set: stored examples, counts, untouched state."""

import inspect
import random

import numpy as np
import pytest
import torch
from attack_fixtures import EPS, GRADIENT_METHODS, both_norms, close_examples, held_out, network, settings
from entry_examples import SECTIONS, complete
from torch import nn

from squeezeproof.attacks.checks import check_stored
from squeezeproof.attacks.craft import OF_THE_MODEL, craft
from squeezeproof.attacks.objective import cross_entropy, margin
from squeezeproof.attacks.registry import ATTACKS, FITS
from squeezeproof.compression.compress import compress
from squeezeproof.compression.task import Task
from squeezeproof.entries import registry
from squeezeproof.entries.attack import SHARED, UNTOLD
from squeezeproof.errors import InputError
from squeezeproof.store.adversarial import save_set
from squeezeproof.store.datasets import open_set, to_pixels
from squeezeproof.store.tensors import read_arrays

# --- attacks of the user's that misbehave ----------------------------------------------------------------------------


def in_place(source, inputs, labels, *, seed, indices, eps, **_):
    """Adds eps to the pixels and shuffles everything else that it was given."""
    labels.add_(1)
    indices.zero_()
    return inputs.add_(eps).clamp_(0, 1)


def destructive(source, inputs, labels, *, seed, indices, eps, **_):
    for parameter in source.model.parameters():
        parameter.data.zero_()
    return inputs


def nothing(source, inputs, labels, *, seed, indices, eps, **_):
    return None


def crafted(monkeypatch, attack, **options):
    monkeypatch.setattr("squeezeproof.attacks.craft.ATTACKS", {"fgsm": attack})
    images, labels = held_out(20)
    return craft(network(), images, labels, settings("fgsm", eps=0.1), seed=1, batch_size=8, **options)[0]


def test_an_attack_that_works_in_place_is_measured_from_the_clean_images(monkeypatch):
    found, (images, labels) = crafted(monkeypatch, in_place), held_out(20)
    clean = to_pixels(images, "cpu")
    assert torch.equal(found["adversarial"], (clean + 0.1).clamp(0, 1))
    assert torch.allclose(found["norm"], (found["adversarial"] - clean).abs().amax((1, 2, 3)))
    assert torch.equal(found["labels"], labels)


def test_an_attack_that_changes_its_network_or_returns_no_tensor_is_refused(monkeypatch):
    with pytest.raises(InputError, match=r"changed weights or statistics of the network .*copy\.deepcopy"):
        crafted(monkeypatch, destructive)
    with pytest.raises(InputError, match="returned NoneType; it has to return a tensor"):
        crafted(monkeypatch, nothing)


def with_other_statistics(source, inputs, labels, *, seed, indices, eps, **_):
    next(source.model.buffers()).add_(0.5)
    return inputs


def training_mode(source, inputs, labels, *, seed, indices, eps, **_):
    source.model.train()
    return inputs


# What an attack returns for its inputs -> what is told of it.
RETURNED = {
    "half": (
        lambda inputs: inputs.half(),
        r"returned float16 \[8, 1, 8, 8\] for float32 \[8, 1, 8, 8\]; let it",
    ),
    "fewer": (lambda inputs: inputs[1:], r"returned float32 \[7, 1, 8, 8\]"),
    "not finite": (lambda inputs: inputs / 0, "pixels that are not finite"),
    "beyond the box": (lambda inputs: inputs + 0.1, r"left the box \[0, 1\]; let it end with \.clamp\(0, 1\)"),
    "beyond the ball": (lambda inputs: 1 - inputs, "left its ball: .* for eps 0.10000000; let it end with project"),
}


@pytest.mark.parametrize("returned", RETURNED)
def test_an_attack_that_returns_other_pixels_is_told_what_to_return(monkeypatch, returned):
    change, told = RETURNED[returned]
    with pytest.raises(InputError, match=f"^the attack {told}|^the attack returned {told}"):
        crafted(monkeypatch, lambda source, inputs, labels, **_: change(inputs))


def test_an_attack_that_changes_how_its_network_computes_is_refused(monkeypatch):
    with pytest.raises(InputError, match="changed weights or statistics"):
        crafted(monkeypatch, with_other_statistics)
    with pytest.raises(InputError, match=r"training mode, in which it is another; let it call eval\(\)"):
        crafted(monkeypatch, training_mode)


def test_what_an_attack_changes_of_torch_ends_with_it(monkeypatch):
    threads = torch.get_num_threads()

    def careless(source, inputs, labels, **_):
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
        torch.set_num_threads(threads + 1)
        return inputs

    crafted(monkeypatch, careless)
    assert (torch.get_default_dtype(), torch.is_grad_enabled()) == (torch.float32, True)
    assert torch.get_num_threads() == threads


def shared(source, inputs, labels, *, seed, indices, eps, **_):
    """Moves every pixel by eps, up or down, by numpy's numbers."""
    return (inputs + eps * torch.from_numpy(np.random.choice([-1, 1], inputs.shape)).float()).clamp(0, 1)


def shared_of_python(source, inputs, labels, *, seed, indices, eps, **_):
    return (inputs + eps * (1 - 2 * (random.random() < 0.5))).clamp(0, 1)


def shared_of_torch(source, inputs, labels, *, seed, indices, eps, **_):
    return (inputs + eps * torch.randn_like(inputs).sign()).clamp(0, 1)


@pytest.mark.parametrize(
    ("attack", "named"), [(shared, "numpy.random"), (shared_of_python, "Python's random"), (shared_of_torch, "torch")]
)
def test_an_attack_that_draws_what_everything_shares_is_refused_by_name(monkeypatch, attack, named):
    with pytest.raises(InputError, match=rf"draws from {named}, .*uniform\(seed, .*draws_by_batch = True"):
        crafted(monkeypatch, attack)


@pytest.mark.parametrize("attack", [shared, shared_of_python, shared_of_torch])
def test_what_an_attack_declares_to_draw_does_not_depend_on_what_ran_before(monkeypatch, attack):
    monkeypatch.setattr(registry.attacks()["fgsm"], "draws_by_batch", True)
    found = []
    for start in (1, 2):
        np.random.seed(start)
        random.seed(start)
        torch.manual_seed(start)
        found.append(crafted(monkeypatch, attack)["adversarial"])
        left = np.random.random(), random.random(), torch.rand(()).item()
        np.random.seed(start)
        random.seed(start)
        torch.manual_seed(start)
        assert left == (np.random.random(), random.random(), torch.rand(()).item())
    assert torch.equal(*found)


@pytest.mark.parametrize("seed", [None, 0, 1])
def test_a_network_that_draws_is_no_fault_of_the_attack(seed):
    model, (images, labels) = nn.Sequential(network(), Noisy(seed)), held_out(12)
    first = craft(model, images, labels, settings("fgsm", eps=0.1), seed=1, batch_size=8)[0]
    torch.manual_seed(9)
    again = craft(model, images, labels, settings("fgsm", eps=0.1), seed=1, batch_size=8)[0]
    assert torch.equal(first["adversarial"], again["adversarial"])


class Noisy(nn.Module):
    """Adds noise, or starts the generator anew in every pass."""

    def __init__(self, seed):
        super().__init__()
        self.seed = seed

    def forward(self, logits):
        if self.seed is not None:
            torch.manual_seed(self.seed)
            return logits
        return logits + 0.1 * torch.randn_like(logits)


# --- craft() ---------------------------------------------------------------------------------------------------------


ENTRIES = {
    "fgsm": settings("fgsm"),
    "fgsm-l2": settings("fgsm", norm="l2", eps=0.6),
    "bim-8/255": settings("bim", eps=8 / 255),
    "bim-l2-last": settings("bim", norm="l2", eps=0.3, keep="last"),
    "pgd": settings("pgd", eps=0.3, restarts=2),
    "pgd-l2": settings("pgd", norm="l2", eps=2.5, restarts=2),
    "pgd-dlr": settings("pgd", eps=1.0, loss="dlr"),
}


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)
def test_every_example_is_in_ball_and_box_after_it_is_stored(entry, tmp_path):
    model, (images, labels) = network(), held_out(50)
    tensors, metadata = craft(model, images, labels, entry, seed=1, batch_size=16)
    path, split = tmp_path / "set.safetensors", {"fingerprint": "of the images"}
    save_set(
        path,
        tensors,
        entry,
        metadata | {"attack": "made", "entry": "made"},
        source={"fingerprint": "of the model"},
        split=split,
    )

    stored, metadata = open_set(path, split)

    check_stored(stored, images, entry)
    points = stored[:]
    assert points.dtype == torch.float32 and torch.equal(points, tensors["adversarial"])
    delta = points.numpy().astype(np.float64) - images.numpy() / 255
    lengths = np.abs(delta).max((1, 2, 3)) if entry["norm"] == "linf" else np.sqrt((delta**2).sum((1, 2, 3)))
    assert lengths.max() <= entry["eps"] + 1e-6 and points.min() >= 0 and points.max() <= 1
    saved = read_arrays(path)
    np.testing.assert_allclose(saved["norm"], lengths, rtol=0, atol=1e-6)
    with torch.no_grad():
        clean, logits = model(to_pixels(images, "cpu")), model(points)
    assert np.array_equal(saved["labels"], labels)
    assert np.array_equal(saved["clean_predictions"], clean.argmax(1))
    assert np.array_equal(saved["predictions"], logits.argmax(1))
    assert metadata["successes"] == (logits.argmax(1) != labels).sum() > (clean.argmax(1) != labels).sum()
    np.testing.assert_allclose(saved["loss"], cross_entropy(logits, labels), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(saved["margin"], margin(logits, labels), rtol=1e-4, atol=1e-4)
    assert lengths[clean.argmax(1) == labels].min() > 0
    assert metadata["settings"] == entry


def test_a_stored_set_that_was_altered_is_noticed():
    images, labels = held_out(20)
    entry = settings("fgsm", eps=0.1)
    tensors, _ = craft(network(), images, labels, entry, seed=1, batch_size=20)
    points = tensors["adversarial"]
    check_stored(points, images, entry)
    with pytest.raises(InputError, match="ball"):
        check_stored(points, images, entry | {"eps": 0.0999})
    with pytest.raises(InputError, match="ball"):
        check_stored(points, images.roll(1, 0), entry)
    for value in (float("nan"), 1.001, -0.001):
        altered = points.clone()
        altered[7, 0, 3, 3] = value
        with pytest.raises(InputError, match=r"box|finite"):
            check_stored(altered, images, entry)
    with pytest.raises(InputError, match="returned"):
        check_stored(points[:19], images, entry)


@pytest.mark.parametrize(
    "entry, forwards, backwards",
    [
        (settings("fgsm"), 1, 1),
        (settings("bim", steps=4), 5, 4),
        (settings("bim", steps=4, keep="last"), 4, 4),
        (settings("pgd", steps=4), 5, 4),
        (settings("pgd", steps=4, keep="last"), 4, 4),
        (settings("pgd", steps=4, restarts=3), 15, 12),
        (settings("pgd", steps=4, restarts=3, keep="last"), 15, 12),
    ],
)
def test_passes_are_counted_per_example(entry, forwards, backwards):
    model, (images, labels) = network(), held_out(23)
    passed = {"forward": 0, "backward": 0}

    def count_forward(_, __, logits):
        passed["forward"] += len(logits)
        if logits.requires_grad:
            logits.register_hook(count_backward)

    def count_backward(gradient):
        passed["backward"] += len(gradient)

    model.register_forward_hook(count_forward)
    _, metadata = craft(model, images, labels, entry, seed=0, batch_size=10)
    assert metadata["forwards_per_example"] == forwards and metadata["backwards_per_example"] == backwards
    # Judging takes one more forward pass over the clean and one over the adversarial images.
    assert passed == {"forward": 23 * (forwards + 2), "backward": 23 * backwards}
    assert metadata["seconds"] > 0


def test_crafted_tensors_are_as_documented():
    images, labels = held_out(23)
    kept = images.clone(), labels.clone()
    tensors, _ = craft(network(), images, labels, settings("pgd"), seed=0, batch_size=10)
    kinds = {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}
    assert kinds == {
        "adversarial": (torch.float32, (23, 1, 8, 8)),
        "labels": (torch.int64, (23,)),
        "clean_predictions": (torch.int64, (23,)),
        "predictions": (torch.int64, (23,)),
        "loss": (torch.float32, (23,)),
        "margin": (torch.float32, (23,)),
        "norm": (torch.float32, (23,)),
        "stage": (torch.int64, (23,)),
    }
    assert not any(tensor.requires_grad for tensor in tensors.values())
    assert torch.equal(images, kept[0]) and torch.equal(labels, kept[1])


@both_norms
def test_crafting_does_not_depend_on_the_batch_size_or_global_seed_but_on_the_seed(norm):
    model, (images, labels) = network(), held_out(40)
    entry = settings("pgd", eps=EPS[norm], norm=norm, steps=3)
    torch.manual_seed(1)
    whole, _ = craft(model, images, labels, entry, seed=4, batch_size=40)
    torch.manual_seed(2)
    again, _ = craft(model, images, labels, entry, seed=4, batch_size=40)
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    for batch_size in (1, 7, 1000):
        parts, _ = craft(model, images, labels, entry, seed=4, batch_size=batch_size)
        assert close_examples(parts["adversarial"], whole["adversarial"]) > 0.95
        assert (parts["predictions"] == whole["predictions"]).double().mean() >= 0.95
        assert torch.equal(parts["clean_predictions"], whole["clean_predictions"])
        assert torch.equal(parts["labels"], labels)
    other, _ = craft(model, images, labels, entry, seed=5, batch_size=40)
    assert close_examples(other["adversarial"], whole["adversarial"]) < 0.5


@pytest.mark.parametrize("changes", [{}, {"targeted": "random"}])
def test_some_examples_are_those_of_the_whole_set(changes):
    model, (images, labels) = network(), held_out(40)
    entry, rows = settings("pgd", steps=3, **changes), np.array([2, 3, 17, 39])
    whole, _ = craft(model, images, labels, entry, seed=4, batch_size=40)
    some, told = craft(model, images, labels, entry, seed=4, batch_size=40, rows=rows)
    assert close_examples(some["adversarial"], whole["adversarial"][rows]) == 1 and told["n"] == 4
    assert all(torch.equal(some[name], whole[name][rows]) for name in ("labels", "clean_predictions", "predictions"))
    assert not changes or torch.equal(some["targets"], whole["targets"][rows])


class Failing(nn.Module):
    """A model in the middle of training, which may raise in its `failing`-th call, on the way there or back."""

    def __init__(self, failing=None, where="forward"):
        super().__init__()
        self.failing, self.where, self.calls = failing, where, 0
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5)
        )
        self.classifier = nn.Linear(64, 10)
        self.train()
        self.layers[1].eval().requires_grad_(False)
        self.classifier.bias.requires_grad_(False)
        for parameter in self.layers[3].parameters():
            parameter.grad = torch.ones_like(parameter)

    def forward(self, points):
        self.calls += 1
        if self.where == "forward" and self.calls == self.failing:
            raise ArithmeticError("the model broke")
        logits = self.classifier(self.layers(points).flatten(1))
        if self.where == "backward" and logits.requires_grad:
            logits.register_hook(self._break)
        return logits

    def _break(self, gradient):
        raise ArithmeticError("the model broke")

    def snapshot(self):
        return {
            "training": {name: module.training for name, module in self.named_modules()},
            "requires_grad": {name: parameter.requires_grad for name, parameter in self.named_parameters()},
            "grad": {name: parameter.grad for name, parameter in self.named_parameters()},
            "values": {name: tensor.clone() for name, tensor in self.state_dict().items()},
            "torch": torch.get_rng_state(),
            "numpy": np.random.get_state()[1:3],
            "python": random.getstate(),
        }


FAILURES = [
    (method, failing, where)
    for method in ATTACKS
    for failing, where in ((None, None), (1, "forward"), (9, "forward"), (1, "backward"))
    if where != "backward" or method in GRADIENT_METHODS
]


@pytest.mark.parametrize("method, failing, where", FAILURES)
def test_model_and_random_state_are_left_as_they_were(method, failing, where):
    torch.manual_seed(0)
    model, (images, labels) = Failing(failing, where), held_out(40)
    before = model.snapshot()
    assert len(set(before["training"].values())) == len(set(before["requires_grad"].values())) == 2

    if failing is None:
        craft(model, images, labels, settings(method), seed=0, batch_size=8, training=(images, labels))
    else:
        with pytest.raises(ArithmeticError, match="the model broke"):
            craft(model, images, labels, settings(method), seed=0, batch_size=8, training=(images, labels))

    after = model.snapshot()
    for name in ("training", "requires_grad", "python"):
        assert after[name] == before[name]
    for name, gradient in before["grad"].items():
        assert after["grad"][name] is gradient
        assert gradient is None or (gradient == 1).all()
    assert all(torch.equal(after["values"][name], tensor) for name, tensor in before["values"].items())
    assert torch.equal(after["torch"], before["torch"])
    assert np.array_equal(after["numpy"][0], before["numpy"][0]) and after["numpy"][1] == before["numpy"][1]


def test_a_model_in_training_is_attacked_in_eval_mode():
    torch.manual_seed(0)
    model, (images, labels) = Failing(), held_out(20)
    training, _ = craft(model, images, labels, settings("pgd"), seed=0, batch_size=8)
    evaluating, _ = craft(model.eval(), images, labels, settings("pgd"), seed=0, batch_size=8)
    assert torch.equal(training["adversarial"], evaluating["adversarial"])


PRUNINGS = {
    "weights": {"method": "weight", "ratio": 0.7, "steps": 1, "schedule": "linear", "scope": "global"},
    "filters": {
        "method": "filter",
        "ratio": 0.25,
        "steps": 1,
        "schedule": "linear",
        "scope": "layer",
        "importance": "l1",
        "measure": "channels",
    },
}


@pytest.mark.parametrize("pruning", PRUNINGS.values(), ids=PRUNINGS)
def test_pruned_models_are_attacked_and_stay_pruned(pruning):
    model, (images, labels) = network(), held_out(60)
    dense = sum(parameter.count_nonzero() for parameter in model.parameters())
    masks = compress(Task(model, (1, 8, 8), pruning, train_on=lambda *_: None))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert sum(parameter.count_nonzero() for parameter in model.parameters()) < 0.9 * dense

    tensors, _ = craft(model, images, labels, settings("pgd", eps=0.15), seed=0, batch_size=32)

    after = model.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    for name, mask in masks.items():
        assert not after[name][~mask].any()
    clean = (tensors["clean_predictions"] == labels).sum()
    assert clean > 30 and (tensors["predictions"] == labels).sum() < clean - 15


@pytest.mark.parametrize("method", SECTIONS["attacks"])
def test_an_attack_takes_exactly_the_settings_of_its_entry(method):
    images, labels = held_out(30)
    tensors, _ = craft(network(), images, labels, entry_of(method), seed=0, batch_size=30, training=held_out(60))
    correct = tensors["clean_predictions"] == labels
    assert (tensors["norm"][correct] > 0).all()
    if method in ATTACKS and method not in FITS:
        named = inspect.signature(ATTACKS[method]).parameters
        takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in named.values())
        keys = SECTIONS["attacks"][method].names().keys() - {*UNTOLD, *OF_THE_MODEL}
        goal = {"goal"} if SECTIONS["attacks"][method].takes_target else set()
        assert takes_any or set(named) == keys | goal | {"model", "inputs", "labels", "seed", "indices"}


@pytest.mark.parametrize("method", ATTACKS)
def test_quantized_models_are_attacked_through_their_rounding(method):
    model, (images, labels) = network(), held_out(60)
    settings_of_quantization = complete("compressions", "quantization", bits=4)
    compress(Task(model, (1, 8, 8), settings_of_quantization, train_on=lambda *_: None, examples=(images, labels)))
    entry = settings(method, **({} if SECTIONS["attacks"][method].minimum_norm else {"eps": 0.15}))
    tensors, metadata = craft(model, images, labels, entry, seed=0, batch_size=30, training=(images, labels))
    clean, robust = ((tensors[name] == labels).sum() for name in ("clean_predictions", "predictions"))
    assert clean > 45 and robust < clean - (2 if method == "noise" else 6)
    assert metadata["zero_gradients"] < 0.2


def entry_of(method, **changes):
    if method == "autoattack":
        # A ball in which its first attack breaks all: each of its parts at full strength is another case.
        changes["eps"] = 0.5
    if method == "suite":
        changes["stages"] = [
            {key: value for key, value in settings(name).items() if key not in SHARED} for name in PAIR
        ]
    return settings(method, **changes)


PAIR = ("pgd", "apgd")
