"""Studies as files: keys that stand twice, and the JSON schemas that editors read."""

import json
import re

import forked_snakemake
import jsonschema
import pytest
import yaml
from conftest import ROOT, TINY, Workspace
from show_plan import configured
from study_examples import changed

from squeezeproof.study.errors import ConfigError
from squeezeproof.study.files import lying_over, misread, read_file, repeated_keys, with_numbers
from squeezeproof.study.plan import Study
from squeezeproof.study.removals import read_files

SCHEMAS = {
    path.name: jsonschema.Draft202012Validator(json.loads(path.read_text()))
    for path in (ROOT / "schemas").glob("*.schema.json")
}
STUDIES = [ROOT / "config.yaml", *sorted((ROOT / "studies").glob("*.yaml"))]
TWICE = """study: twice
datasets: {digits: {size: 28}}
compressions:
  weight: {ratio: 0.5}
compressions:
  filter: {ratio: 0.3}
attacks:
  pgd: {eps: 0.1, steps: 3}
  pgd: {eps: 0.2, steps: 3}
variants:
  - {datasets: "*", datasets: digits}
"""


@pytest.fixture
def twice(tmp_path):
    path = tmp_path / "twice.yaml"
    path.write_text(TWICE)
    return path


def test_a_key_that_stands_twice_is_refused_with_both_lines(twice):
    with pytest.raises(ConfigError) as caught:
        read_file(twice)
    found = sorted(caught.value.problems)
    for problem, (place, lines) in zip(
        found, [("attacks.pgd", (8, 9)), ("compressions", (3, 5)), ("variants[0].datasets", (11, 11))], strict=True
    ):
        assert problem.startswith(f"{place}: stands twice in {twice}, in lines {lines[0]} and {lines[1]},")


def test_snakemake_refuses_a_key_that_stands_twice(fresh, twice):
    said = fresh.run("-n", "--configfile", str(twice), ok=False)
    assert f"attacks.pgd: stands twice in {twice}, in lines 8 and 9" in said


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"study: s\ndatasets:\n\tdigits: {}\n", ", line 3: is not YAML: .*; indent by spaces, not by tabs"),
        (b"study: {a: 1\nseeds: 1\n", ", line [23]: is not YAML: "),
        (b"study: a\n---\nstudy: b\n", ", line 2: is not YAML: but found another document; a file holds one study"),
        (b"study: !!python/name:os.system\n", ", line 1: is not YAML: could not determine a constructor"),
        ("study: é".encode("latin-1"), ": is not UTF-8; save it as UTF-8"),
        ("study: s".encode("utf-16"), ": is not UTF-8; save it as UTF-8"),
        (None, r": cannot be read \(No such file or directory\)"),
    ],
    ids=["tab", "cut", "two", "tag", "latin", "utf-16", "missing"],
)
def test_a_file_that_is_no_yaml_is_told_with_its_line(tmp_path, content, told):
    path = tmp_path / "study.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=f"{path}{told}"):
        read_file(path)


def test_an_alias_and_a_merged_key_stand_once(tmp_path):
    path = tmp_path / "once.yaml"
    path.write_text("a: &a {x: 1}\nb: *a\nc: {<<: *a, y: 2}\nd: {x: 2}\n")
    assert repeated_keys(path) == []
    assert read_file(path)["c"] == {"x": 1, "y": 2}


TRAPS = """study: 2026-01-02
seeds: [0010, 1_000, 1e3, 0x10]
datasets: {on: {kind: digits, size: 3:20, train: "0200"}, no: {kind: digits}, "no": 3}
architectures:
  mine: {kind: custom, factory: "m:m", arguments: {lr: 1e-3, gate: off, wide: true, path: [5E4, "1e-3", 1.0e-3, no]}}
trainings: {~: {epochs: 020}, 1.50: {flip: yes}, True: {epochs: .5}}
merged: {<<: {a: 1}}
"""


