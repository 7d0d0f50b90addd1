"""Story, explorer and the page of two models in a browser: nothing is cut off, nobody is shut out, paper has it all."""

import io

import pandas as pd
import pytest
from explorer_study import ExplorerStudy
from pairwise import paired
from playwright.sync_api import expect
from table_examples import AXES, MODELS, name, verdicts
from test_replacement import answer, faced, outcomes
from test_story import AUDIT, FACTS, TEMPLATES, finding, tables

from squeezeproof.audit.findings import WARNING
from squeezeproof.pages import answer_page
from squeezeproof.pages.embedded import embedded
from squeezeproof.pages.story import page as story_page

WIDTHS = [360, 1200, 1600]
PAGES = ["story", "explorer", "answer"]
# Whether a person sees all of every element: no element beyond the screen, none with a part to scroll to.
CUT_OFF = """width => [...document.querySelectorAll('main *')].filter((one) => !one.closest('.scroll, .hidden'))
  .filter((one) => getComputedStyle(one).clipPath === 'none' && !one.closest('thead'))
  .filter((one) => one.getBoundingClientRect().right > width + 1
    || (one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).overflowX !== 'visible'))
  .map((one) => one.outerHTML.slice(0, 80))"""


def broad():
    """A table of twenty columns of words and numbers, as long as those of a real study."""
    rows = {f"column {number}": ["0.123456", "cnn8.standard.filter-50.standard"][number % 2] for number in range(14)}
    axes = {axis: [model[place] for model in MODELS.values()] for place, axis in enumerate(AXES)}
    return pd.DataFrame({"model": list(map(name, MODELS)), **axes, **rows}).astype(str)


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Name -> path of a page of an invented study."""
    folder = tmp_path_factory.mktemp("pages")
    shown = {"wide_models": broad(), "wide_stages": broad().iloc[:, :9], "clean_accuracy": CLEAN}
    text = story_page(TEMPLATES, FACTS, tables(verdicts(6, seeds=3), seeds=3), AUDIT, shown, {"Commit": "abc"})
    (folder / "story.html").write_text(text)
    study = ExplorerStudy(folder)
    (folder / "explorer.html").write_text(study.page())
    (folder / "answer.html").write_text(page_of_two_models())
    return {name: folder / f"{name}.html" for name in PAGES}


def page_of_two_models():
    """The page of `make check`, with attacks, sentences and a finding as long as real ones."""
    falls, stays = outcomes(2000, 800), outcomes(2000, 1100)
    attacked = [faced(source, falls, stays, entry=f"apgd-{source}") for source in ("base", "compressed")]
    sentence = "PGD of 10 steps at 2/255 and 8/255 (Linf) on either model, tried on both."
    found = [finding(WARNING, message="perturbations reach half of eps; give the attack more steps or restarts")]
    told = {"Base": "my/base.pt, " + "a_long_name_of_a_network_" * 4, "Images": "500 of 3 × 32 × 32, 10 classes"}
    return answer_page.page(answer(*attacked), [sentence] * 3, [sentence] * 2, found, told, 0.02)


CLEAN = pd.DataFrame({"model": ["a", "b"], "accuracy": ["0.9", "0.8"], "low": ["0.8", "0.7"], "high": ["1", "0.9"]})


def opened(page):
    """The page with everything unfolded."""
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    return page


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("which", PAGES)
def test_nothing_is_cut_off_or_hidden_behind_a_scroll_bar(visit, pages, which, width):
    page = opened(visit(pages[which], viewport={"width": width, "height": 800}))
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(CUT_OFF, width) == []
    # The matrix of sources and targets has two dimensions, and is walked by keys.
    boxes = page.locator(".scroll:not(#matrix-box)").evaluate_all(
        "all => all.map((one) => one.scrollWidth - one.clientWidth)"
    )
    assert boxes == [0] * (which == "explorer")


@pytest.mark.parametrize("width", WIDTHS)
def test_every_value_of_a_folded_table_stands_beside_its_name(visit, pages, width):
    page = opened(visit(pages["story"], viewport={"width": width, "height": 800}))
    cells = page.locator("table td").evaluate_all(
        """cells => cells.filter((cell) => cell.textContent).map((cell) => [
          getComputedStyle(cell, '::before').content, cell.dataset.label,
          cell.closest('table').querySelector('thead').getBoundingClientRect().width])"""
    )
    assert len(cells) > 50
    for before, label, head in cells:
        assert label and (before == f'"{label}"' if head <= 1 else before == "none")
    heads = {head <= 1 for _, _, head in cells}
    assert heads == ({True} if width == 360 else {True, False})


@pytest.mark.parametrize(("which", "width", "scheme"), paired(PAGES, WIDTHS, ["light", "dark"]))
def test_axe_finds_nothing(visit, pages, which, width, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = opened(visit(pages[which], viewport={"width": width, "height": 800}, color_scheme=scheme))
    found = axe.run(page).response
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found["violations"]] == []
    assert len(found["passes"]) > 15


# Of a figure as its file has it: points, at which its letters have 9, and pixels.
NARROW, BROAD = 560, 900


@pytest.mark.parametrize("width", WIDTHS)
def test_the_letters_of_figures_can_be_read(visit, tmp_path, width):
    """No figure is shown at much less than its own size; on a phone it is moved sideways, by keys too."""
    drawn = []
    for number, points in enumerate((NARROW, BROAD, NARROW)):
        path = tmp_path / f"{number}.svg"
        path.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" width="{points}pt" height="200pt"/>')
        drawn.append(("effects", {}, f"caption {number}", path))
    figures = embedded(drawn, tables()["answers"])
    assert [figure.wide for figure in figures] == [False, True, False]
    (tmp_path / "story.html").write_text(story_page(TEMPLATES, FACTS, tables(), AUDIT, {}, {}, figures))
    page = visit(tmp_path / "story.html", viewport={"width": width, "height": 800})
    shown = page.locator("figure img").evaluate_all("all => all.map((one) => one.getBoundingClientRect().width)")
    shares = [pixels / (points / 0.75) for pixels, points in zip(shown, (NARROW, BROAD, NARROW), strict=True)]
    assert min(shares) > (0.65 if width == 360 else 0.85)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    assert [one["id"] for one in axe.run(page).response["violations"]] == []


def test_axe_would_find_something(visit, tmp_path):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    (tmp_path / "bad.html").write_text('<p style="color: #eee; background: #fff">pale</p><img src="data:,">')
    found = axe.run(visit(tmp_path / "bad.html")).response["violations"]
    assert {"image-alt", "color-contrast", "document-title"} <= {one["id"] for one in found}


def test_the_story_is_read_by_keys_alone(visit, pages):
    page = visit(pages["story"])
    table = page.locator("#clean-accuracy table")
    expect(table).to_be_hidden()
    seen = []
    for _ in range(12):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.innerText"))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
        if seen[-1] == "Clean accuracy":
            page.keyboard.press("Enter")
            break
    assert seen[0] == "What these words mean"
    expect(table).to_be_visible()


def test_paper_shows_what_the_screen_folds(visit, pages):
    page = visit(pages["story"])
    page.emulate_media(media="print")
    expect(page.locator("#clean-accuracy table")).to_be_visible()
    # On paper a table is a table.
    assert page.locator("#clean-accuracy thead").bounding_box()["height"] > 5
    assert io.BytesIO(page.pdf()).read(4) == b"%PDF"
