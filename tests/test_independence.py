"""An example's adversarial point has the same bits in any batch and in any shard."""

from functools import cache

import pytest
import torch
from attack_fixtures import NORMS, both_norms, digits, held_out, network, pixels, run, settings
from entry_examples import complete
from pairwise import paired
from sabotage_examples import fitted, normalised
from torch import nn

from squeezeproof.attacks.ball import norms
from squeezeproof.attacks.craft import OF_THE_MODEL, craft
from squeezeproof.attacks.objective import fooled
from squeezeproof.attacks.registry import ATTACKS, FITS
from squeezeproof.compression.quantization import quantize
from squeezeproof.entries.attack import SHARED, UNTOLD
from squeezeproof.store.shards import combined, shard_rows

COUNT, FEW = 24, 12
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


@pytest.mark.parametrize(
    ("method", "stop_on_success", "norm"),
    # cw is an l2 attack.
    paired(ATTACKS, [False, True], NORMS, where=lambda method, _, norm: (method, norm) != ("cw", "linf")),
)
def test_a_point_has_the_same_bits_in_any_batch(method, stop_on_success, norm):
    attack, (inputs, labels), indices = attack_of(method, norm, stop_on_success), pixels(FEW), torch.arange(FEW)
    whole = attack(inputs, labels, indices)
    order = torch.randperm(FEW, generator=torch.Generator().manual_seed(0))
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


@cache
def rounded(bits):
    """A network of batch normalisations, trained, its weights and activations at so many bits; None for floats."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = fitted(normalised(), epochs=3)
    if bits:
        quantize(model, (1, 8, 8), complete("compressions", "quantization", bits=bits), digits()[0][:64], 0)
    return RowByRow(model.eval())


@pytest.mark.slow
@both_modes
@pytest.mark.parametrize("bits", [None, 2, 3, 5, 8])
@pytest.mark.parametrize("method", ATTACKS)
def test_so_it_is_behind_batch_normalisations_and_at_few_bits(method, bits, stop_on_success):
    model, (images, labels), count = rounded(bits), held_out(6), 6
    norm = "l2" if method == "cw" else "linf"
    seeds = {"seeds": 4, "rounds": 2} if method == "substitute" else {}
    entry = settings(method, eps={"linf": 0.1, "l2": 0.8}[norm], norm=norm, stop_on_success=stop_on_success, **seeds)
    options = {"seed": 3, "training": held_out(60)}
    whole, told = craft(model, images, labels, entry, batch_size=count, **options)
    rows = [shard_rows(count, shard, 3) for shard in (1, 2, 3)]
    shards = [craft(model, images, labels, entry, batch_size=1, rows=own, **options) for own in rows]
    # The substitute is a network of its own, which sees the images of a batch together.
    off = 1e-5 if method == "substitute" else 0
    for name, tensor in whole.items():
        torch.testing.assert_close(torch.cat([part[name] for part, _ in shards]), tensor, rtol=off, atol=off)
    assert {**combined([facts for _, facts in shards]), "seconds": 0} == {**told, "seconds": 0}
    points = whole["adversarial"]
    assert points.min() >= 0 and points.max() <= 1
    assert norms(points - images / 255, norm).max() <= entry["eps"] + 1e-6
    with torch.no_grad():
        assert torch.equal(model(points).argmax(1), whole["predictions"])