def test_what_yaml_reads_as_something_else_is_told_with_line_key_and_what_to_write(tmp_path):
    path = tmp_path / "traps.yaml"
    path.write_text(TRAPS)
    arguments = "architectures.mine.arguments"
    assert misread(path) == [
        f"{told} ({path}, line {line})"
        for line, told in [
            (1, "study: 2026-01-02 is read as a date; put quotes around it"),
            (2, "seeds[0]: 0010 is read as 8, an octal number; write 10, or put quotes around it"),
            (3, "datasets.on: the name on is read as True; put quotes around it, or choose another"),
            (
                3,
                "datasets.on.size: 3:20 is read as 200, to the base of 60; write the number that is meant, or put "
                "quotes around it",
            ),
            (3, "datasets.no: the name no is read as False; put quotes around it, or choose another"),
            (5, f"{arguments}.lr: 1e-3 is read as a text; write 1.0e-3, or put quotes around it"),
            (5, f"{arguments}.gate: off is read as false; write that, or put quotes around it"),
            (5, f"{arguments}.path[0]: 5E4 is read as a text; write 5.0e+4, or put quotes around it"),
            (5, f"{arguments}.path[3]: no is read as false; write that, or put quotes around it"),
            (6, "trainings.~: the name ~ is read as None; put quotes around it, or choose another"),
            (6, "trainings.~.epochs: 020 is read as 16, an octal number; write 20, or put quotes around it"),
            (6, "trainings.1.50: the name 1.50 is read as 1.5; put quotes around it, or choose another"),
        ]
    ]
    with pytest.raises(ConfigError, match=r"datasets\.no: stands twice"):
        read_file(path)


def test_what_cannot_be_seen_in_a_name_is_told(tmp_path):
    """A no-break space after the colon makes one name of both, whose value is null, which would remove it."""
    path = tmp_path / "unseen.yaml"
    path.write_text("attacks: {pgd: {eps:\u00a00.1, st\u200beps: 2}}\nquestion: Why\u00a0?\n", encoding="utf-8")
    assert misread(path) == [
        f"attacks.pgd.{name}: its name holds {odd}, which looks like a space or nothing; retype it ({path}, line 1)"
        for name, odd in (("eps:\u00a00.1", "NO-BREAK SPACE"), ("st\u200beps", "ZERO WIDTH SPACE"))
    ]


@pytest.mark.parametrize("content", ["", "# nothing\n", "- study: x\n", "3\n"])
def test_tools_are_told_of_a_file_that_holds_no_study(tmp_path, content):
    path = tmp_path / "study.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"study\.yaml: holds (nothing|a list|a int), a study is a mapping such as"):
        configured(path)


@pytest.mark.parametrize(
    ("text", "why"), [("2026-13-01", "month must be in 1..12"), ("9" * 5000, "Exceeds the limit")], ids=["date", "long"]
)
def test_what_looks_like_a_date_or_a_number_and_is_none_is_told_with_its_line(tmp_path, text, why):
    path = tmp_path / "none.yaml"
    path.write_text(f"study: s\nseeds: [{text}]\n")
    with pytest.raises(ConfigError) as caught:
        read_file(path)
    (problem,) = caught.value.problems
    assert problem.startswith(f"seeds[0]: {text[:40]} is read as a date or a number and is none ({why}")
    assert problem.endswith(f"; put quotes around it ({path}, line 2)")


def test_what_people_write_as_numbers_and_flags_means_what_they_mean(tmp_path):
    path = tmp_path / "meant.yaml"
    written = "{epochs: 1_0, batch_size: 64, learning_rate: 1e-3, flip: yes, momentum: .5}"
    path.write_text(re.sub(r"(trainings:\n  standard: ){.*}", rf"\g<1>{written}", DEMO))
    training = next(iter(Study(read_file(path)).config["trainings"].values()))
    found = {key: training[key] for key in ("learning_rate", "flip", "momentum", "epochs")}
    assert found == {"learning_rate": 0.001, "flip": True, "momentum": 0.5, "epochs": 10}


def test_the_command_line_is_held_to_the_same():
    with pytest.raises(ConfigError, match=r"seeds\[1\]: 010 is read as 8, an octal number; write 10"):
        with_numbers({"seeds": ["1", "010"]}, {"seeds": ["1", "010"]})


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_a_study_names_the_schema_that_it_satisfies(path):
    first = path.read_text().splitlines()[0]
    named = path.parent / first.removeprefix("# yaml-language-server: $schema=")
    overlay = "-" in path.name
    assert named.resolve() == ROOT / "schemas" / f"{'overlay' if overlay else 'study'}.schema.json"
    SCHEMAS[named.resolve().name].validate(yaml.safe_load(path.read_text()))
    Study(configured(path))


