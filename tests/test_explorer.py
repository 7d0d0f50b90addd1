"""The explorer page in a real browser without a network: what it shows, says, lets through and looks like."""

import csv
import io
import re
from decimal import ROUND_HALF_UP, Decimal

import pandas as pd
import pytest
from explorer_study import ExplorerStudy

from squeezeproof.store.csvs import writing_csv
from squeezeproof.tables.files import write_table

HOSTILE = "<img src=x onerror=\"document.title='owned'\"></script><script>document.title='owned'</script>"
# Relative luminance and contrast as WCAG 2 defines them, of an element's text on the nearest painted background.
CONTRAST = """elements => elements.map((element) => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const luminance = (color) => color.slice(0, 3).map((value) => value / 255)
    .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
    .reduce((sum, value, channel) => sum + value * [0.2126, 0.7152, 0.0722][channel], 0);
  let behind = element, painted;
  do {
    painted = parse(getComputedStyle(behind).backgroundColor);
    behind = behind.parentElement;
  } while (painted[3] === 0 && behind);
  const style = getComputedStyle(element);
  const ink = element.namespaceURI.includes("svg") ? style.fill : style.color;
  const [low, high] = [luminance(parse(ink)), luminance(painted)].sort((a, b) => a - b);
  return [(high + 0.05) / (low + 0.05), element.outerHTML.slice(0, 120)];
})"""


@pytest.fixture(scope="module")
def invented(tmp_path_factory):
    study = ExplorerStudy(tmp_path_factory.mktemp("invented"), classes=("zero", HOSTILE, "two", "three"))
    (study.folder / "explorer.html").write_text(study.page(question=HOSTILE))
    return study


@pytest.fixture
def page(visit, invented):
    return visit(invented.folder / "explorer.html")


def percent(share):
    return str((Decimal(float(share)) * 100).quantize(Decimal("0.1"), ROUND_HALF_UP))


def chosen(page):
    return page.locator("#matrix [aria-selected=true]")


def test_the_page_loads_and_runs_nothing_that_a_name_holds(page):
    assert page.locator("h1").inner_text() == HOSTILE
    page.wait_for_selector("#images canvas")
    assert page.title() == "invented – robustness explorer"
    assert page.locator("img").count() == 0
    assert HOSTILE in page.locator("#images").inner_text()


