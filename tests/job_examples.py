"""The jobs of a tiny study: their real scripts, run in this process, where a fault is cheap to cause."""

import os
import runpy
import shutil
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

from conftest import ROOT, TINY

from squeezeproof.seeds import derive_seed
from squeezeproof.study.plan import Study

DATASET = "digits"
BASE, PRUNED = "cnn8.standard.none.none.s0", "cnn8.standard.weight-50.standard.s0"
ATTACKS = ["fgsm-eps0.1", "pgd-eps0.1"]
TABLES = ["clean_accuracy", "robust_accuracy", "over_seeds", "compression"]
VERDICTS = ["comparisons", "verdicts", "effects", "max_delta", "flips", "clean_differences"]


class Files(list):
    """Paths by place and by name, as Snakemake hands them to a script."""

    def __init__(self, *listed, **named):
        flat = [path for value in named.values() for path in (value if isinstance(value, list) else [value])]
        super().__init__(map(str, [*listed, *flat]))
        self.named = {
            key: [*map(str, value)] if isinstance(value, list) else str(value) for key, value in named.items()
        }

    def __getattr__(self, name):
        try:
            return self.named[name]
        except KeyError:
            raise AttributeError(name) from None

    def items(self):
        return self.named.items()

    def get(self, name, default=None):
        return self.named.get(name, default)


class Names(dict):
    __getattr__ = dict.__getitem__


