"""Suites of attacks, stop_on_success, sets of 8-bit images, and batches that fit a GPU."""

import pytest
import torch
from attack_fixtures import NORMS, both_norms, held_out, network, settings
from hypothesis import given, strategies
from pairwise import paired
from torch import nn

from squeezeproof.attacks.ball import norms
from squeezeproof.attacks.craft import OF_THE_MODEL, craft
from squeezeproof.attacks.integers import FACTORS, to_integers
from squeezeproof.attacks.objective import fooled
from squeezeproof.attacks.registry import ATTACKS
from squeezeproof.attacks.suite import stages
from squeezeproof.batches import in_batches
from squeezeproof.entries.attack import SHARED
from squeezeproof.errors import InputError
from squeezeproof.models.predict import predict
from squeezeproof.seeds import derive_seed
from squeezeproof.store.datasets import to_pixels


def attack(method, count=80, model=None, **changes):
    images, labels = held_out(count)
    return craft(model or network(), images, labels, settings(method, **changes), seed=3, batch_size=30)


def stage(method, **changes):
    return {key: value for key, value in settings(method, **changes).items() if key not in SHARED}


PAIR = [stage("fgsm"), stage("pgd")]


# --- Suites ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop_on_success", [False, True])
def test_a_stage_works_on_what_those_before_it_left_standing(stop_on_success):
    tensors, metadata = attack("suite", eps=0.1, stop_on_success=stop_on_success, stages=PAIR)
    correct = tensors["clean_predictions"] == tensors["labels"]
    standing = tensors["predictions"] == tensors["labels"]
    first, second = metadata["stages"]
    assert (first["method"], second["method"]) == ("fgsm", "pgd")
    assert first["attacked"] == (correct.sum() if stop_on_success else 80)
    assert second["attacked"] == first["standing"] > second["standing"] == standing.sum()
    fgsm, _ = attack("fgsm", eps=0.1)
    fooled_first = (fgsm["predictions"] != fgsm["labels"]) & correct
    assert (tensors["stage"][fooled_first] == 0).all()
    assert torch.equal(tensors["adversarial"][fooled_first], fgsm["adversarial"][fooled_first])
    assert (tensors["stage"][correct & ~standing & ~fooled_first] == 1).all()
    assert (tensors["margin"] >= fgsm["margin"] - 1e-5)[correct].all()


def test_the_robust_accuracy_of_a_suite_is_the_pointwise_and_of_its_attacks():
    model, (images, labels) = network(), held_out(80)
    entry = settings("suite", eps=0.1, stop_on_success=True, stages=[stage("pgd", steps=2), stage("apgd", steps=5)])
    tensors, _ = craft(model, images, labels, entry, seed=3, batch_size=80)
    alone = []
    for index, part in enumerate(stages(entry)):
        options = {key: value for key, value in part.items() if key not in OF_THE_MODEL} | {"indices": torch.arange(80)}
        attacked = ATTACKS[part["method"]]
        points = attacked(model, to_pixels(images, "cpu"), labels, seed=derive_seed(3, index), **options)
        alone.append(~fooled(model(points), labels))
    standing = tensors["predictions"] == labels
    assert standing.sum() < min(part.sum() for part in alone)
    assert (standing != (alone[0] & alone[1])).sum() <= 2


def test_autoattack_is_its_four_attacks_at_their_standard_strength():
    parts = stages(settings("autoattack", eps=0.1))
    assert [part["method"] for part in parts] == ["apgd", "apgd_t", "fab_t", "square"]
    assert [part.get("steps") for part in parts] == [100, 100, 100, None]
    assert parts[3]["queries"] == 5000 and parts[1]["targets"] == 9
    for part in parts:
        complete = settings(part["method"])
        assert part.keys() == complete.keys() - {"stored", "targeted"}


def test_the_worst_case_is_each_slope_of_a_rounding_before_the_rest_of_autoattack():
    parts = stages(settings("suite", eps=0.1, suite="worst-case"))
    methods = ["apgd"] * 3 + ["apgd_t"] * 3 + ["fab_t", "square"]
    assert [part["method"] for part in parts] == methods
    assert [part["gradient"] for part in parts[:6]] == ["straight-through", "identity", "smoothed"] * 2
    strength = {part["method"]: part for part in stages(settings("autoattack", eps=0.1))}
    for part in parts:
        assert part | {"gradient": "straight-through"} == strength[part["method"]] | {"gradient": "straight-through"}


