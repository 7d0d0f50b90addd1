"""What is supported of fourteen networks that people bring, each trained, compressed, attacked and exported for real.

`python benchmarks/networks.py` runs every network in a process of its own and writes docs/networks after each; with
names it runs these alone and keeps the rows of the others. `--row NAME` prints the row of one and writes nothing.
"""

import csv
import json
import resource
import subprocess
import sys
import tempfile
from copy import deepcopy
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "workflow_scripts"), str(ROOT / "benchmarks")]

import torch

from squeezeproof import factories
from squeezeproof.attacks.craft import craft
from squeezeproof.compression.achieved import achieved
from squeezeproof.compression.compress import compress
from squeezeproof.compression.task import Task
from squeezeproof.datasets.prepare import prepare
from squeezeproof.deployment.export import export_onnx
from squeezeproof.deployment.integer import export_integer, predict_integer
from squeezeproof.errors import InputError
from squeezeproof.models.build import initial_model, specification
from squeezeproof.models.checkpoints import check_rebuilds, load_model, save_model
from squeezeproof.models.measure import measure
from squeezeproof.models.onnx_sessions import open_session
from squeezeproof.models.predict import accuracy, predict
from squeezeproof.runtime import place, set_up
from squeezeproof.store.datasets import read_split
from squeezeproof.study.plan import Study
from squeezeproof.training.loop import fit

TORCHVISION = [
    "mobilenet_v3_small", "efficientnet_b0", "shufflenet_v2_x0_5", "squeezenet1_1", "regnet_y_400mf", "mnasnet0_5",
    "convnext_tiny", "swin_t", "googlenet",
]  # fmt: skip
TIMM = ["lcnet_050", "resnet10t", "mobilenetv4_conv_small", "ghostnet_100"]
NETWORKS = {
    **{name: {"kind": "torchvision", "name": name} for name in TORCHVISION},
    "tiny_vit": {"kind": "custom", "factory": "networks:tiny_vit"},
    **{name: {"kind": "timm", "name": name} for name in TIMM},
}
ADAM = {"batch_size": 32, "optimizer": "adam", "learning_rate": 0.001}
# Of networks without normalisations, which a first step of full size may leave with dead units.
LONGER = {**ADAM, "epochs": 12, "learning_rate": 0.0005, "schedule": "one-cycle"}
TRAININGS = {"squeezenet1_1": "longer"}
# That of torch. Some networks average over hundreds of batches more than are trained on here.
MOMENTUM = 0.1
# Share of the test images, of ten classes, from which a network has learnt enough for its row to say something.
LEARNT = 0.5
# Images attacked at a time: more take more memory.
BATCH = 50
CONFIG = {
    "study": "networks",
    "datasets": {"digits": {"size": 32, "train": 1000, "validation": 100, "test": 200}},
    "trainings": {"standard": {**ADAM, "epochs": 6, "schedule": "cosine"}, "longer": LONGER},
    "compressions": {
        "filter": {"ratio": 0.3},
        "weight": {"ratio": 0.8},
        "int": {"method": "quantization", "bits": 8},
    },
    "attacks": {"fgsm": {"eps": 0.1}, "pgd": {"eps": 0.1, "steps": 5}},
    "evaluations": {"all": {"sources": "base"}},
}
STEPS = ["trains", "filter 30 %", "weight 80 %", "int8", "fgsm", "pgd", "onnx", "int8 export"]
FOLDER = ROOT / "docs" / "networks"


def tiny_vit(*, in_channels, num_classes, image_size):
    """A vision transformer of two blocks."""
    from torchvision.models import VisionTransformer

    network = VisionTransformer(image_size, 8, 2, 4, 64, 128, num_classes=num_classes)
    network.conv_proj = torch.nn.Conv2d(in_channels, 64, 8, 8)
    return network


def training_of(name):
    """The entry of `trainings` that a network is trained by."""
    return TRAININGS.get(name, "standard")


def epochs_of(name):
    return CONFIG["trainings"][training_of(name)]["epochs"]


