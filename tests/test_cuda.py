"""What a real GPU gives, beside the CPU: the same robustness, and twice the same bits. Skipped where torch sees none.

The tests of the pretended device hold that both make the same operations; these hold what only CUDA's kernels show.
"""

import copy
import subprocess
import sys
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from adversary_examples import TRAIN, VALIDATION
from attack_fixtures import held_out, network, settings
from conftest import ROOT, TABLES, TINY, Workspace
from device_examples import ADVERSARIES, COMPRESSIONS, MODELS, compressed, trained_by_admm
from library_fixtures import settings as library_settings
from model_examples import training

from squeezeproof.attacks.craft import craft
from squeezeproof.attacks.registry import ATTACKS
from squeezeproof.batches import in_batches
from squeezeproof.entries import registry
from squeezeproof.errors import InputError
from squeezeproof.evaluation.layers import layer_features
from squeezeproof.evaluation.sweep import sweep
from squeezeproof.models.build import build
from squeezeproof.models.ensemble import averaged
from squeezeproof.models.predict import predict
from squeezeproof.runtime import repeat_on_gpus
from squeezeproof.training.loop import fit

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
COUNT, BATCH = 48, 24
# Images of COUNT that rounding may decide: kernels sum in another order.
CLOSE = 3


@pytest.fixture(autouse=True)
def as_a_job(monkeypatch):
    """Kernels as a job has them; without its place on the GPU, which all tests share."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    repeat_on_gpus()
    yield
    torch.use_deterministic_algorithms(False)


def fooled(tensors):
    return int((tensors["predictions"] != tensors["labels"]).sum())


def crafted(model, entry):
    images, labels = held_out(COUNT)
    return craft(model, images, labels, entry, seed=0, batch_size=BATCH, training=held_out(40))


@pytest.mark.parametrize("norm, stop_on_success", [("linf", False), ("l2", False), ("l2", True)])
@pytest.mark.parametrize("method", ATTACKS)
def test_attacks(method, norm, stop_on_success):
    if norm not in registry.attacks()[method].norms:
        pytest.skip(f"{method} is no {norm} attack")
    entry = settings(method, norm=norm, stop_on_success=stop_on_success)
    (expected, _), (found, _), (again, _) = (crafted(network().to(to), entry) for to in ("cpu", "cuda", "cuda"))
    assert found.keys() == expected.keys()
    assert abs(fooled(found) - fooled(expected)) <= CLOSE
    for name, tensor in found.items():
        assert tensor.device.type == "cpu" and tensor.dtype == expected[name].dtype
        assert torch.equal(again[name], tensor), name


@pytest.mark.parametrize(
    "method", ["torchattacks.PGD", "torchattacks.CW", "foolbox.LinfPGD", "adv_lib.ddn", "art.FastGradientMethod"]
)
def test_attacks_of_libraries(method):
    entry = library_settings(method)
    (expected, _), (found, told) = (crafted(network().to(to), entry) for to in ("cpu", "cuda"))
    assert "failed" not in told, told["failed"]
    assert abs(fooled(found) - fooled(expected)) <= CLOSE


def state(model):
    return {name: tensor.cpu() for name, tensor in model.state_dict().items()}


def twice(work):
    """What work(to) gives on the CPU and on the GPU, where a second time must give the same bits."""
    results = []
    for to in ("cpu", "cuda", "cuda"):
        with torch.random.fork_rng(devices=["cuda"]):
            torch.manual_seed(0)
            results.append(work(lambda model, to=to: model.to(to)))
    expected, found, again = results
    for one, other in zip(found, again, strict=True):
        if isinstance(one, torch.nn.Module):
            one, other = state(one), state(other)
            assert all(torch.equal(other[name], tensor) for name, tensor in one.items())
    return expected, found


@pytest.mark.parametrize("spec", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("rival", ADVERSARIES.values(), ids=ADVERSARIES)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_trainings(rival, spec, precision):
    recipe = training(2, batch_size=16, optimizer="adam", learning_rate=0.01, adversary=rival, precision=precision)

    def work(to):
        model = to(build(spec, seed=0))
        return model, fit(model, TRAIN, VALIDATION, recipe, seed=1)

    (_, course), (model, told) = twice(work)
    assert all(tensor.is_cuda for tensor in model.state_dict().values())
    assert len(told) == len(course) and all(np.isfinite(row["train_loss"]) for row in told)
    if precision == "float32" and rival is None:
        np.testing.assert_allclose(told[0]["train_loss"], course[0]["train_loss"], rtol=0.1)


def test_admm():
    (_, _, expected), (_, _, found) = twice(trained_by_admm)
    for name, mask in expected.items():
        assert mask.sum() == found[name].cpu().sum()


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_compressions(name):
    (expected, same), (found, labels) = twice(partial(compressed, name))
    for name, tensor in expected.state_dict().items():
        assert found.state_dict()[name].shape == tensor.shape, name
    assert (labels.cpu() == same).float().mean() >= 0.95


def test_predictions_and_features():
    images = held_out(COUNT)[0]
    expected, found = (layer_features(network().to(to), images, ["1", "3"], "flatten", 7) for to in ("cpu", "cuda"))
    for name, tensor in expected[0].items():
        torch.testing.assert_close(found[0][name], tensor, rtol=1e-3, atol=1e-4)
    assert torch.equal(found[1], expected[1])


def test_sweeps():
    images, labels = held_out(COUNT)
    attacks = [(f"pgd-{eps}", settings("pgd", eps=eps, stop_on_success=True)) for eps in (0.05, 0.2)]
    options = {"classes": 10, "stops": True, "seed": lambda name: 0, "batch_size": BATCH}
    expected, found = (list(sweep(network().to(to), images, labels, attacks, **options)) for to in ("cpu", "cuda"))
    for one, other in zip(expected, found, strict=True):
        assert int((one.predictions != other.predictions.cpu()).sum()) <= CLOSE


def test_ensembles():
    images = held_out(COUNT)[0]
    first, second = network(), network()
    with torch.no_grad():
        second[-1].weight.mul_(0.5)
    expected, found = (
        predict(averaged([copy.deepcopy(first), copy.deepcopy(second)]).to(to), images, 8) for to in ("cpu", "cuda")
    )
    assert torch.equal(found, expected)


def test_a_batch_that_the_memory_does_not_hold_is_halved():
    free, total = torch.cuda.mem_get_info()
    held = torch.empty(int(0.5 * free), dtype=torch.uint8, device="cuda")
    sizes = []

    def work(first, last):
        torch.empty((last - first) * int(0.2 * total), dtype=torch.uint8, device="cuda")
        sizes.append(last - first)

    in_batches(7, 4, work)
    assert sum(sizes) == 7 and max(sizes) < 4
    with pytest.raises(InputError, match="does not hold a single image"):
        in_batches(1, 4, lambda first, last: torch.empty(2 * total, dtype=torch.uint8, device="cuda"))
    del held
    torch.cuda.empty_cache()


# Holds its place and tells when, until its input ends.
HOLDER = """
import sys
from squeezeproof.runtime import set_up
print(set_up({"threads": 1, "device": "cuda"}, {"compute": {"jobs_per_gpu": int(sys.argv[1])}}), flush=True)
sys.stdin.read()
"""


def test_jobs_share_a_gpu_as_far_as_they_may():
    def holder(places):
        return subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(places)],
            cwd=ROOT / "workflow_scripts",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    jobs = [holder(2) for _ in range(2 * torch.cuda.device_count())]
    assert [job.stdout.readline().strip() for job in jobs] == ["cuda"] * len(jobs)
    late = holder(2)
    with pytest.raises(subprocess.TimeoutExpired):
        late.wait(15)
    jobs[0].communicate()
    assert late.communicate(timeout=60)[0] == "cuda\n"
    for job in jobs[1:]:
        job.communicate()


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    """The tiny study after a run on the CPU and after one on the GPU, by forked jobs of which four share it."""
    made = {}
    for device in ("cpu", "cuda"):
        config = copy.deepcopy(TINY)
        config["compressions"]["int8"] = {"method": "quantization", "bits": 8}
        config["compute"] = {"device": device, "jobs_per_gpu": 4}
        made[device] = Workspace.create(tmp_path_factory.mktemp(device) / "study", config)
        made[device].run(TABLES, forked=False)
    return made


def test_the_workflow(studies):
    read = {}
    for device, workspace in studies.items():
        audit = pd.read_csv(workspace.results / "tables/audit.csv")
        failed = audit[audit["verdict"] == "failure"]
        assert failed.empty, failed.to_string()
        read[device] = pd.read_csv(workspace.results / "tables/robust_accuracy.csv")
    keys = ["target", "source", "attack"]
    both = read["cpu"].merge(read["cuda"], on=keys, suffixes=("", "_gpu"))
    assert len(both) == len(read["cpu"]) == len(read["cuda"])
    # Two trainings in another order of sums: near, not equal.
    assert (both["accuracy"] - both["accuracy_gpu"]).abs().mean() <= 0.15


def test_a_second_run_on_the_gpu_makes_nothing(studies):
    assert studies["cuda"].planned(TABLES) == {}
