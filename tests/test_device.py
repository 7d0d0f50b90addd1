"""What runs on a GPU gives what it gives on the CPU, bit for bit, and makes the host wait no more than it must."""

import pytest
import torch
from attack_fixtures import held_out, network, settings
from library_fixtures import settings as library_settings
from pretend_device import NAME, Pretend, copies, reads

from squeezeproof.attacks import ball
from squeezeproof.attacks.craft import craft
from squeezeproof.attacks.random import uniform
from squeezeproof.attacks.registry import ATTACKS
from squeezeproof.entries import registry

DEVICE = f"{NAME}:0"
COUNT, BATCH = 12, 6
# Every operation of the pretended device takes long.
SHORT = {
    "apgd": {"steps": 8},
    "apgd_t": {"steps": 6, "targets": 2},
    "fab": {"steps": 5},
    "fab_t": {"steps": 5, "targets": 2},
    "cw": {"steps": 8, "searches": 2},
    "square": {"queries": 30},
    "rays": {"queries": 30},
}
# The setting that makes an attack longer.
LENGTHS = {"square": "queries", "rays": "queries", "noise": "samples"}


def short(method, **changes):
    return settings(method, **{**SHORT.get(method, {}), **changes})


def crafted(model, entry, batch_size=BATCH):
    images, labels = held_out(COUNT)
    return craft(model, images, labels, entry, seed=0, batch_size=batch_size, training=held_out(40))


def test_devices_do_not_mix_and_reads_are_counted():
    on_device, on_host = torch.ones(3, device=DEVICE), torch.ones(3)
    with pytest.raises(RuntimeError, match=r"tensors on pretend and on the CPU are mixed: pretend \(3,\), cpu \(3,\)"):
        on_device + on_host
    with reads() as found:
        doubled = (2 * on_device)[torch.tensor([0, 2], device=DEVICE)] + torch.tensor(1.0)
    assert not found and doubled.device == torch.device(DEVICE)
    for read in (
        torch.Tensor.item,
        torch.Tensor.cpu,
        Pretend.tolist,
        bool,
        torch.Tensor.nonzero,
        lambda x: x[x > 0],
    ):
        with reads() as found:
            read(doubled[:1])
        assert found.total() == 1, read


def test_indices_may_be_on_the_cpu_as_cuda_allows_and_the_tensor_may_not():
    on_device, picked = torch.arange(3.0, device=DEVICE), torch.tensor([0, 2])
    with copies() as found:
        assert on_device[picked].device == torch.device(DEVICE) and on_device[picked].tolist() == [0, 2]
        on_device[picked] = 5.0
    assert on_device.tolist() == [5, 1, 5]
    # A number goes with the operation; on a GPU the indices are copied there each time.
    assert found.total() == found["aten::index"] + found["aten::index_put_"] == 3
    for mixed in (lambda: torch.arange(3.0)[picked.to(DEVICE)], lambda: on_device.index_put_((picked,), torch.ones(2))):
        with pytest.raises(RuntimeError, match="mixed"):
            mixed()


def test_copies_to_the_device_are_counted():
    host = torch.ones(3)
    for copy in (lambda: host.to(DEVICE), lambda: torch.zeros(3, device=DEVICE).copy_(host), lambda: host.to(DEVICE)):
        with copies() as found:
            copy()
        assert found.total() == 1
    with copies() as found:
        (torch.ones(3, device=DEVICE) + 1).cpu()
    assert not found


def cases():
    """Every attack in what it has of three modes: all are slow but one of each attack, by turns."""
    for place, method in enumerate(ATTACKS):
        modes = [("linf", False), ("l2", False), ("l2", True)]
        modes = [mode for mode in modes if mode[0] in registry.attacks()[method].norms]
        for turn, mode in enumerate(modes):
            yield pytest.param(method, *mode, marks=[] if turn == place % len(modes) else [pytest.mark.slow])