# --- Modes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["pgd", "apgd", "apgd_t", "square", "mifgsm", "noise"])
def test_stop_on_success_saves_passes_and_breaks_the_same_examples(method):
    transfer, cost = attack(method, eps=0.15)
    whitebox, saved = attack(method, eps=0.15, stop_on_success=True)
    assert saved["forwards_per_example"] < 0.9 * cost["forwards_per_example"]
    disagreements = (transfer["predictions"] != transfer["labels"]) != (whitebox["predictions"] != whitebox["labels"])
    assert disagreements.sum() <= 3


def test_stop_on_success_leaves_what_the_source_misclassifies_as_it_is():
    tensors, _ = attack("pgd", stop_on_success=True)
    wrong = tensors["clean_predictions"] != tensors["labels"]
    assert wrong.any() and (tensors["norm"][wrong] == 0).all() and (tensors["norm"][~wrong] > 0).all()
    assert (tensors["stage"][wrong] == -1).all() and (tensors["margin"][wrong] > 0).all()


# --- 8-bit images ----------------------------------------------------------------------------------------------------


@both_norms
@pytest.mark.parametrize("method", ["pgd", "square"])
def test_sets_of_integers_stay_in_the_ball_and_tell_what_rounding_cost(method, norm):
    eps = {"linf": 20.7 / 255, "l2": 0.5}[norm]
    tensors, metadata = attack(method, eps=eps, norm=norm, stored="uint8")
    images, labels = held_out(80)
    assert tensors["adversarial"].dtype == torch.uint8
    delta = tensors["adversarial"].double() - images.double()
    length = delta.abs().amax((1, 2, 3)) if norm == "linf" else delta.flatten(1).norm(dim=1)
    assert (length > 0).all() and length.max() <= eps * 255 + 1e-4
    if norm == "linf":
        assert length.max() == 20
    assert torch.equal(predict(network(), tensors["adversarial"]), tensors["predictions"])
    successes = (tensors["predictions"] != labels).sum()
    assert abs(metadata["float_successes"] - successes) <= 4
    assert "float_successes" not in attack(method, eps=eps, norm=norm)[1]


@pytest.mark.parametrize(
    ("method", "norm", "stop_on_success"),
    paired(["pgd", "apgd", "mifgsm", "square", "fab", "deepfool"], NORMS, [False, True]),
)
def test_rounding_undoes_no_success_of_an_attack_that_stops_at_a_boundary(method, norm, stop_on_success):
    options = {"eps": {"linf": 0.06, "l2": 0.3}[norm], "norm": norm, "stop_on_success": stop_on_success}
    floats, _ = attack(method, **options)
    integers, metadata = attack(method, stored="uint8", **options)
    successes = int((integers["predictions"] != integers["labels"]).sum())
    assert metadata["float_successes"] - successes <= 2
    assert int((floats["predictions"] != floats["labels"]).sum()) - successes <= 2
    assert (integers["norm"] <= options["eps"] + 1e-6).all()


class Islands(nn.Module):
    """One pixel decides: fooled between two steps of the grid, where no rounded image lies, and far beyond."""

    def forward(self, points):
        steps = 255 * points[:, 0, 0, 0] - 100
        fooled = ((steps > 0.1) & (steps < 0.45)) | (steps > 2.6)
        across = 0.01 * steps + torch.where(fooled, 1.0, -1.0)
        return torch.stack([torch.zeros_like(across), across], 1)


def test_an_example_whose_stop_8_bits_undo_is_attacked_again_with_its_full_budget():
    images = torch.full((12, 1, 2, 2), 100, dtype=torch.uint8)
    entry = settings("bim", eps=4 / 255, steps=20, alpha=0.3 / 255, stored="uint8", stop_on_success=True)
    tensors, _ = craft(Islands(), images, torch.zeros(12, dtype=torch.int64), entry, seed=3, batch_size=5)
    assert (tensors["predictions"] == 1).all() and (tensors["adversarial"][:, 0, 0, 0] > 102).all()