class Jobs:
    """The jobs of a study in a folder: name -> what its script gets; `order` is one in which they can run."""

    def __init__(self, folder):
        self.folder = Path(folder)
        datasets = {DATASET: {**TINY["datasets"][DATASET], "validation": 20}}
        changes = {"compressions": {"weight": {"ratio": 0.5}}, "datasets": datasets}
        self.study = Study({**TINY, **changes})
        self.jobs = {}
        self._models()
        self._attacks()
        self._audit()
        self._report()

    @property
    def order(self):
        return list(self.jobs)

    def path(self, name):
        return self.folder / name

    def run(self, name):
        """Run a job's script; it ends as it would in a process of its own, in an exception or not."""
        job = self.jobs[name]
        for path in [*job.output, *job.log]:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        runpy.run_path(str(ROOT / "workflow_scripts" / job.script), init_globals={"snakemake": job})

    def fork(self, name):
        """Run a job in a child process; returns its id."""
        if child := os.fork():
            return child
        try:
            signal.alarm(60)
            sys.stderr = open(os.devnull, "w")  # noqa: SIM115
            self.run(name)
            os._exit(0)
        except BaseException:
            os._exit(1)

    def clone(self, folder):
        shutil.copytree(self.folder, folder)
        return Jobs(folder)

    def inputs(self, name):
        return [Path(path) for path in self.jobs[name].input]

    def outputs(self, name):
        return [Path(path) for path in self.jobs[name].output]

    def _add(self, name, script, input, output, params=(), **wildcards):
        self.jobs[name] = SimpleNamespace(
            rule=script, script=f"{script}.py", input=input, output=output, log=[str(self.path(f"logs/{name}.log"))],
            params=Names(params), wildcards=Names({"dataset": DATASET, **wildcards}), config=self.study.config,
            resources=SimpleNamespace(batch_size=0),
        )  # fmt: skip

    def _models(self):
        study, path = self.study, self.path
        splits = {split: path(f"{split}.safetensors") for split in ("train", "validation", "test")}
        settings = {"settings": study.datasets[DATASET].settings, "name": DATASET}
        self._add("prepare", "prepare", Files(), Files(**splits), settings)
        fitted = {"train": splits["train"], "validation": splits["validation"]}
        params = {"architecture": study.architecture_settings("cnn8"), "training": study.training_settings("standard")}
        output = Files(model=path(f"{BASE}.safetensors"), history=path(f"{BASE}.history.csv"))
        files = Files(**fitted, checkpoint=[])
        self._add("train", "train", files, output, {**params, "seed": 0, "compute": study.compute}, base=BASE)
        params = {"compression": study.compressions["weight-50"].settings, "seed": 0, "compute": study.compute}
        params["finetuning"] = study.finetuning_settings("standard")
        output = Files(model=path(f"{PRUNED}.safetensors"), history=path(f"{PRUNED}.history.csv"))
        base = path(f"{BASE}.safetensors")
        self._add("compress", "compress", Files(parent=base, **fitted), output, params, variant=PRUNED)

    def _attacks(self):
        study, path = self.study, self.path
        source, test = path(f"{BASE}.safetensors"), path("test.safetensors")
        sets = [path(f"{attack}.safetensors") for attack in ATTACKS]
        for attack, output in zip(ATTACKS, sets, strict=True):
            seed = derive_seed(BASE, attack)
            params = {
                "attack": study.attacks[attack].settings,
                "entry": study.attacks[attack].entry,
                "seed": seed,
                "compute": study.compute,
            }
            files = Files(source=source, test=test, train=[])
            self._add(f"craft {attack}", "craft", files, Files(output), params, source=BASE, attack=attack)
        for name, model in (("base", BASE), ("pruned", PRUNED)):
            files = Files(target=path(f"{model}.safetensors"), test=test, sets=sets)
            output = Files(path(f"predictions.{name}.safetensors"))
            params = {"compute": study.compute, "code": "", "expectation": 1}
            self._add(f"predict {name}", "predict", files, output, params, target=model, source=BASE)

    def _audit(self):
        study, path = self.study, self.path
        source, test = path(f"{BASE}.safetensors"), path("test.safetensors")
        sets = [path(f"{attack}.safetensors") for attack in ATTACKS]
        files = Files(sets=sets, source=source, test=test, evaluated=path("predictions.base.safetensors"))
        self._add("audit_sets", "audit_sets", files, Files(path("sets.csv")), {"attacks": ATTACKS}, source=BASE)
        params = {"attack": study.attacks["pgd-eps0.1"].settings, "images": 10, "seed": 0, "compute": study.compute}
        params |= {
            "attacks": ATTACKS,
            "unscored": ATTACKS,
            "deep": False,
            "code": "",
            "crafting": dict.fromkeys(ATTACKS, ""),
            "expectation": 1,
        }
        params["seeds"] = {attack: derive_seed(BASE, attack) for attack in ATTACKS}
        files = Files(source=source, test=test, sets=sets)
        self._add("probe", "probe", files, Files(path("probe.csv")), params, source=BASE)
        splits = {split: path(f"{split}.safetensors") for split in ("train", "validation", "test")}
        self._add("audit_data", "audit_data", Files(**splits), Files(path("data.csv")), {"test_images": None})
        models = [(DATASET, BASE), (DATASET, PRUNED)]
        files = Files(
            found=[path("data.csv"), path("sets.csv"), path("probe.csv")],
            predictions=self.predictions,
            models=[path(f"{name}.safetensors") for _, name in models],
            int8=[],
            fake_quantized=[],
            tests=[test],
            trains=[splits["train"]],
        )
        params = {"models": models, "parents": [None, BASE], "datasets": [DATASET]}
        self._add("write_audit", "write_audit", files, Files(path("audit.csv")), params)

    @property
    def predictions(self):
        return [self.path(f"predictions.{name}.safetensors") for name in ("base", "pruned")]

    def _report(self):
        study, path = self.study, self.path
        models = [BASE, PRUNED]
        described = {
            "models": [study.describe(DATASET, name) for name in models],
            "statistics": study.config["statistics"],
        }
        checkpoints = [path(f"{name}.safetensors") for name in models]
        cells = {"predictions": self.predictions, "audit": path("audit.csv")}
        tables = {name: path(f"{name}.csv") for name in TABLES}
        verdicts = {name: path(f"{name}.csv") for name in VERDICTS}
        files = Files(models=checkpoints, **cells)
        self._add("write_tables", "write_tables", files, Files(**tables), described)
        self._add("write_verdicts", "write_verdicts", Files(**cells), Files(**verdicts), described)
        sets = [path(f"{attack}.safetensors") for attack in ATTACKS]
        self._add("write_costs", "write_costs", Files(*sets), Files(path("crafting.csv")))
        self._add(
            "write_unsupported",
            "write_unsupported",
            Files(*checkpoints, *sets),
            Files(path("unsupported.csv")),
            described,
        )
        files = Files(audit=path("audit.csv"), tables=path("robust_accuracy.csv"))
        self._add("check_audit", "check_audit", files, Files(path("passed.txt")))
        tables = {"robust": "robust_accuracy", "models": "compression"}
        tables = {key: path(f"{name}.csv") for key, name in {**tables, "unsupported": "unsupported"}.items()}
        files = Files(over_seeds=path("over_seeds.csv"), **tables)
        self._plot("heatmap", files, attack="pgd-eps0.1")
        self._plot("weights", Files(models=checkpoints), {"models": described["models"]})
        histories = [path(f"{name}.history.csv") for name in models]
        self._plot("training", Files(histories=histories), {"models": described["models"]})

    def _plot(self, figure, files, params=(), **wildcards):
        pictures = Files(*(self.path(f"{figure}.{ending}") for ending in ("svg", "png")))
        self._add(f"plot_{figure}", "plot", files, pictures, {"figure": figure, "params": dict(params)}, **wildcards)
