"""Copies what the README and docs/ show out of finished studies and writes their pages, as docs/pages.yaml says."""

import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import yaml
from PIL import Image

# The library is not installed; it lies beside this folder.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from readers import while_read

from squeezeproof.pages.attack_page import attack_page
from squeezeproof.pages.elsewhere_page import elsewhere_page
from squeezeproof.pages.findings_page import findings_page
from squeezeproof.pages.published_page import published_page
from squeezeproof.pages.readings_page import readings_page
from squeezeproof.pages.reproductions_page import reproductions_page
from squeezeproof.pages.sections import write_audit_in_short
from squeezeproof.study.costs import read_costs
from squeezeproof.tables.files import csv_text, read_table

ROOT = Path(__file__).resolve().parents[2]
HOURS = ["rule", "core_hours"]
AUDIT = "tables/audit.csv"
# Of a photograph; they are chosen to cover its hues, not its pixels, most of which are white and grey.
COLORS = 64
CHROMIUM = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    "--run-all-compositor-stages-before-draw",
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


def copy(study, names):
    """Copy files of one study into docs/{study}; those of a study that was not run stay as they are."""
    source, target = ROOT / "results" / study, ROOT / "docs" / study
    if not source.is_dir():
        print(f"docs/{study}: left as it is, {source.relative_to(ROOT)} does not exist; run the study first")
        return
    if missing := [name for name in names if not (source / name).is_file()]:
        sys.exit(f"{source / missing[0]}: missing; run the study to its end first")
    target.mkdir(parents=True, exist_ok=True)
    for name in names:
        if name == AUDIT:
            # Which of ten thousand cells passed a check is nobody's question of a page.
            write_audit_in_short(target, read_table(source / name))
        else:
            shutil.copyfile(source / name, target / Path(name).name)


def write_hours(study):
    """The core hours of the jobs of a study that was run, by rule; docs/reproductions.md tells their sum."""
    source = ROOT / "results" / study
    if not source.is_dir():
        return
    seconds = Counter()
    for cost in read_costs(source):
        seconds[cost.rule] += cost.cpu_seconds
    hours = pd.DataFrame([(rule, part / 3600) for rule, part in sorted(seconds.items())], columns=HOURS)
    (ROOT / "docs" / study / "hours.csv").write_text(csv_text(hours))


def photograph(study, page, height):
    """A picture of the top of a page of the study in docs/{study}, by Chromium, where there is one.

    Args:
        height: of the window, which is 1280 pixels wide.
    """
    source, browser = ROOT / "results" / study / page, shutil.which("chromium") or shutil.which("google-chrome")
    target = ROOT / "docs" / study / Path(page).with_suffix(".png").name
    if browser is None or not source.is_file():
        print(f"{target.relative_to(ROOT)}: left as it is, {page if browser else 'Chromium'} is missing")
        return
    with TemporaryDirectory() as folder:
        taken = Path(folder) / "page.png"
        options = [f"--user-data-dir={folder}/profile", f"--window-size=1280,{height}", "--virtual-time-budget=8000"]
        command = [browser, *CHROMIUM, *options, f"--screenshot={taken}", source.as_uri()]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        # As sharp as the README shows it, in few bytes.
        picture = Image.open(taken).convert("RGB").resize((960, 3 * height // 4))
        picture.quantize(COLORS, method=Image.Quantize.MAXCOVERAGE).save(target, optimize=True)


def in_few_colors(path):
    """Write a picture anew in 256 colours, more than a figure has but for its smoothed edges: half of the bytes."""
    picture = Image.open(path)
    if picture.mode != "P":
        picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


def configs_of(study):
    """Paths of the config of a study: of what it is an overlay of first."""
    names = [study.partition("-")[0], study] if "-" in study else [study]
    return [f"studies/{name}.yaml" for name in names]


def write_page(study, page):
    """The page of a study from the files beside it."""
    folder, configs = ROOT / "docs" / study, configs_of(study)
    if page["page"] == "attacks":
        attack_page(folder)
        return
    command = f"snakemake --cores 8 --configfile {' '.join(configs)}"
    introduction = f"{page['introduction']} Written by `make docs` from `results/{study}`, which `{command}` makes."
    makers = {"findings": findings_page, "elsewhere": elsewhere_page}
    if page["page"] in makers:
        makers[page["page"]](folder, page["title"], introduction, page["notes"])
        return
    if page["page"] == "readings":
        printed = ROOT / "studies" / "published" / f"{study.partition('-')[0]}.csv"
        readings_page(folder, page["title"], introduction, page, printed)
        return
    names = yaml.safe_load((ROOT / configs[0]).read_text())["published"].get("compressions", {})
    published_page(folder, page["title"], introduction, names, page["notes"])


def main():
    for study, page in yaml.safe_load((ROOT / "docs" / "pages.yaml").read_text()).items():
        copy(study, [*page["copy"], *page.get("figures", [])])
        for name, height in page.get("photograph", {}).items():
            photograph(study, name, height)
        if "page" in page and (ROOT / "docs" / study).is_dir():
            write_hours(study)
            write_page(study, page)
    for path in (ROOT / "docs").glob("**/*.png"):
        in_few_colors(path)
    published = ROOT / "studies" / "published"
    parts, claims = (yaml.safe_load((published / f"{name}.yaml").read_text()) for name in ("parts", "claims"))
    page = reproductions_page(ROOT / "docs", published, parts, claims)
    (ROOT / "docs" / "reproductions.md").write_text(page)


if __name__ == "__main__":
    with while_read():
        main()