def test_every_square_shows_the_number_of_the_table(page, invented):
    over_seeds = invented.table("over_seeds")
    models = {(row.compression, row.ratio): row.model for row in invented.table("compression").itertuples()}
    for attack in ("fgsm-eps0.1", "pgd-eps0.2"):
        page.select_option("#attack", attack.partition("-")[0])
        page.select_option("#eps", attack)
        rows = over_seeds[over_seeds["attack"] == attack]
        expected = {
            (
                models[row.source_compression, row.source_ratio],
                models[row.target_compression, row.target_ratio],
            ): row.mean
            for row in rows.itertuples()
        }
        sources = page.locator("#matrix tbody th").evaluate_all("heads => heads.map(head => head.dataset.source)")[1:]
        targets = page.locator("#matrix thead th").evaluate_all("heads => heads.map(head => head.dataset.target)")
        shown = page.locator("#matrix td[aria-selected]").all_inner_texts()
        assert len(shown) == len(expected) == 9
        for place, text in enumerate(shown):
            source, target = sources[place // 3], targets[place % 3]
            assert text == percent(expected[f"{source}.s0", f"{target}.s0"])


def test_the_facts_are_those_of_the_tables(page, invented):
    page.select_option("#source", "cnn3.standard.none.none")
    page.select_option("#target", "cnn3.standard.weight-90.standard")
    page.select_option("#attack", "pgd")
    page.select_option("#eps", "pgd-eps0.2")
    robust = invented.table("robust_accuracy")
    row = robust[
        (robust["source"] == "cnn3.standard.none.none.s0")
        & (robust["target"] == "cnn3.standard.weight-90.standard.s0")
        & (robust["attack"] == "pgd-eps0.2")
    ].iloc[0]
    assert page.locator("#accuracy").inner_text() == f"{percent(row['accuracy'])} %"
    assert page.locator("#interval").inner_text().endswith(f"{percent(row['low'])} to {percent(row['high'])}")
    assert f"{row['correct']} of {row['n']}; seed 0" in page.locator("#seeds").inner_text()
    verdicts = invented.table("verdicts")
    wanted = (
        (verdicts["attack"] == "pgd-eps0.2")
        & (verdicts["ratio"] == 0.9)
        & (verdicts["source"] == "cnn3.standard.none.none")
    )
    [sentence] = verdicts.loc[wanted, "sentence"]
    assert sentence in page.locator(".verdict").text_content()
    assert page.locator(".effect").inner_text() == (
        "Of the difference to its base: further training −1.2 (−2.0 to 0.0), compression +4.6 (0.0 to +30.0) points "
        "(on these images; these models; each interval by itself)."
    )
    assert "100 (90 % less than its base)" in page.locator("#facts dl").inner_text()


def test_controls_change_everything_that_depends_on_them(page):
    def everything():
        page.wait_for_function("document.querySelectorAll('#images canvas').length")
        parts = ("#matrix", "#facts", "#ratio-chart", "#eps-chart", "#images-note", "#table", "#announcement")
        return {part: page.locator(part).inner_html() for part in parts}

    page.select_option("#attack", "fgsm")
    page.wait_for_function("document.getElementById('images-note').textContent.startsWith('fgsm')")
    before = everything()
    page.select_option("#attack", "pgd")
    page.wait_for_function("document.getElementById('images-note').textContent.startsWith('pgd')")
    after = everything()
    assert [part for part in before if before[part] == after[part]] == []
    page.select_option("#target", "cnn3.standard.none.none")
    assert chosen(page).get_attribute("data-column") == "0"
    page.locator("#matrix td.filled").last.click()
    assert (
        page.locator("#source").input_value()
        == page.locator("#target").input_value()
        == "cnn3.standard.weight-90.standard"
    )
    page.locator("#eps-chart .hit").last.dispatch_event("click")
    assert page.locator("#eps").input_value() == "pgd-eps0.2"


def test_the_images_are_the_stored_ones_and_their_difference(page, invented):
    page.wait_for_selector("#images canvas")
    drawn = page.locator("#images canvas").evaluate_all(
        """list => list.map((one) => one.getContext("2d").getImageData(0, 0, one.width, one.height).data)
          .map((values) => [...values].filter((_, i) => i % 4 === 0))"""
    )
    count = len(drawn) // 3
    assert count == 4
    times = int(re.search(r"change × (\d+)", page.locator("#images").inner_text())[1])
    for clean, attacked, change in zip(drawn[:count], drawn[count : 2 * count], drawn[2 * count :], strict=True):
        assert any((invented.images[index].ravel() == clean).all() for index in range(8))
        assert change == [128 + times * (after - before) for before, after in zip(clean, attacked, strict=True)]
    assert max(abs(value - 128) for strip in drawn[2 * count :] for value in strip) > 64


@pytest.mark.parametrize("scope", ["attack", "pair", "target", "dataset"])
def test_the_download_holds_the_rows_that_are_shown(page, invented, scope):
    page.select_option("#scope", scope)
    page.locator("#table thead button", has_text="Accuracy").click()
    shown = page.locator("#table tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
    )
    with page.expect_download() as download:
        page.click("#download")
    with open(download.value.path(), newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(shown) == {"attack": 9, "pair": 4, "target": 12, "dataset": 36}[scope]
    means = [float(row["accuracy"]) for row in rows]
    assert means == sorted(means, reverse=True)
    robust = invented.table("robust_accuracy").set_index(["source", "target", "attack"])
    for row, line in zip(rows, shown, strict=True):
        found = robust.loc[row["source"] + ".s0", row["target"] + ".s0", f"{row['attack']}-eps{row['eps']}"]
        assert [float(row[name]) for name in ("accuracy", "low", "high", "n")] == list(
            found[["accuracy", "low", "high", "n"]]
        )
        assert line[:2] == [row["source"], row["target"]]
        assert line[5:8] == [percent(row[name]) for name in ("accuracy", "low", "high")]


def test_names_cannot_become_formulas_or_columns(page):
    fields = page.evaluate("""['=1+1', 'a,"b"', '-2', null, -2, 'x'].map(field)""")
    assert fields == ["'=1+1", '"a,""b"""', "'-2", "", "-2", "x"]
    assert next(csv.reader(io.StringIO(",".join(fields)))) == ["'=1+1", 'a,"b"', "'-2", "", "-2", "x"]


def test_the_matrix_is_walked_by_keys_and_its_choice_is_said(page):
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    place = "[document.activeElement.dataset.line, document.activeElement.dataset.column].map(Number)"
    walks = {"Control+Home": [0, 0], "ArrowRight": [0, 1], "ArrowDown": [1, 1], "End": [1, 2], "ArrowUp": [0, 2],
             "Home": [0, 0], "ArrowLeft": [0, 0], "Control+End": [2, 2], "ArrowDown ": [2, 2]}  # fmt: skip
    for key, expected in walks.items():
        page.keyboard.press(key.strip())
        assert page.evaluate(place) == expected, key
        assert page.evaluate("document.activeElement.getAttribute('aria-selected')") == "true"
    assert page.locator("#matrix [tabindex='0']").count() == 1
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    accuracy = chosen(page).inner_text()
    assert f"{accuracy} per cent" in page.locator("[aria-live=polite]").inner_text()
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith(
        f"{accuracy} per cent, crafted on "
    )


def test_warnings_of_the_audit_are_marked_and_explained(page):
    warned = page.locator("#matrix td.warned")
    for attack in ("fgsm-eps0.1", "fgsm-eps0.2", "pgd-eps0.1", "pgd-eps0.2"):
        page.select_option("#attack", attack.partition("-")[0])
        page.select_option("#eps", attack)
        if warned.count():
            break
    assert "the audit warns" in warned.get_attribute("aria-label")
    warned.click()
    said = "white-box at least as strong as transfer (measured 0.5, limit 0.4): transfer breaks more."
    assert page.locator(".note").inner_text() == f"Audit warning, check 14: {said}"


def test_what_one_check_says_of_every_seed_is_one_note_and_a_broken_model_is_marked_whole(visit, tmp_path):
    study = ExplorerStudy(tmp_path, seeds=(0, 1, 2))
    pruned = "cnn3.standard.weight-90.standard"
    runs = study.table("robust_accuracy")
    of_pruned = runs["target"].str.startswith(pruned)
    write_table(study.paths["robust_accuracy"], runs.assign(warnings=of_pruned.map({True: "22", False: ""})))
    said = [f"labels {share}% of the clean images right" for share in (9.1, 9.2, 9.2)]
    rows = [f"digits,*,{pruned}.s{seed},*,22,tells classes apart,,,warning,{text}" for seed, text in enumerate(said)]
    head = study.paths["audit"].read_text().splitlines()[0]
    with writing_csv(study.paths["audit"]) as file:
        file.write("\n".join([head, *rows, ""]))
    (tmp_path / "explorer.html").write_text(study.page())
    page = visit(tmp_path / "explorer.html", f"#attack=pgd-eps0.1&source={pruned}&target={pruned}")
    assert page.locator("#matrix tr.clean td.warned").count() == 1
    assert "of clean images, the audit warns" in page.locator("#matrix tr.clean td.warned").get_attribute("aria-label")
    [note] = page.locator(".note").all()
    assert f"Audit warning, check 22, 3 times: tells classes apart: {said[0]} (the first of 2)." in note.inner_text()
    note.locator("summary").click()
    assert [line.inner_text() for line in note.locator("li").all()] == said[:2]


def test_a_cell_that_failed_the_audit_is_marked_and_has_no_number(visit, tmp_path):
    study = ExplorerStudy(tmp_path)
    base, pruned = "cnn3.standard.none.none", "cnn3.standard.weight-50.standard"
    for name, columns in (("over_seeds", ("none", 0.5)), ("robust_accuracy", (f"{base}.s0", f"{pruned}.s0"))):
        table = study.table(name)
        keys = ("source_compression", "target_ratio") if name == "over_seeds" else ("source", "target")
        failed = (table[keys[0]] == columns[0]) & (table[keys[1]] == columns[1]) & (table["attack"] == "pgd-eps0.1")
        assert failed.sum() == 1
        write_table(study.paths[name], table[~failed])
    known = study.paths["audit"].read_text()
    with writing_csv(study.paths["audit"]) as file:
        file.write(
            f"{known}digits,{base}.s0,{pruned}.s0,pgd-eps0.1,1,inside the ball,0.2,0.1,failure,images leave the ball\n"
        )
    (tmp_path / "explorer.html").write_text(study.page())
    page = visit(tmp_path / "explorer.html", "#attack=pgd-eps0.1")
    page.locator("#matrix td.failed").click()
    assert page.locator("#matrix td.failed").get_attribute("aria-label").startswith("kept out by the audit, ")
    assert "Audit failure, check 1: inside the ball (measured 0.2, limit 0.1)" in page.locator("#facts").inner_text()
    assert page.locator("#accuracy").count() == 0
    assert "1 failure" in page.locator("#scale").inner_text()


def test_the_numbers_tell_the_verdicts_of_a_square_apart(visit, tmp_path):
    """Of images that were made for a model itself there are two: beside its base's own images, and on these."""
    study = ExplorerStudy(tmp_path)
    verdicts = study.table("verdicts")
    variants = study.table("compression").set_index(["compression", "ratio"])["variant"]
    verdicts = verdicts[verdicts["source"] == "cnn3.standard.none.none"]
    source = [variants[row.compression, row.ratio] for row in verdicts.itertuples()]
    own = [verdicts.assign(comparison="white-box", source="itself"), verdicts.assign(source=source)]
    write_table(study.paths["verdicts"], pd.concat(own, ignore_index=True))
    (tmp_path / "explorer.html").write_text(study.page())
    page = visit(tmp_path / "explorer.html")
    cells = page.locator("#table td").all_text_contents()
    several = [cell.split("; ") for cell in cells if "against its base" in cell and "; " in cell]
    assert several and all(len(set(said)) == len(said) for said in several)
    assert any("each attacked itself" in said[0] and "on the same images" in said[1] for said in several)


def test_a_study_without_compressed_models_has_a_page(visit, tmp_path):
    study = ExplorerStudy(tmp_path, architectures=("cnn3", "cnn8"))
    for name in ("verdicts", "effects", "flips", "max_delta"):
        write_table(study.paths[name], study.table(name)[:0])
    (tmp_path / "explorer.html").write_text(study.page())
    page = visit(tmp_path / "explorer.html")
    page.locator("#matrix td.filled").first.click()
    assert page.locator(".verdict").count() == 0


def test_budgets_are_written_as_in_the_study(visit, tmp_path):
    study = ExplorerStudy(tmp_path, eps=(0.1, "8of255"))
    (tmp_path / "explorer.html").write_text(study.page())
    page = visit(tmp_path / "explorer.html", "#attack=pgd-eps8of255")
    assert page.locator("#eps option").all_inner_texts() == ["eps 8/255, linf", "eps 0.1, linf"]
    page.locator("#matrix td.filled").first.click()
    assert "by pgd (eps 8/255, linf)" in page.locator("#facts").inner_text()


def test_the_address_keeps_the_choice(page, visit, invented):
    page.select_option("#attack", "pgd")
    page.locator("#matrix td.filled").nth(5).click()
    fragment = page.evaluate("location.hash")
    again = visit(invented.folder / "explorer.html", fragment)
    assert again.locator("#announcement").inner_text() == page.locator("#announcement").inner_text()
    assert again.locator("#attack").input_value() == "pgd"
    # A choice that the study does not have is replaced by one it has.
    other = visit(invented.folder / "explorer.html", "#attack=nothing&source=%3Cimg%3E&__proto__=x")
    assert chosen(other).count() == 1


@pytest.mark.parametrize("width", [360, 768, 1200, 1600])
def test_no_page_is_wider_than_its_screen(visit, invented, width):
    page = visit(invented.folder / "explorer.html", viewport={"width": width, "height": 700})
    page.wait_for_selector("#images canvas")
    page.select_option("#scope", "dataset")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    beyond = """width => [...document.querySelectorAll('main *')].filter((one) => !one.closest('.scroll, .hidden'))
      .filter((one) => one.getBoundingClientRect().right > width + 1).map((one) => one.outerHTML.slice(0, 80))"""
    assert page.evaluate(beyond, width) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_background(visit, invented, scheme):
    page = visit(invented.folder / "explorer.html", color_scheme=scheme)
    page.wait_for_selector("#images canvas")
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    texts = """h1, h2, .quiet, .eyebrow, label, select, button, dt, dd, #matrix th, .filled, .clean td, .verdict,
      .verdict small, .say span, .link, #table td, .chart text, .key li"""
    measured = page.locator(texts).evaluate_all(CONTRAST)
    assert len(measured) > 100
    assert [weak for weak in measured if weak[0] < 4.5] == []
    # Every colour that a square may have, not only those of this study.
    worst = page.evaluate("""() => Math.min(...Array.from({ length: 201 }, (_, i) => colorOf(i / 200)).map((color) => {
      const [r, g, b] = color.map((value) => value / 255)
        .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
      const behind = 0.2126 * r + 0.7152 * g + 0.0722 * b;
      return inkOn(color) === '#000' ? (behind + 0.05) / 0.05 : 1.05 / (behind + 0.05);
    }))""")
    assert worst >= 4.5


def test_the_colours_can_be_switched_by_hand(page):
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.click("#theme")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before
    page.click("#theme")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == before


@pytest.mark.slow
def test_the_page_is_shown_in_the_report(visit, study):
    study.run("--report", "report.html")
    page = visit(study.path / "report.html")
    page.get_by_text("Explorer", exact=True).first.click()
    page.get_by_text("source x target x attack x eps").first.wait_for()
    uri = page.evaluate("Object.entries(results).find(([name]) => name.endsWith('explorer.html'))[1].data_uri")
    assert len(uri) < 2 * 2**20
    page.evaluate("uri => app.setView({ content: 'html', contentPath: uri })", uri)
    frame = page.frame_locator("iframe")
    frame.locator("#matrix td.filled").first.wait_for()
    frame.locator("#images canvas").first.wait_for()
    frame.locator("#matrix td.filled").last.click()
    assert frame.locator("#matrix [aria-selected=true]").inner_text() in frame.locator("#accuracy").inner_text()