EDITED = SCHEMAS["study.schema.json"]
DEMO = (ROOT / "config.yaml").read_text()


@pytest.mark.parametrize(
    "changes",
    [
        {"seeds": 3},
        {"attacks.mine": {"method": "pgd", "eps": "8/255"}},
        {"attacks.pgd": {"method": "bim", "eps": [0.1, "8/255"]}},
        {"attacks.fgsm.norm": None},
        {"attacks.suite": {"eps": 0.1, "stages": ["fgsm", {"method": "pgd", "steps": 3}]}},
        {"trainings.standard.adversary": {"method": "pgd", "eps": 0.1}},
        {"efficiency": {}},
    ],
)
def test_the_schema_allows_what_a_study_may_say(changes):
    assert EDITED.is_valid(changed(DEMO, changes))
    Study(changed(DEMO, changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"sead": 3},
        {"attacks.pgdd": {"eps": 0.1}},
        {"attacks.mine": {"eps": 0.1}},
        {"attacks.pgd": {"method": "bim", "eps": 0.1, "restarts": 2}},
        {"attacks.pgd": {"eps": 0}},
        {"attacks.pgd": {"steps": 3}},
        {"attacks.suite": {"eps": 0.1, "stages": ["uap"]}},
        {"trainings.standard.optimizer": "lion"},
        {"compressions.weight.ratio": 1},
    ],
)
def test_the_schema_refuses_what_a_study_may_not_say(changes):
    assert not EDITED.is_valid(changed(DEMO, changes))
    with pytest.raises(ConfigError):
        Study(changed(DEMO, changes))


# The command line, and overlays


def test_numbers_of_lists_of_the_command_line_are_numbers():
    given = {"seeds": ["0", "1"], "attacks": {"pgd": {"eps": "8/255", "steps": "3"}}, "question": "12"}
    config = {"study": "s", "question": "12", "seeds": ["0", "1"], "attacks": given["attacks"]}
    assert with_numbers(config, given) == {
        "study": "s",
        "question": "12",
        "seeds": [0, 1],
        "attacks": {"pgd": {"eps": "8/255", "steps": 3}},
    }
    # A module is given a part of what the command line says.
    assert with_numbers({"seeds": [5]}, given) == {"seeds": [5]}


def test_a_mapping_of_the_command_line_is_read_where_it_was_merged_into_a_file():
    given = {
        "trainings": {"standard": {"epochs": "3", "milestones": ["1", "2"]}, "robust": "null", "gone": {"epochs": "2"}}
    }
    merged = {"trainings": {"standard": {"epochs": "3", "milestones": ["1", "2"], "optimizer": "3"}, "robust": "null"}}
    assert with_numbers(merged, given) == {
        "trainings": {"standard": {"epochs": 3, "milestones": [1, 2], "optimizer": "3"}, "robust": None}
    }
    with pytest.raises(ConfigError, match=r"trainings.standard.epochs: 010 is read as 8"):
        with_numbers(
            {"trainings": {"standard": {"epochs": "010", "batch_size": 4}}},
            {"trainings": {"standard": {"epochs": "010"}}},
        )


BASE = """
study: over
datasets: {digits: {}}
architectures: {cnn3: {}}
trainings: {standard: {epochs: 1}, robust: {epochs: 2}}
compressions: {filter: {ratio: 0.5}, 8: {method: quantization, bits: 8}}
attacks: {pgd: {eps: 0.1}, noise: {eps: 0.1}}
evaluations: {all: {}}
"""


