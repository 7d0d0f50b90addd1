"""State_dicts of other programs: the network's own names are found in them, or one message says what is wrong."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from squeezeproof.models.state_dicts import Ambiguous, Unclear, fitted, misfit


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 3, 1), nn.Flatten(), nn.Linear(12, 5))


OWN = network().state_dict()


def under(prefix, state=OWN):
    return {prefix + name: tensor for name, tensor in state.items()}


def same(found, expected=OWN):
    return found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (OWN, []),
        (under("model."), ["left out the prefix model. of names"]),
        (under("model._orig_mod."), ["left out _orig_mod. within names", "left out the prefix model. of names"]),
        (under("_fsdp_wrapped_module."), ["left out _fsdp_wrapped_module. within names"]),
        (
            {**under("net."), "criterion.weight": torch.ones(5)},
            ["left out the prefix net. of names", "left out 1 tensors beside the network: criterion.weight"],
        ),
        (
            {("head." if name.startswith("4") else "backbone.") + name: tensor for name, tensor in OWN.items()},
            ["left out the prefix backbone. and head. of names"],
        ),
        ({**OWN, "total_ops": torch.zeros(1), "0.total_params": torch.zeros(1)}, []),
        ({name: tensor for name, tensor in OWN.items() if not name.endswith("num_batches_tracked")}, []),
    ],
)
def test_the_names_of_a_network_are_found_under_those_of_another_program(state, told):
    found, notes = fitted(state, OWN.keys())
    assert same(found) and notes == told


def normed(norm, channels=(2, 4, 3)):
    """A network with three normed layers, one of them turned round, and the names of its tensors without norms."""
    first, second, third = channels
    torch.manual_seed(0)
    layers = [nn.Conv2d(first, second, 3), nn.ConvTranspose2d(second, third, 3)]
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(third * 8 * 8, 5))
    plain = set(model.state_dict())
    for index in (0, 1, 3):
        norm(model[index])
    model(torch.rand(4, first, 8, 8))
    return model.eval(), plain


NORMS = [
    nn.utils.weight_norm,
    parametrizations.weight_norm,
    lambda layer: nn.utils.weight_norm(layer, dim=1),
    lambda layer: nn.utils.weight_norm(layer, dim=None),
    nn.utils.spectral_norm,
    parametrizations.spectral_norm,
]


@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated")
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(("prefix", "channels"), [("", (2, 4, 3)), ("model.", (2, 4, 3)), ("", (4, 4, 4))])
def test_weights_that_a_norm_keeps_in_parts_are_computed(norm, prefix, channels):
    model, plain = normed(norm, channels)
    found, notes = fitted(under(prefix, model.state_dict()), plain)
    assert found.keys() == plain and "computed 3 weights of what" in notes[0]
    with torch.no_grad():
        model(torch.rand(1, channels[0], 8, 8))
    for index in (0, 1, 3):
        assert torch.allclose(found[f"{index}.weight"], model[index].weight, rtol=1e-5, atol=1e-7)


@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated")
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1)])
def test_a_weight_is_told_from_its_parts_where_they_hold_as_many_numbers(norm, shape):
    layer = norm(nn.Linear(*shape)).eval()
    found, _ = fitted(layer.state_dict(), ["weight", "bias"])
    assert found["weight"].shape == layer.weight.shape


@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated")
@pytest.mark.parametrize("norm", [*NORMS, lambda layer: prune.l1_unstructured(layer, "weight", 0.5)])
def test_a_network_that_has_such_parts_itself_keeps_them(norm):
    model, _ = normed(norm)
    found, notes = fitted(under("module.", model.state_dict()), model.state_dict().keys())
    assert notes[0] == "left out the prefix module. of every name"
    if norm in NORMS:
        assert same(found, model.state_dict()) and len(notes) == 1


@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated")
@pytest.mark.parametrize("norm", [*NORMS, lambda layer: prune.l1_unstructured(layer, "weight", 0.5)])
@pytest.mark.parametrize("damage", [lambda part: part.flatten()[:2], lambda part: part.flatten()[:1].sum()])
def test_parts_of_a_weight_that_do_not_go_together_are_told_in_one_message(norm, damage):
    model, plain = normed(norm)
    state = model.state_dict()
    # One length may be that of a whole weight.
    parts = [name for name in state if name not in plain and name.startswith("0.") and state[name].numel() > 4]
    assert parts
    for name in parts:
        try:
            found, _ = fitted({**state, name: damage(state[name])}, plain)
        except Unclear as error:
            assert str(error).startswith("holds parts of a weight that do not go together: 0.")
        else:
            assert "of another shape are 0.weight" in misfit(found, {"0.weight": torch.ones(4, 2, 3, 3)})


def test_a_network_that_is_there_twice_is_not_guessed():
    with pytest.raises(Ambiguous, match=r"several times, under student\. and teacher\.; keep one of them"):
        fitted({**under("student."), **under("teacher.")}, OWN.keys())


def test_what_does_not_fit_is_listed_in_one_line():
    state, _ = fitted({**under("model."), "model.5.weight": torch.ones(2), "model.4.bias": torch.ones(7)}, OWN.keys())
    assert misfit(state, OWN).startswith(
        "does not fit the network: the network has no 5.weight; of another shape are 4.bias (7, there 5). Name the "
    )
    lacking = {name: tensor for name, tensor in OWN.items() if not name.startswith("0.")}
    assert "it lacks 0.weight, 0.bias. Name" in misfit(fitted(lacking, OWN.keys())[0], OWN)
