"""Every job of a study and every file that it leaves, from the plan alone; standard library only."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from squeezeproof.study.efficiency import ENDINGS, exports, int8_attacked, int8_pairs, int8_sets, timed_datasets
from squeezeproof.study.figures import figures
from squeezeproof.study.instances import learns_first
from squeezeproof.study.paths import SHARD, Paths, checksum, prepared
from squeezeproof.study.plan import Study
from squeezeproof.study.tables import compressed_models, table_names, tables

# Rules whose files are removed once the set that they are for is whole.
TEMPORARY = ("craft_shard", "fit_attack")

# Rules of which every job has ended when answers are written: those that make models, sets and predictions.
OF_RESULTS = (
    *("check_network", "train", "compress", "import_model", "build_ensemble"),
    *("craft", *TEMPORARY, "join_shards", "predict", "sweep", "craft_int8", "predict_int8", "score_int8"),
)

# Rule -> the splits of a data set that it makes.
PREPARED = {"prepare": ("train", "validation"), "prepare_test": ("test",)}

# Rule, the names that tell its job from others, its outputs.
Made = tuple[str, tuple[str, ...], list[str]]


@dataclass(frozen=True)
class Job:
    """A job of the plan.

    Attributes:
        rule: its rule.
        outputs: the files that it makes; those of a `temporary` job are removed once they were used.
        log, benchmark: its log, and where Snakemake writes what it took.
    """

    rule: str
    outputs: list[str]
    log: str
    benchmark: str
    temporary: bool = False


def targets(study: "Study") -> list[str]:
    """Every file that a finished study has, so that whatever is lost is made again."""
    return [path for job in jobs(study) if not job.temporary for path in job.outputs]


def named_paths(study: "Study") -> set[str]:
    """Every file that the plan names: outputs, temporary ones and those that are made where they are asked for, too;
    logs and benchmarks.
    """
    known = [*jobs(study), *jobs_on_request(study)]
    return {path for job in known for path in (*job.outputs, job.log, job.benchmark)}


def prepared_paths(study: "Study") -> set[str]:
    """Those of the prepared data sets among them."""
    return {path for job in _prepared(study) for path in (*job.outputs, job.log, job.benchmark)}


def jobs(study: "Study") -> list[Job]:
    """The Jobs of a study, rule by rule."""
    paths = Paths(study.name)
    made = {}
    for rule, names, outputs in _made(study, paths):
        made.setdefault((rule, names), []).extend(outputs)
    return [*_prepared(study), *(_job(paths, *key, outputs) for key, outputs in made.items())]


def job_counts(study: "Study") -> Counter[str]:
    """Rule -> number of its jobs, in the order of `jobs`, without the names of all files in memory."""
    counts = Counter(job.rule for job in _prepared(study))
    counts.update(
        rule for rule, _ in dict.fromkeys((rule, names) for rule, names, _ in _made(study, Paths(study.name)))
    )
    return counts


def _made(study: "Study", paths: Paths) -> Iterator[Made]:
    """What the rules make, that of one job in several parts."""
    return chain(
        _models(study, paths),
        _attacks(study, paths),
        _evaluations(study, paths),
        _deployment(study, paths),
        _tables(study, paths),
        _figures(study, paths),
    )


def jobs_on_request(study: "Study") -> Iterator[Job]:
    """The Jobs whose files are no part of a finished study, but made where somebody asks for them by name."""
    paths = Paths(study.name)
    for model in study.made_models:
        if not (model.is_base or model.is_ensemble):
            key = model.dataset, model.name
            yield _job(paths, "write_replacement", key, [paths.replacement(*key)])


def _job(paths: Paths, rule: str, names: tuple[str, ...], outputs: list[str]) -> Job:
    outputs = [*outputs, *(checksum(path) for path in outputs if path.endswith(".csv"))]
    return Job(rule, outputs, paths.log(rule, *names), paths.benchmark(rule, *names), temporary=rule in TEMPORARY)


def _prepared(study: "Study") -> Iterator[Job]:
    for name in dict.fromkeys(model.dataset for model in study.made_models):
        for rule, splits in PREPARED.items():
            key = study.datasets[name].key(splits[0])
            outputs = [prepared(key, split) for split in splits]
            yield Job(rule, outputs, f"data/prepared/{key}/{rule}.log", f"data/prepared/{key}/{rule}.tsv")


def _models(study: "Study", paths: Paths) -> Iterator[Made]:
    for key in study.checked_networks:
        yield "check_network", key, [paths.support(*key)]
    for model in study.made_models:
        key = model.dataset, model.name
        history = [] if model.is_ensemble else [paths.history(*key)]
        yield study.rule_of(model), key, [paths.model(*key), *history]


def _attacks(study: "Study", paths: Paths) -> Iterator[Made]:
    for (dataset, source), attacks in study.sets.items():
        shards = study.datasets[dataset].shards
        for attack in attacks:
            key = dataset, source, attack
            if shards == 1:
                yield "craft", key, [paths.adversarial_set(*key)]
                continue
            if learns_first(study.attacks[attack]):
                yield "fit_attack", key, [paths.fitted(*key)]
            for shard in range(1, shards + 1):
                part = dataset, source, SHARD.format(attack=attack, shard=shard, shards=shards)
                yield "craft_shard", part, [paths.adversarial_set(*part)]
            yield "join_shards", key, [paths.adversarial_set(*key)]


def _evaluations(study: "Study", paths: Paths) -> Iterator[Made]:
    for pair in study.pairs:
        yield "predict", pair, [paths.predictions(*pair)]
    for key in study.curves:
        yield "sweep", key, [paths.sweep(*key)]
    for key in study.features:
        yield "features", key, [paths.features(*key)]
        yield "tsne", key, [paths.tsne(*key)]
    for key in study.sets:
        yield "audit_sets", key, [paths.findings(*key, "sets")]
        yield "probe", key, [paths.findings(*key, "probe")]
    for dataset in study.audited_datasets:
        yield "audit_data", (dataset,), [paths.data_findings(dataset)]
    yield "check_audit", (), [paths.audit_passed()]


def _deployment(study: "Study", paths: Paths) -> Iterator[Made]:
    for dataset, model, ending in exports(study):
        files = [paths.export(dataset, model, ending), paths.export_metadata(dataset, model, ending)]
        if ending == ENDINGS["int8"]:
            yield "export_int8", (dataset, model), [*files, paths.findings(dataset, model, "int8")]
        else:
            yield "export", (dataset, model, ending), files
    for pair in int8_pairs(study):
        yield "predict_int8", pair, [paths.int8_predictions(*pair)]
    for key in int8_sets(study):
        yield "craft_int8", key, [paths.int8_set(*key)]
    for key in int8_attacked(study):
        yield "score_int8", key, [paths.int8_itself(*key), paths.findings(*key, "int8_sets")]
    for dataset in timed_datasets(study):
        yield "measure_latency", (dataset,), [paths.times(dataset), paths.machine(dataset)]


def _tables(study: "Study", paths: Paths) -> Iterator[Made]:
    for rule, names in tables(study).items():
        if names:
            yield rule, (), [paths.table(name) for name in names]
    endings = ("tex", "md")
    yield "format_tables", (), [paths.table(name, ending) for ending in endings for name in table_names(study)]
    yield "write_story", (), [paths.page("story"), paths.page("summary")]
    cards = [paths.card(*key) for key in compressed_models(study)]
    yield "write_cards", (), [paths.benchmark_summary(), *cards]
    yield "write_explorer", (), [paths.page("explorer")]


def _figures(study: "Study", paths: Paths) -> Iterator[Made]:
    for name, figure in figures().items():
        for names in figure.each(study):
            yield f"plot_{name}", tuple(names[key] for key in figure.wildcards), figure.files(paths, **names)