@pytest.mark.parametrize(
    ("overlay", "told"),
    [
        # What is there, what is a setting of any entry, what was there before, and free arguments.
        ("compressions: {filter: null, 8: null}\ntrainings: {robust: null}", []),
        ("compute: {batch_size: null}\nefficiency: null\ncontrol: null", []),
        ("compressions: {filter: {method: quantization, bits: 8, ratio: null}}", []),
        ("attacks: {pgd: {method: square, eps: null}}", []),
        ("architectures: {cnn3: {kind: custom, factory: 'a:b', arguments: {any: null}}}", []),
        (
            "compressions: {filtr: null}",
            ["compressions.filtr: null removes an entry of the files before, and there is none of that name, did you "
             "mean filter? (over.yaml)"],
        ),
        ("sweeps: {x: null}", ["sweeps.x: null removes an entry of the files before, and there is none of that"]),
        ("finetuning: null", ["finetuning: unknown, did you mean finetunings? (over.yaml)"]),
        ("compressions: {filter: {ratoi: null}}", ["compressions.filter.ratoi: unknown, did you mean ratio?"]),
        ("compute: {thread: null}", ["compute.thread: unknown, did you mean threads? (over.yaml)"]),
        (
            "attacks: {pdg: null, nois: null}",
            ["attacks.pdg: null removes an entry of the files before", "attacks.nois: null removes"],
        ),
    ],
)  # fmt: skip
def test_a_null_that_removes_nothing_is_told(tmp_path, monkeypatch, overlay, told):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "base.yaml").write_text(BASE)
    (tmp_path / "over.yaml").write_text(overlay)
    found = []
    try:
        read_files(["base.yaml", tmp_path / "over.yaml"])
    except ConfigError as error:
        found = error.problems
    assert len(found) == len(told) and all(one.startswith(text) for one, text in zip(found, told, strict=True)), found


def test_an_entry_of_a_first_file_that_holds_nothing_is_told(tmp_path):
    """It was left out without a word, though its defaults were meant."""
    (tmp_path / "base.yaml").write_text(BASE.replace("noise: {eps: 0.1}", "fgsm: "))
    with pytest.raises(
        ConfigError, match=r"attacks\.fgsm: holds nothing, which removes .*; write \{\} where its defaults"
    ):
        read_files([tmp_path / "base.yaml"])


def test_what_a_third_file_removes_may_be_of_any_before(tmp_path):
    for name, text in (("a", BASE), ("b", "attacks: {fgsm: {eps: 0.2}}"), ("c", "attacks: {fgsm: null, pgd: null}")):
        (tmp_path / f"{name}.yaml").write_text(text)
    contents = read_files([tmp_path / f"{name}.yaml" for name in "abc"])
    assert len(contents) == 3 and contents[1] == {"attacks": {"fgsm": {"eps": 0.2}}}
    with pytest.raises(ConfigError, match=r"attacks\.fgsm: null removes"):
        read_files([tmp_path / "a.yaml", tmp_path / "c.yaml"])


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_nulls_of_the_studies_remove_something(path):
    configured(path)


OVERLAY_OF_A = "is an overlay of a.yaml; give both: --configfile a.yaml a-small.yaml"
OVER_DEFAULT = "names no study and lies over config.yaml."


@pytest.mark.parametrize(
    ("given", "configs", "told"),
    [
        (["a.yaml"], [{"study": "a"}], []),
        (["a-small.yaml"], [{"study": "b"}], [f"a-small.yaml {OVERLAY_OF_A}"]),
        (["a.yaml", "a-small.yaml"], [{"study": "a"}, {}], []),
        (["b-small.yaml"], [{"study": "b"}], []),
        (["b-small.yaml", "config.yaml"], [{}, {"study": "d"}], [f"b-small.yaml {OVER_DEFAULT}"]),
        (["a-small.yaml", "config.yaml"], [{}, {}], [f"a-small.yaml {OVER_DEFAULT} a-small.yaml {OVERLAY_OF_A}"]),
        ([], [], []),
    ],
)
def test_an_overlay_alone_says_what_it_lies_over(tmp_path, monkeypatch, given, configs, told):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.yaml").write_text("study: a")
    assert lying_over([str(tmp_path / path) for path in given], configs) == told


@pytest.mark.parametrize("given", [[], ["--config", "question=Why?"]])
def test_snakemake_says_the_line_of_a_default_study_that_is_no_yaml(tmp_path, given):
    workspace = Workspace.create(tmp_path / "study", TINY)
    arguments = workspace.command("-n", *given)[3:]
    (workspace.path / "config.yaml").write_text("study: s\ndatasets:\n\tdigits: {}\n")
    status, told = forked_snakemake.run(arguments, workspace.path)
    assert status and "config.yaml, line 3: is not YAML: " in told and "not by tabs" in told
