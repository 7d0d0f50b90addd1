"""Prints what a study would run, as tables, before anything runs: `show_plan.py CONFIG [OVERLAY ...]`.

Later files are merged over earlier ones key by key, as Snakemake merges several --configfile.
"""

import sys
from collections import Counter
from pathlib import Path

# The library is not installed; it lies beside this folder.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from readers import while_read

from squeezeproof.entries import registry
from squeezeproof.study.efficiency import int8_sets
from squeezeproof.study.errors import ConfigError
from squeezeproof.study.plan import Study
from squeezeproof.study.preflight import problems, would_be_refused
from squeezeproof.study.removals import merge, read_files

# Settings of an attack.
SHOWN = ("method", "norm", "eps", "stop_on_success")


def read_config(paths):
    """The config of some files, later ones merged over earlier ones."""
    config = {}
    for path, content in zip(paths, read_files(paths), strict=True):
        if not isinstance(content, dict):
            held = "nothing" if content is None else f"a {type(content).__name__}"
            raise ConfigError([f"{path}: holds {held}, a study is a mapping such as `study: demo`"])
        merge(config, content)
    return config


def configured(path):
    """The config of a study's file; `name-detail.yaml` is an overlay of `name.yaml` beside it."""
    path = Path(path)
    base = path.with_name(path.name.partition("-")[0] + ".yaml")
    return read_config([base, path] if "-" in path.name else [path])


def print_table(title, header, rows):
    print(f"\n{title}")
    rows = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, ["-" * width for width in widths], *rows):
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def library_settings(study):
    """(attack, method, setting, value, `default` or nothing) of every other setting of attacks of libraries."""
    rows = []
    for name, attack in study.attacks.items():
        for entry, settings in registry.used("attacks", attack.settings):
            fields = entry.model_fields if hasattr(entry, "library_of") else {}
            for key, field in fields.items():
                if key not in SHOWN:
                    value = settings[key]
                    marked = "default" if value == field.default else ""
                    rows.append([name, entry.label(), key, value, marked])
    return rows


def crafting_jobs(study):
    """Rule -> jobs that craft adversarial sets, whole or in shards."""
    jobs = Counter()
    for (dataset, _), attacks in study.sets.items():
        shards = study.datasets[dataset].shards
        whole = {"craft": len(attacks)}
        jobs.update(whole if shards == 1 else {"craft_shard": shards * len(attacks), "join_shards": len(attacks)})
    return jobs or {"craft": 0}


def main(paths):
    try:
        study = Study(read_config(paths))
    except ConfigError as error:
        sys.exit(str(error))
    for notice in [*study.notices, *would_be_refused(problems(study, looks=False))]:
        print(notice, file=sys.stderr)
    print(f"Study {study.name}: {study.question}")
    targets = Counter((dataset, target) for dataset, target, _ in study.pairs)
    rows = []
    for dataset, name in study.evaluated_models:
        attacks = study.sets.get((dataset, name), [])
        rows.append([dataset, name, len(attacks), targets[dataset, name]])
    print_table("Models", ["data set", "model", "sets crafted on it", "sources scored on it"], rows)
    rows = [
        [name, *(attack.settings[key] for key in SHOWN), attack.settings.get("targeted") or "no"]
        for name, attack in study.attacks.items()
    ]
    print_table("Attacks", ["attack", *SHOWN, "targeted"], rows)
    if rows := library_settings(study):
        print_table("Other settings of attacks of libraries", ["attack", "method", "setting", "value", ""], rows)
    made = Counter(study.rule_of(study.models[key]) for key in study.evaluated_models)
    datasets = len({dataset for dataset, _ in study.evaluated_models})
    jobs = {
        **{"prepare": datasets, "prepare_test": datasets},
        **{rule: made[rule] for rule in ("train", "compress")},
        **{rule: made[rule] for rule in ("import_model", "build_ensemble") if made[rule]},
        **crafting_jobs(study),
        **({"craft_int8": len(int8_sets(study))} if study.int8_attacks else {}),
        "predict": len(study.pairs),
        **({"sweep": len(study.curves)} if study.curves else {}),
        **({"features": len(study.features)} if study.features else {}),
    }
    print_table("Jobs that compute, in a first run", ["rule", "jobs"], [*jobs.items(), ("total", sum(jobs.values()))])


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    with while_read(0):
        main(sys.argv[1:])
