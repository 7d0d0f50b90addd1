"""The plan of a study: which data sets, models, adversarial sets and (source, target) pairs its config declares.

Everything that names a file is computed here, once, from a checked config, with the standard library only: the
Snakefile imports this module, and torch never loads there.
"""

import hashlib
import json
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from itertools import product

from squeezeproof.study.contradictions import NONE, contradictions, variant_contradictions
from squeezeproof.study.errors import ConfigError
from squeezeproof.study.schema import check_config, load_schema, suggest

FLOAT_BITS = 32


@dataclass(frozen=True)
class Dataset:
    """A data set of the plan; `key` names its directory under data/prepared and changes with its settings."""

    name: str
    settings: dict
    channels: int
    size: int

    @cached_property
    def key(self):
        text = json.dumps(self.settings, sort_keys=True)
        return f"{self.name}.{hashlib.sha256(text.encode()).hexdigest()[:8]}"


@dataclass(frozen=True, order=True)
class Model:
    """A model variant; `compression` is `none` or an instance name such as weight-98."""

    dataset: str
    architecture: str
    training: str
    compression: str
    finetuning: str
    seed: int

    @cached_property
    def name(self):
        return f"{self.architecture}.{self.training}.{self.compression}.{self.finetuning}.s{self.seed}"

    @property
    def is_base(self):
        return self.compression == NONE

    @property
    def base(self):
        return Model(self.dataset, self.architecture, self.training, NONE, NONE, self.seed)


@dataclass(frozen=True)
class Instance:
    """A compression at one ratio or an attack at one budget: a name that paths carry, and plain settings."""

    name: str
    entry: str
    settings: dict


CONDITIONS = {
    "white-box": lambda source, target: source == target,
    "transfer": lambda source, target: source != target,
    "same-seed": lambda source, target: source.seed == target.seed,
    "other-seed": lambda source, target: source.seed != target.seed,
    "same-architecture": lambda source, target: source.architecture == target.architecture,
    "other-architecture": lambda source, target: source.architecture != target.architecture,
    "same-training": lambda source, target: source.training == target.training,
    "other-training": lambda source, target: source.training != target.training,
}


