"""The page that is read first: its numbers are those of the tables, its words no stronger, and nothing breaks it."""

import platform
import re
from html import unescape
from html.parser import HTMLParser
from importlib.metadata import distributions, version

import pandas as pd
import pytest
from conftest import ROOT
from table_examples import answers, robust_accuracy, verdicts

from squeezeproof.audit.findings import FAILURE, WARNING, Finding
from squeezeproof.pages import provenance
from squeezeproof.pages.answer_cards import cards, explained
from squeezeproof.pages.embedded import embedded
from squeezeproof.pages.grouped import Grouped, grouped
from squeezeproof.pages.slopes import slopes
from squeezeproof.pages.story import (
    LARGEST,
    SENTENCES,
    SIGNS,
    audited,
    counted,
    page,
    sentence,
    sentences,
    summary,
    verdict_matrix,
)
from squeezeproof.tables.words import Verdict

TEMPLATES = ROOT / "report" / "story"
FACTS = {
    "name": "tiny",
    "question": "Does <b>pruning</b> & quantizing change anything?",
    "doubts": ["half or <none>"],
    "margin": 0.02,
    "warnings": [Grouped("a.s0: the same model as b.s0")],
    "slopes": [],
    "targeted": [],
    "deployed": [],
    "numbers": {"Seeds": "0", "Attacks": "<script>alert(1)</script>"},
}
CLEAN = pd.DataFrame({"model": ["a", "<i>b"], "accuracy": ["0.9", "0.85"], "low": ["0.8", "0.8"], "high": ["1", "0.9"]})


def tables(judged=None, seeds=1):
    """The tables that the page reads; the study has no compressed models where there are no verdicts."""
    judged = verdicts() if judged is None else judged
    answered = answers(seeds) if len(judged) else answers()[:0]
    return {"answers": answered, "robust_accuracy": robust_accuracy(), "verdicts": judged}


def finding(verdict, attack="fgsm-eps0.1", message="<do> this"):
    return Finding("digits", "m", "m", attack, 3, "no example left as it was", "1", "0", verdict, message)


AUDIT = [finding("pass"), finding(FAILURE), finding(WARNING, "pgd-eps0.1"), finding(WARNING, "pgd-eps0.1")]