@pytest.mark.parametrize(("method", "norm", "stop_on_success"), cases())
def test_attacks_give_the_cpus_results(method, norm, stop_on_success):
    entry = short(method, norm=norm, stop_on_success=stop_on_success)
    (expected, told), (found, said) = crafted(network(), entry), crafted(network().to(DEVICE), entry)
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name
    assert {**said, "seconds": 0} == {**told, "seconds": 0}


def counted(method, **changes):
    """(reads from the device, batches that pass through the model) while a set is crafted."""
    model, calls = network().to(DEVICE), []
    model.register_forward_hook(lambda *_: calls.append(1))
    with reads() as found:
        crafted(model, short(method, **changes), batch_size=COUNT)
    return found.total(), len(calls)


def longer(method):
    key = LENGTHS.get(method, "steps")
    return {key: 2 * short(method)[key]}


@pytest.mark.parametrize("stop_on_success", [False, True])
@pytest.mark.parametrize("method", ["pgd", "mifgsm", "apgd", "deepfool"])
def test_noise_for_gradients_that_vanish_is_drawn_once_however_many_steps(method, stop_on_success, monkeypatch):
    drawn = []

    def count(*arguments, stream):
        if stream == ball.PLATEAU:
            drawn.append(stream)
        return uniform(*arguments, stream=stream)

    monkeypatch.setattr(ball, "uniform", count)
    entry = settings(method, stop_on_success=stop_on_success)
    crafted(network().to(DEVICE), entry, batch_size=COUNT)
    # Crossings that rounding may undo are confirmed, by steps of their own.
    assert len(drawn) <= 3 and len(drawn) >= 1
    longer_entry = settings(method, stop_on_success=stop_on_success, **longer(method))
    before = len(drawn)
    crafted(network().to(DEVICE), longer_entry, batch_size=COUNT)
    assert len(drawn) == 2 * before


@pytest.mark.parametrize("method", ["pgd", "apgd"])
def test_of_a_batch_nothing_but_its_images_is_copied_to_the_device(method):
    """Once to classify them, once to attack them; a longer attack copies no more."""
    few, many, long = (
        copied(method, batch_size, **changes) for batch_size, changes in ((12, {}), (3, {}), (12, longer(method)))
    )
    assert many - few == 2 * (4 - 1) and long == few


def copied(method, batch_size, **changes):
    model = network().to(DEVICE)
    with copies() as found:
        crafted(model, short(method, **changes), batch_size)
    return found.total()


# What keeps a library from a device that torch alone knows; on a GPU it does not.
ELSEWHERE = {
    "foolbox.LinfPGD": "Unknown type: <class 'pretend_device.Pretend'>",  # eagerpy asks for torch.Tensor itself
    "art.FastGradientMethod": "tensors on pretend and on the CPU are mixed",  # it moves a model to CUDA or the CPU
}


@pytest.mark.parametrize("method", ["torchattacks.PGD", "adv_lib.ddn", *ELSEWHERE])
def test_attacks_of_libraries_give_the_cpus_results(method):
    entry = library_settings(method)
    (expected, _), (found, told) = crafted(network(), entry), crafted(network().to(DEVICE), entry)
    if method in ELSEWHERE:
        assert ELSEWHERE[method] in told["failed"]
        return
    assert "failed" not in told
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


STEPPED = [method for method in ATTACKS if LENGTHS.get(method, "steps") in settings(method)]


@pytest.mark.parametrize("method", [method for method in STEPPED if method not in ("cw", "deepfool")])
def test_attacks_that_go_on_read_nothing_from_step_to_step(method):
    (short, calls), (long, more) = counted(method), counted(method, **longer(method))
    assert more > 1.5 * calls and long == short


@pytest.mark.parametrize("method", STEPPED)
def test_where_examples_stop_a_step_reads_once(method):
    stops = {"stop_on_success": True}
    (short, calls), (long, more) = counted(method, **stops), counted(method, **stops, **longer(method))
    assert more > calls or method == "deepfool"
    # What is read but once: which images are misclassified, the checks of the set, the set, twice the network's state.
    assert short - calls <= 60 and long - short <= more - calls