class Study:
    """A checked config, expanded. Raises ConfigError with every problem at once.

    Attributes:
        name, question, seeds, compute, published: as in the config.
        datasets: name -> Dataset.
        compressions, attacks: instance name -> Instance.
        models: (dataset, model name) -> Model, every model the config declares.
        pairs: (dataset, target name, source name) -> attack instance names scored there.
        sets: (dataset, source name) -> attack instance names crafted there.
    """

    def __init__(self, config):
        checked = check_config(config)
        self.config = _plain(checked)
        self.name = self.config["study"]
        self.question = self.config["question"]
        self.seeds = self.config["seeds"]
        self.compute = self.config["compute"]
        self.published = self.config.get("published")
        problems = []
        self.datasets = {name: _dataset(name, settings) for name, settings in self.config["datasets"].items()}
        self.compressions = _instances(checked["compressions"], "compressions", problems)
        self.attacks = _instances(checked["attacks"], "attacks", problems)
        problems += contradictions(checked, self.datasets)
        self.models = self._expand_models(problems)
        problems += variant_contradictions(self.config, self.models.values(), self.compressions)
        self.pairs = self._expand_pairs(problems)
        if problems:
            raise ConfigError(problems)
        self.sets = {}
        for (dataset, _, source), attacks in self.pairs.items():
            known = self.sets.setdefault((dataset, source), [])
            known.extend(attack for attack in attacks if attack not in known)

    def model(self, dataset, name):
        """The Model of that name; KeyError when the plan has none."""
        return self.models[dataset, name]

    def describe(self, dataset, name):
        """What the tables say of a model: its name, its axes, and the compression's entry, ratio and weight bits."""
        model = self.models[dataset, name]
        compression = self.compressions.get(model.compression)
        settings = compression.settings if compression else {}
        bits = settings.get("bits", FLOAT_BITS)
        return {
            "dataset": dataset,
            "name": name,
            "architecture": model.architecture,
            "training": model.training,
            "compression": compression.entry if compression else NONE,
            "ratio": settings.get("ratio", 1 - bits / FLOAT_BITS),
            "bits": bits,
            "finetuning": model.finetuning,
            "seed": model.seed,
            "base": model.base.name,
        }

    def fits_on_training_images(self, attack):
        """Whether an attack instance is fitted on the training split before it attacks the test split."""
        kinds = load_schema("attack")["kinds"]
        return kinds[self.attacks[attack].settings["method"]].get("x-fitted-on-training-images", False)

    def architecture_settings(self, name):
        return self.config["architectures"][name]

    def training_settings(self, name):
        return self.config["trainings"][name]

    def finetuning_settings(self, name):
        """Settings of a fine-tuning, None for `none`."""
        return None if name == NONE else self.config["finetunings"][name]

    @cached_property
    def evaluated_models(self):
        """(dataset, model name) of every model that a pair needs, sources, targets and their bases, in plan order."""
        needed = set()
        for dataset, target, source in self.pairs:
            for name in (target, source):
                needed |= {(dataset, name), (dataset, self.models[dataset, name].base.name)}
        return [key for key in self.models if key in needed]

    def _expand_models(self, problems):
        config = self.config
        bases = [
            Model(dataset, architecture, training, NONE, NONE, seed)
            for dataset, architecture, training, seed in product(
                config["datasets"], config["architectures"], config["trainings"], self.seeds
            )
        ]
        models = {(base.dataset, base.name): base for base in bases}
        finetunings = list(config["finetunings"]) or [NONE]
        # The default selection of a study without compressions selects nothing, and rightly so.
        for index, selection in enumerate(config["variants"] if self.compressions else ()):
            path = f"variants[{index}]"
            chosen = {
                axis: _select(selection[axis], names, f"{path}.{axis}", problems)
                for axis, names in (
                    ("datasets", list(config["datasets"])),
                    ("architectures", list(config["architectures"])),
                    ("trainings", list(config["trainings"])),
                    ("compressions", list(self.compressions)),
                )
            }
            chosen["finetunings"] = _select(
                selection["finetunings"], finetunings, f"{path}.finetunings", problems, literal=[NONE]
            )
            for axes in product(*chosen.values(), self.seeds):
                model = Model(*axes)
                models.setdefault((model.dataset, model.name), model)
        return models

    def _expand_pairs(self, problems):
        pairs = {}
        for name, evaluation in self.config["evaluations"].items():
            path = f"evaluations.{name}"
            datasets = _select(evaluation["datasets"], list(self.datasets), f"{path}.datasets", problems)
            attacks = _select(evaluation["attacks"], list(self.attacks), f"{path}.attacks", problems)
            conditions = [CONDITIONS[condition] for condition in evaluation["where"]]
            names = list(dict.fromkeys(name for _, name in self.models))
            sources = self._select_models(evaluation["sources"], names, f"{path}.sources", problems)
            targets = self._select_models(evaluation["targets"], names, f"{path}.targets", problems)
            found = False
            for dataset in datasets:
                present = [self.models[key] for key in self.models if key[0] == dataset]
                chosen_targets = [model for model in present if model.name in targets]
                for source in (model for model in present if model.name in sources):
                    for target in chosen_targets:
                        if all(condition(source, target) for condition in conditions):
                            found = True
                            self._check_modes(path, attacks, source, target, problems)
                            known = pairs.setdefault((dataset, target.name, source.name), [])
                            known.extend(attack for attack in attacks if attack not in known)
            if not found and datasets and attacks and sources and targets:
                problems.append(f"{path}: no (source, target) pair meets where: {evaluation['where']}")
        return pairs

    def _check_modes(self, path, attacks, source, target, problems):
        stopped = [name for name in attacks if self.attacks[name].settings["mode"] == "whitebox"]
        if stopped and source != target:
            problem = (
                f"{path}: {stopped[0]} has mode: whitebox, its examples end where they fool their source and say "
                f"nothing about other models; write where: [white-box] here, or mode: transfer there"
            )
            if problem not in problems:
                problems.append(problem)

    def _select_models(self, patterns, names, path, problems):
        aliases = {"base": [], "compressed": []}
        for model in self.models.values():
            aliases["base" if model.is_base else "compressed"].append(model.name)
        chosen = set()
        for pattern in patterns:
            matches = aliases.get(pattern) or [name for name in names if fnmatchcase(name, pattern)]
            if not matches:
                problems.append(f"{path}: {pattern!r} matches no model that the study builds{suggest(pattern, names)}")
            chosen.update(matches)
        return chosen


def _select(patterns, names, path, problems, literal=()):
    """The names that match one of the patterns, in plan order; a pattern without a match is a problem."""
    chosen = []
    for pattern in patterns:
        matches = [name for name in names if fnmatchcase(name, pattern)]
        matches += [name for name in literal if name == pattern and name not in matches]
        if not matches:
            problems.append(f"{path}: {pattern!r} matches none{suggest(pattern, [*names, *literal])}")
        chosen += [name for name in matches if name not in chosen]
    return chosen


def _dataset(name, settings):
    image = load_schema("dataset")["kinds"][settings["kind"]].get("x-image", {})
    return Dataset(
        name=name,
        settings=settings,
        channels=image.get("channels", settings.get("channels")),
        size=image.get("size", settings.get("size")),
    )


def _percent(ratio):
    return f"{100 * ratio:.10g}".replace(".", "p")


def _eps(eps):
    return "" if eps is None else f"eps{eps.text.replace('/', 'of')}"


# The setting whose list an entry is expanded over, and how a value of it is written in names.
LEVELS = {"compressions": {"ratio": _percent, "bits": str}, "attacks": {"eps": _eps}}


def _instances(entries, section, problems):
    """Expand every entry over its list of levels; two entries that give one name are a problem."""
    instances = {}
    for entry, settings in entries.items():
        level, label = next((key, label) for key, label in LEVELS[section].items() if key in settings)
        for value in settings[level]:
            # A minimum-norm attack without a budget goes by its entry's name.
            name = "-".join(filter(None, [entry, label(value)]))
            if name in instances:
                problems.append(
                    f"{section}.{entry}: {level} {getattr(value, 'text', value)} gives the name {name}, which "
                    f"{section}.{instances[name].entry} gives too; rename one or remove the repetition"
                )
            instances[name] = Instance(name, entry, _plain({**settings, level: value}))
    return instances


def _plain(value):
    """The same structure with plain floats, which any process can unpickle."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return float(value) if isinstance(value, float) else value
