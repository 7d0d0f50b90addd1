"""An example's adversarial point has the same bits in any batch and in any shard."""

from functools import cache

import pytest
import torch
from attack_fixtures import both_norms, held_out, network, pixels, run, settings
from torch import nn

from squeezeproof.attacks.craft import OF_THE_MODEL, craft
from squeezeproof.attacks.objective import fooled
from squeezeproof.attacks.registry import ATTACKS, FITS
from squeezeproof.entries.attack import SHARED, UNTOLD
from squeezeproof.store.shards import combined, shard_rows

COUNT = 24
# So large that some random starts fool the network, and so small that not all do.
EPS = {"linf": 0.3, "l2": 2.4}
both_modes = pytest.mark.parametrize("stop_on_success", [False, True], ids=["goes-on", "stops"])


class RowByRow(nn.Module):
    """A network on one image at a time: matrix products round by the size of a batch, these do not."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, points):
        return torch.cat([self.network(point) for point in points.split(1)])


@cache
def attack_of(method, norm, stop_on_success):
    """function(inputs, labels, indices) -> points, of an attack on the trained network."""
    model = RowByRow(network())
    options = settings(method, eps=EPS[norm], norm=norm, stop_on_success=stop_on_success)
    options = {key: value for key, value in options.items() if key not in (*UNTOLD, *OF_THE_MODEL)}
    if method in FITS:
        images, labels = held_out(60)
        options, _ = FITS[method](network(), images, labels, (images, labels), options, None, 0)
    if method == "substitute":
        options["network"] = RowByRow(options["network"])
    return lambda inputs, labels, indices: ATTACKS[method](model, inputs, labels, seed=0, indices=indices, **options)


@both_norms
@both_modes
@pytest.mark.parametrize("method", ATTACKS)
def test_a_point_has_the_same_bits_in_any_batch(method, stop_on_success, norm):
    if method == "cw" and norm == "linf":
        pytest.skip("cw is an l2 attack")
    attack, (inputs, labels), indices = attack_of(method, norm, stop_on_success), pixels(COUNT), torch.arange(COUNT)
    whole = attack(inputs, labels, indices)
    order = torch.randperm(COUNT, generator=torch.Generator().manual_seed(0))
    for size in (1, 5):
        for part in order.split(size):
            assert torch.equal(attack(inputs[part], labels[part], part), whole[part]), size
    # The neighbours are images that are misclassified, which leave the batch at once where examples stop.
    changed = torch.where((indices % 2 == 0)[:, None, None, None], inputs, 1 - inputs)
    assert torch.equal(attack(changed, labels, indices)[::2], whole[::2])


@both_norms
def test_some_random_starts_fool_and_some_do_not(norm):
    model, (inputs, labels) = network(), pixels(COUNT)
    recorded = []

    def watched(points):
        recorded.append(fooled(model(points), labels))
        return model(points)

    run("apgd", watched, inputs, labels, eps=EPS[norm], norm=norm, steps=1)
    assert fooled(model(inputs), labels).sum() < recorded[0].sum() < COUNT // 2


def staged(method, **changes):
    return {key: value for key, value in settings(method, **changes).items() if key not in SHARED}


# AutoAttack's attacks, so short that each breaks some examples and leaves some.
SUITE = [staged("apgd", steps=2), staged("apgd_t", steps=2), staged("fab_t"), staged("square")]


@both_norms
@both_modes
def test_shards_and_batches_of_a_suite_have_the_same_bits(stop_on_success, norm):
    model, (images, labels) = RowByRow(network()), held_out(COUNT)
    budget = {"eps": {"linf": 0.12, "l2": 0.6}[norm], "norm": norm}
    entry = settings("suite", **budget, stop_on_success=stop_on_success, stages=SUITE)
    whole, told = craft(model, images, labels, entry, seed=3, batch_size=COUNT)
    assert all(stage["standing"] > 0 for stage in told["stages"])
    parts, facts = [], []
    for shard in range(1, 4):
        rows = shard_rows(COUNT, shard, 3)
        tensors, said = craft(model, images, labels, entry, seed=3, batch_size=5, rows=rows)
        parts.append(tensors)
        facts.append(said)
    for name, tensor in whole.items():
        assert torch.equal(torch.cat([part[name] for part in parts]), tensor), name
    assert {**combined(facts), "seconds": 0} == {**told, "seconds": 0}