class Trial:
    """One network, and what became of each of STEPS."""

    def __init__(self, name, folder):
        self.name, self.folder, self.row = name, Path(folder), {"network": name}
        self.study = Study({**CONFIG, "architectures": {"net": NETWORKS[name]}})
        splits = {split: str(self.folder / f"{split}.safetensors") for split in ("train", "validation", "test")}
        prepare(self.study.datasets["digits"].settings, splits, "digits")
        *self.train, self.metadata = read_split(splits["train"])
        *self.validation, _ = read_split(splits["validation"])
        *self.test, _ = read_split(splits["test"])
        self.shape = self.metadata["shape"]
        self.spec = specification(self.study.architecture_settings("net"), self.metadata)
        self.training = self.study.training_settings(training_of(name))

    def step(self, name, work):
        """Note what `work` returns, or why the network does not support it."""
        try:
            self.row[name] = work()
        except InputError as error:
            self.row[name] = f"not supported: {error}"

    def trains(self):
        self.model = place(initial_model(self.spec, 0), torch.device("cpu"), self.shape)
        for module in self.model.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.momentum = MOMENTUM
        fit(self.model, self.train, self.validation, self.training, seed=0)
        self.dense, self.made = measure(self.model, {}, self.shape), self.model
        return f"{accuracy(self._reloaded(self.model, {}), *self.test):.0%}"

    def compressed(self, name):
        model, settings = deepcopy(self.model), self.study.compressions[name].settings
        masks = compress(Task(model, self.shape, settings, lambda *_: None, self.train))
        found = achieved(settings, measure(model, masks, self.shape), self.dense)
        self.made = self._reloaded(model, masks)
        return f"{found['achieved']:.1%}"

    def attacked(self, name, model):
        settings = self.study.attacks[name].settings
        tensors, _ = craft(model, *self.test, settings, seed=0, batch_size=BATCH)
        self.adversarial = tensors["adversarial"]
        return f"{(tensors['predictions'] == tensors['labels']).double().mean():.0%}"

    def exported(self):
        found = export_onnx(self.folder / "a.onnx", self.model, self.test[0])
        return f"{found['agreement']:.0%}"

    def integer(self):
        """Agreement of the int8 model with the simulated one on clean images, and on those of PGD."""
        path = self.folder / "int8.onnx"
        found = export_integer(path, self.made, *self.test, self.train[0], len(self.train[1]), 0)
        self.attacked("pgd-eps0.1", self.made)
        both = predict_integer(open_session(path), self.adversarial), predict(self.made, self.adversarial)
        return f"{found['agreement']:.0%}, {(both[0] == both[1]).double().mean():.0%}"

    def _reloaded(self, model, masks):
        path = self.folder / "model.safetensors"
        save_model(path, model, self.spec, masks)
        check_rebuilds(path, model)
        return load_model(path)[0]


def measured(name):
    """The row of a network: for each of STEPS what it achieved, or why it is not supported."""
    set_up({"threads": 1, "device": "cpu"})
    factories.allow("networks")
    with tempfile.TemporaryDirectory() as folder:
        trial = Trial(name, folder)
        trial.step("trains", trial.trains)
        trial.step("filter 30 %", lambda: trial.compressed("filter-30"))
        trial.step("weight 80 %", lambda: trial.compressed("weight-80"))
        trial.step("int8", lambda: trial.compressed("int-8"))
        trial.step("int8 export", trial.integer)
        for attack in ("fgsm", "pgd"):
            trial.step(attack, lambda attack=attack: trial.attacked(f"{attack}-eps0.1", trial.model))
        trial.step("onnx", trial.exported)
    row = {key: trial.row[key] for key in ("network", *STEPS)}
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    size = {"parameters": trial.dense["parameters"], "epochs": epochs_of(name)}
    return {"network": name, **size, **row, "memory (MB)": memory}


def is_whole(row):
    """Whether the network learnt its task and supports every one of STEPS."""
    return not refusals(row) and float(row["trains"].rstrip("%")) >= 100 * LEARNT


def write(rows):
    """The table as CSV and as the page docs/networks/README.md."""
    columns = list(rows[0])
    with open(FOLDER / "networks.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    lines = [f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]
    cells = [{**row, **dict.fromkeys(refusals(row), "refused")} for row in rows]
    lines += [f"| {' | '.join(map(str, row.values()))} |" for row in cells]
    lines += [""] * any(map(refusals, rows))
    lines += [f"- {row['network']}, {step}: {row[step]}." for row in rows for step in refusals(row)]
    page = (FOLDER / "page.md").read_text()
    (FOLDER / "README.md").write_text(page.format(**_told(rows), table="\n".join(lines)))


def refusals(row):
    """Those of STEPS that the network does not support."""
    return [step for step in STEPS if str(row[step]).startswith("not supported")]


def _told(rows):
    """What the page says beside its table."""
    wholes = [row for row in rows if is_whole(row)]
    trained = {name: CONFIG["trainings"][name]["epochs"] for name in ("standard", "longer")}
    longer = ", ".join(name for name in NETWORKS if training_of(name) == "longer")
    told = {"whole": len(wholes), "measured": len(rows), "all": len(NETWORKS), "longer": longer}
    told |= {"learnt": f"{LEARNT:.0%}".replace("%", " %")}
    numbers = {"momentum": MOMENTUM, **{f"{name}_epochs": epochs for name, epochs in trained.items()}}
    return told | numbers | CONFIG["datasets"]["digits"]


def main(arguments):
    if arguments[:1] == ["--row"]:
        print(json.dumps(measured(arguments[1])))
        return
    path = FOLDER / "networks.csv"
    known = {row["network"]: row for row in csv.DictReader(path.open())} if path.exists() else {}
    # Of another training, a row would be told as of this one.
    known = {name: row for name, row in known.items() if row.get("epochs") == str(epochs_of(name))}
    for name in arguments or NETWORKS:
        command = [sys.executable, __file__, "--row", name]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        known[name] = json.loads(done.stdout.splitlines()[-1])
        write([known[name] for name in NETWORKS if name in known])


if __name__ == "__main__":
    main(sys.argv[1:])