class Reader(HTMLParser):
    """Tags that are open, and every cell of every table."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.cells = [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag != "meta":
            self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.cells[-1] += data.replace("\N{NO-BREAK SPACE}", " ")


def read(text):
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    return reader


@pytest.fixture(scope="module")
def text():
    return page(TEMPLATES, FACTS, tables(verdicts(2)), AUDIT, {"clean_accuracy": CLEAN}, {"Commit": "abc & def"})


def test_the_page_is_well_formed_and_alone(text):
    assert read(text).tags[:4] == ["html", "head", "meta", "meta"]
    assert not re.search(r"(src|href)=|@import|url\(", text)
    assert "prefers-color-scheme: dark" in text


def test_warnings_stand_first(text):
    assert text.index("a.s0: the same model as b.s0") < text.index("What was run")
    for said in (text, summary(TEMPLATES, FACTS, tables(), AUDIT)):
        assert "In doubt: half or &lt;none&gt;" in said and "a.s0: the same model as b.s0" in said
    assert "Warnings" not in page(TEMPLATES, {**FACTS, "warnings": [], "doubts": []}, tables(), AUDIT, {}, {})


def test_one_warning_on_many_models_is_one_line():
    same, apart = "the same model as a.s0", "ADMM had not converged: from {} to 20.0 %; raise rho".format
    said = [("b.s0", same), ("c.s0", apart(94.7)), ("d.s0", apart(90.1)), ("e.s0", "alone"), ("f.s0", "alone")]
    told = grouped([*said, *((f"g.s{seed}", same) for seed in range(9))])
    assert [one.text for one in told] == [
        f"10 models: {same}", f"2 models, such as c.s0: {apart(94.7)}", "e.s0 and f.s0: alone",
    ]  # fmt: skip
    assert told[0].details == ["b.s0", *(f"g.s{seed}" for seed in range(9))]
    assert told[1].details == [f"c.s0: {apart(94.7)}", f"d.s0: {apart(90.1)}"] and told[2].details == []
    text = page(TEMPLATES, {**FACTS, "warnings": told}, tables(), AUDIT, {}, {})
    assert "<summary>all 10</summary>" in text and "<li>g.s8</li>" in text
    assert text.count(same) == 1 and summary(TEMPLATES, {**FACTS, "warnings": told}, tables(), AUDIT).count(same) == 1


def test_names_and_questions_are_escaped(text):
    for unsafe in ("<script", "<b>pruning", "<i>", "<do>"):
        assert unsafe not in text
    assert "Does <b>pruning</b> & quantizing change anything?" in unescape(text)
    assert "<script" not in summary(TEMPLATES, FACTS, tables(), AUDIT)


def test_numbers_on_the_page_are_those_of_the_tables(text):
    cells = read(text).cells
    assert "90.0" in cells and "[80.0, 90.0]" in cells
    for row in verdicts(2).itertuples():
        shown = f"{100 * row.difference:+.1f} [{100 * row.low:+.1f}, {100 * row.high:+.1f}]".replace("-", "−")
        assert f"{SIGNS[row.verdict]}{'*' * bool(row.favours)} {shown}" in cells


def test_the_page_opens_with_an_answer_for_every_compressed_model(text):
    plain = unescape(re.sub("<[^>]+>", "", text)).replace("\N{NO-BREAK SPACE}", " ")
    first = plain.index("2 compressed models: 1 do not ship, 1 cannot tell. Margin: 2 points.")
    assert first < plain.index("CNN-8, filter 25 %") < plain.index("CNN-8, filter 50 %") < plain.index("What was run")
    card = plain[plain.index("CNN-8, filter 50 %") :]
    assert re.sub(r"\s+", " ", card).startswith(
        "CNN-8, filter 50 % ✗ Do not ship Accuracy: under FGSM, eps 0.1, the worst attack, 30.0 % [26.0, 34.0] "
        "(base 40.0); clean images 88.0 % [85.0, 91.0] (base 90.0). Why: it loses 7 to 13 points <i>. Would change the "
        "answer: more images. Threat model: white-box, Linf up to 0.1. Against its base under FGSM, eps 0.1 −10.0 "
        "[−13.0, −7.0] points = −3.0 [−6.0, +0.0] by training and −7.0 [−10.0, −4.0] by compression; the intervals of "
        "these two hold each by itself."
    )
    assert "Another training" not in plain


def test_which_intervals_hold_at_once_and_which_by_themselves_is_said(text):
    assert text.count("corrected for the number of comparisons: those under one kind of attack hold at once.") == 1
    assert text.count("Each interval holds by itself; the verdict, and the interval by which") == 1
    assert "those under one kind of attack hold at once" in summary(TEMPLATES, FACTS, tables(), AUDIT)


def test_other_trainings_have_their_own_answer():
    text = page(TEMPLATES, FACTS, tables(verdicts(seeds=3), seeds=3), AUDIT, {}, {})
    assert text.count("Another training of the same recipe: do not ship; it loses 7 to 13") == 1


def test_words_are_explained_once_and_in_a_box(text):
    assert text.count("<abbr") == text.count("</abbr>") > 3
    assert len(set(re.findall(r"<abbr[^>]*>([^<]*)", text))) == text.count("<abbr")
    assert '<abbr title="The model before compression.">base</abbr>' in text
    assert "<dt>control</dt><dd>The base after the same further training, without the compression.</dd>" in text
    assert str(explained("a database & base-line", set())) == "a database &amp; base-line"


def test_figures_stand_in_the_page_and_the_matrix_is_that_of_the_worst_attack(tmp_path):
    svg = tmp_path / "figure.svg"
    svg.write_text("<svg/>")
    named = [("answers", {"dataset": "digits"}), *(
        ("heatmap", {"dataset": "digits", "attack": attack}) for attack in ("fgsm-eps0.1", "pgd-eps0.1")
    )]  # fmt: skip
    files = [(kind, names, f"{kind} *of* {names}", svg) for kind, names in named]
    shown = embedded(files, answers())
    assert [figure.caption for figure in shown] == [f"{kind} of {names}" for kind, names in named[:2]]
    assert embedded(files, answers(), most=10) == shown[:1]
    text = page(TEMPLATES, FACTS, tables(), AUDIT, {}, {}, shown)
    assert text.count('<img src="data:image/svg+xml;base64,PHN2Zy8+" alt=') == 2
    assert not re.search(r"(src|href)=(?!\"data:image/svg)|@import|url\(", text)
    assert 'src="data:image/svg+xml;base64,PHN2Zy8+"' in summary(TEMPLATES, FACTS, tables(), AUDIT, shown[:1])


def test_the_worst_slope_of_a_suite_on_a_quantized_model_is_named():
    found = [("straight-through", 100, 40), ("identity", 40, 35), ("smoothed", 35, 34), ("straight-through", 34, 33),
             ("", 33, 20)]  # fmt: skip
    columns = ["gradient", "attacked", "standing"]
    stages = pd.DataFrame([
        {"dataset": "digits", "source": source, "attack": "worst-eps0.1", **dict(zip(columns, row, strict=True))}
        for source in ("float", "int2") for row in found
    ])  # fmt: skip
    models = pd.DataFrame({"dataset": "digits", "model": ["float", "int2"], "bits": [32, 2]})
    assert slopes(stages, models) == [
        "int2 (digits) under worst-eps0.1: images broken with each slope, of what those before it left: "
        "straight-through 61, identity 5, smoothed 1; identity is the worst of the others, and finds what "
        "straight-through does not."
    ]
    alone = stages[stages["gradient"].isin(["", "straight-through"])]
    assert slopes(alone, models) == []
    useless = stages.assign(
        standing=stages["standing"].where(stages["gradient"].eq("straight-through"), stages["attacked"])
    )
    assert slopes(useless, models)[0].endswith("identity 0, smoothed 0; no slope finds more than straight-through.")
    text = page(TEMPLATES, {**FACTS, "slopes": slopes(stages, models)}, tables(), AUDIT, {}, {})
    assert text.index("Slopes of rounding") < text.index("identity is the worst of the others")


def test_a_verdict_in_words():
    table = verdicts()
    row = next(row for row in table.itertuples() if row.verdict == Verdict.LESS)
    assert sentence(row, "FGSM, eps 0.1") == (
        "CNN-8, standard training, filter 50 %, standard fine-tuning: less robust than its base to FGSM, eps 0.1 "
        "(each attacked itself; verdict on these models): −10.0 points [−13.0, −7.0]; clean images −2.0, images that "
        "both classify rightly −1.0: mostly clean accuracy"
    )
    favoured = next(row for row in table.itertuples() if row.verdict == Verdict.TRANSFERS_WORSE)
    said = sentence(favoured, "FGSM, eps 0.1")
    assert "(images made for its base, which favours it; verdict on these models): +20.0 points" in said


def test_only_shown_differences_are_told_and_nothing_that_transfers_worse():
    told = sentences(verdicts(2), SENTENCES)
    assert len(told) == 2
    assert all("less robust" in line and "filter 50 %" in line for line in told)


def test_of_several_seeds_the_sentences_are_about_trainings():
    told = sentences(verdicts(2, seeds=3), SENTENCES)
    assert len(told) == 2 and all("verdict on trainings" in line for line in told)


def test_what_is_left_out_of_a_list_is_counted():
    assert sentences(verdicts(50), SENTENCES)[-1] == f"and {50 - SENTENCES} more in verdicts.csv"


def test_counts_say_no_more_than_the_table():
    said = counted(verdicts(2), 0.02)
    assert "8 comparisons" in said and "verdicts on these models: 0 more robust, 2 less robust, 0 equivalent" in said
    assert "in 4 images made for another model transfer worse, 2 without" in said
    assert "In 4 comparisons the images were made for one of the two models" in said
    assert "With 1 seed and 200 images, a difference below 4.0 points could not be shown (median)." in said
    beyond = counted(verdicts(2).assign(detectable=2.653), 0.02)
    assert "With 1 seed and 200 images, no difference could have been shown (median)." in beyond
    assert "One seed says nothing of other trainings." in said
    assert "may differ from their bases in their training, too, so no verdict says what compression did." in said
    assert counted(verdicts()[:0], 0.02) == "The study compares no compressed model with its base."


def test_kinds_of_verdict_are_counted_apart():
    said = counted(verdicts(2, seeds=3), 0.02)
    assert "One seed" not in said
    assert said.count("8 comparisons of a compressed model") == 2
    assert said.index("verdicts on trainings: 0 more robust, 2 less") < said.index("verdicts on these models: 0 more")
    assert "In 4 comparisons the images" in said


def test_what_compression_did_is_told_first_and_apart():
    table = verdicts(2)
    both = pd.concat([table, table.assign(against="control", isolates_compression=True)])
    said = counted(both, 0.02)
    assert "with its base under attack (as shipped)" in said
    assert "with its control under attack (because of compression: trained alike)" in said
    assert "so no verdict says" not in said
    told = sentences(both, SENTENCES)
    assert ["than its control" in line for line in told] == [True, True, False, False]


def test_the_matrix_has_a_row_per_model_and_source():
    matrix = verdict_matrix(verdicts(3))
    assert matrix.columns[2:5] == ["against its", "images", "verdict on"]
    assert matrix.columns[5:] == ["FGSM, eps 0.1", "a1, eps 0.1", "a2, eps 0.1"]
    assert len(matrix.rows) == 4
    assert len(verdict_matrix(verdicts(3, seeds=2)).rows) == 8
    assert all(all(row) for row in matrix.rows)


def test_the_audit_counts_cells():
    assert audited(AUDIT) == (
        "1 checks passed. Cells that failed, and are in no other table or figure: 1. Cells with a warning: 1."
    )
    assert audited(AUDIT[:1]) == "1 checks passed. No cell failed. No cell has a warning."


def test_failures_are_listed_and_warnings_of_one_check_counted():
    reader = Reader()
    warned = [finding(WARNING, f"pgd-eps{eps}") for eps in (0.1, 0.2, 0.2)]
    reader.feed(
        page(TEMPLATES, FACTS, tables(verdicts()[:0]), [finding(FAILURE, "a"), finding(FAILURE, "b"), *warned], {}, {})
    )
    assert reader.cells.count(FAILURE) == 2 and reader.cells.count(WARNING) == 1
    row = reader.cells[reader.cells.index(WARNING) :]
    assert row[2] == "2" and row[3].startswith("pgd-eps0.1, crafted on ")


def test_a_study_without_compressions_has_a_page():
    text = page(TEMPLATES, FACTS, tables(verdicts()[:0]), AUDIT[:1], {"clean_accuracy": CLEAN[:0]}, {})
    assert "compares no compressed model" in text


def test_a_large_study_stays_below_what_the_report_can_show():
    many = pd.DataFrame({f"column {number}": ["x" * 90] * 5000 for number in range(20)})
    many["dataset"] = range(5000)
    shown = dict.fromkeys(["wide_models", "wide_stages"], many.astype(str))
    text = page(TEMPLATES, FACTS, tables(verdicts(40)), AUDIT * 300, shown, {})
    assert len(text.encode()) < LARGEST
    assert "of 5000 rows; tables/wide_models.csv has all." in text


# Provenance


def test_packages_are_those_that_the_project_declares_and_the_lock_pins(tmp_path):
    installed = {"Torch": "2.13.0", "torch_pruning": "1.6.1", "numpy": "2.4.6", "jinja2": "3.1.6", "mine": "1"}
    python = f"Python {platform.python_version()}"
    assert provenance.packages(tmp_path, installed) == {"Packages": f"{python}; no pyproject.toml beside the workflow"}
    (tmp_path / "pyproject.toml").write_text('[project]\ndependencies = ["torch>=2,<3", "torch-pruning", "scipy"]\n')
    (tmp_path / "requirements.lock").write_text(
        "torch==2.13.0 \\\n    --hash=sha256:0\ntorch-pruning==1.6.1 \\\njinja2==3.1.5 \\\nscipy==1.17.1 \\\n"
        "numpy==2.4.6 ; python_full_version < '3.12' \\\nnumpy==2.5.5 ; python_full_version >= '3.12' \\\n"
    )
    assert provenance.packages(tmp_path, installed) == {
        "Packages": f"{python}, torch 2.13.0, torch-pruning 1.6.1",
        "Lock": "3 packages have the versions of requirements.lock; unlike it: jinja2 3.1.6",
    }


def test_packages_of_this_repository_are_installed():
    said = provenance.packages(ROOT, {item.name: item.version for item in distributions()})
    assert f"torch {version('torch')}" in said["Packages"]
    assert " packages have the versions of requirements.lock" in said["Lock"]


def test_the_origin_says_what_it_is_of():
    said = provenance.origin(ROOT)
    assert said["Packages"].endswith(", when this page was written")
    assert "; what other code had made would be made again" in said["Commit"]
    assert said["Lock"] == provenance.packages(ROOT, {item.name: item.version for item in distributions()})["Lock"]


def made_with(*versions):
    return pd.DataFrame({"made_with": versions})


def test_what_was_computed_with_is_said_with_its_numbers():
    said = provenance.computed_with(made_with("torch 2", "torch 1", "torch 2"), made_with("torch 2", ""))
    assert said == {"Computed with": "torch 1 (1 model); torch 2 (2 models, 1 set); versions not recorded (1 set)"}


def test_a_warning_says_where_versions_differ():
    now = {"numpy": "2.4.6", "torch": "2.13.0", "scipy": "1"}

    def warned(*versions, installed=now):
        return provenance.other_versions(made_with(*versions[:1]), made_with(*versions[1:]), installed)

    same = "numpy 2.4.6, torch 2.13.0+cpu"
    assert warned(same, same) == warned("", same) == warned(f"{same}; versions not recorded") == warned("") == []
    # Tables are written where there need be no torch.
    assert warned("numpy 2.4.6, torch 2.12.0", installed={"numpy": "2.4.6"}) == []
    assert warned("numpy 2.4.6, torch 2.12.0+cpu") == [
        "Computed with torch 2.12.0+cpu, this page was written with 2.13.0: a rerun may find other numbers"
    ]
    several, *others = warned(same, "numpy 2.4.5, torch 2.13.0")
    assert several.startswith("Models and adversarial images were computed with several versions of packages: numpy ")
    assert "numpy 2.4.5, torch 2.13.0; or numpy 2.4.6, torch 2.13.0+cpu. " in several
    assert others == ["Computed with numpy 2.4.5, this page was written with 2.4.6: a rerun may find other numbers"]
    assert warned(f"{same}; numpy 2.4.6, torch 2.12.0")[0].startswith("Models and adversarial images were computed")


def test_hours_are_summed_by_rule(tmp_path):
    for name, seconds in (("craft/a/x.tsv", 60), ("craft/b.tsv", 30), ("write_tables.tsv", 2)):
        path = tmp_path / "benchmarks" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\th:m:s\n{seconds}\t0:00:00\n")
    files = [
        tmp_path / "benchmarks" / name for name in ("craft/a/x.tsv", "craft/b.tsv", "write_tables.tsv", "gone.tsv")
    ]
    assert provenance.seconds_by_rule(files) == {"craft": 90, "write_tables": 2}
    assert provenance.hours({"craft": 5400, "train": 1800}) == "2.00 in all jobs as last run (craft 1.50, train 0.50)"


def test_passes_are_counted_in_images():
    columns = {"dataset": ["a", "b"], "forwards_per_example": [11, 2], "backwards_per_example": [10, 0]}
    said = provenance.passes(pd.DataFrame(columns), {"a": 100, "b": 7})
    assert said == "1,114 forward and 1,000 backward, counted in images"


def test_a_card_says_no_more_of_its_worst_attack_than_is_so():
    """Another attack left less where nothing could be lost; images made for the base prove nothing in favour."""
    answered = answers().assign(no_stake="PGD, eps 0.1", threat="white-box, Linf up to 0.1")
    told = re.sub("<[^>]+>", "", str(cards(answered, robust_accuracy())[0].sentences[0][1]))
    assert "the worst attack that leaves its base something, " in told
    shown = answers().assign(crafted_on="cnn8.standard.none.none", threat="")
    notes = re.sub("<[^>]+>", "", " ".join(cards(shown, robust_accuracy())[0].notes))
    assert "points: they were not made for it, and what it resists of them proves nothing" in notes
    assert "by training" not in notes