def test_images_that_are_tried_for_8_bits_are_passes_of_the_attack():
    images, labels = torch.full((3, 1, 2, 2), 100, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64)
    passes = {}
    for stored in ("float32", "uint8"):
        _, metadata = craft(
            Islands(), images, labels, settings("fgsm", eps=0.3 / 255, stored=stored), seed=0, batch_size=2
        )
        passes[stored] = metadata["forwards_per_example"]
    # No image of 8 bits in the ball succeeds.
    assert passes["uint8"] == passes["float32"] + len(FACTORS)


def test_a_success_that_no_image_of_8_bits_has_in_the_ball_is_none():
    class Between(nn.Module):
        """Fooled between two steps of the grid alone."""

        def forward(self, points):
            inside = 0.3 / 255 - (points[:, :, 0, 0].sum(1) - 100.5 / 255).abs()
            return torch.stack([torch.zeros_like(inside), inside], 1)

    images, labels = torch.full((6, 1, 2, 2), 100, dtype=torch.uint8), torch.zeros(6, dtype=torch.int64)
    entry = settings("pgd", eps=1 / 255, steps=40, alpha=0.05 / 255, stored="uint8", stop_on_success=True)
    tensors, metadata = craft(Between(), images, labels, entry, seed=3, batch_size=5)
    assert metadata["float_successes"] > 0 and (tensors["predictions"] == 0).all()


@given(strategies.integers(0, 2**32 - 1), strategies.sampled_from(["linf", "l2", "l1"]), strategies.floats(0.004, 2.0))
def test_integers_are_the_nearest_of_the_grid_that_the_ball_allows(seed, norm, eps):
    generator = torch.Generator().manual_seed(seed)
    clean = torch.randint(0, 256, (6, 1, 3, 3), generator=generator).to(torch.uint8)
    pixels = to_pixels(clean, "cpu")
    delta = torch.randn(6, 1, 3, 3, generator=generator)
    delta = delta * (eps / norms(delta, norm))[:, None, None, None]
    points = (pixels + delta).clamp(0, 1)

    found = to_integers(points, clean, eps, norm)

    moved = found.double() - clean.double()
    assert (norms(moved, norm) <= 255 * eps + 1e-3).all()
    asked = 255 * points.double() - clean.double()
    assert (moved * asked >= -1e-6).all() and (moved.abs() <= asked.abs().round() + 1e-3).all()
    rounded = (255 * points).round().to(torch.uint8)
    inside = norms(to_pixels(rounded, "cpu") - pixels, norm) <= eps
    assert torch.equal(found[inside], rounded[inside])


def test_integers_change_no_further_value():
    clean = torch.tensor([0, 100, 200, 255], dtype=torch.uint8).view(1, 1, 2, 2)
    points = clean / 255 + torch.tensor([0.5, 0.001, 0, -0.302]).view(1, 1, 2, 2)
    assert to_integers(points, clean, 3, "l0").flatten().tolist() == [128, 100, 200, 178]


def test_integers_without_a_ball_are_rounded():
    points = torch.tensor([0.0, 0.3, 0.5019, 1.0]).view(1, 1, 2, 2)
    found = to_integers(points, torch.zeros(1, 1, 2, 2, dtype=torch.uint8), None, "l2")
    assert found.flatten().tolist() == [0, 76, 128, 255]


# --- Batches ---------------------------------------------------------------------------------------


@given(strategies.integers(0, 60), strategies.integers(1, 70), strategies.integers(1, 40))
def test_batches_that_do_not_fit_are_halved_and_none_is_lost(count, batch_size, capacity):
    done, refused = [], []

    def work(first, last):
        if last - first > capacity:
            refused.append(last - first)
            raise torch.OutOfMemoryError("CUDA out of memory")
        done.extend(range(first, last))

    in_batches(count, batch_size, work)
    assert done == list(range(count))
    assert refused == sorted(refused, reverse=True)


def test_an_image_that_does_not_fit_is_an_error_a_person_can_read():
    def work(first, last):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(InputError, match="single image"):
        in_batches(5, 4, work)


def test_a_set_is_the_same_where_memory_runs_out():
    whole, _ = attack("pgd", eps=0.1)

    class Small(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network()

        def forward(self, points):
            if len(points) > 11:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return self.network(points)

    parts, _ = attack("pgd", eps=0.1, model=Small())
    assert ((parts["adversarial"] - whole["adversarial"]).abs().flatten(1).amax(1) < 1e-5).double().mean() > 0.95
