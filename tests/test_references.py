"""Sources are cited by keys of docs/references.bib, or by names that mean one entry of it."""

import re
import unicodedata

import pytest
import references
from conftest import ROOT

BIB = references.read()
# Cited by name: docs/references.bib says why.
WITHOUT_IDENTIFIER = {("wang", "2018"), ("marshall", "2020")}
FOLDERS = ("workflow_scripts", "schemas", "studies", "report", "rules", "tests", "benchmarks", "docs")
SUFFIXES = {".py", ".smk", ".yaml", ".rst", ".js", ".html", ".md"}
NAME, YEAR = r"((?:van der )?[A-ZÀ-Þ][\w-]+)", r"(?:'s)? \(?((?:18|19|20)\d\d)\b"
SEVERAL = re.compile(rf"{NAME}(?: et al\.|(?:,? and| &) [A-ZÀ-Þ][\w-]+){YEAR}")
ANY = re.compile(NAME + YEAR)


def sources():
    """(file, its text in one line) of everything that may cite; a link to a source leaves no doubt and is left out."""
    files = {path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in SUFFIXES}
    files |= {*ROOT.glob("*.md")}
    # Its sources are made up.
    files -= {ROOT / "tests/test_references.py"}
    texts = {path: re.sub(r"\[[^]]*\]\(https?:[^)]*\)", "", path.read_text()) for path in sorted(files)}
    return [(path.relative_to(ROOT), " ".join(text.split())) for path, text in texts.items()]


SOURCES = sources()


def letters(name):
    """A name as it begins a key: `van der Maaten` is vandermaaten."""
    return re.sub("[^a-z]", "", unicodedata.normalize("NFKD", re.sub(r"\\.", "", name)).lower())


AUTHORS = {letters(entry["author"][0]) for entry in BIB.values()}


def named(text):
    """(first author, year) of the sources that a text cites by name."""
    found = [(letters(author), year) for author, year in ANY.findall(text)]
    found = [(author, year) for author, year in found if author in AUTHORS]
    return {*found, *((letters(author), year) for author, year in SEVERAL.findall(text))}


@pytest.mark.parametrize("key", BIB)
def test_an_entry_can_be_found_and_is_cited(key):
    entry = BIB[key]
    assert re.fullmatch(rf"{letters(entry['author'][0])}{entry['year']}[a-z]*", key)
    assert entry["title"]
    assert re.fullmatch(r"10\.\d{4,}/\S+", entry.get("doi", "10.0000/none"))
    assert re.fullmatch(r"\d{4}\.\d{4,5}", entry.get("eprint", "0000.0000"))
    assert entry.keys() & {"doi", "eprint", "url"}
    assert any(key in references.cited(text) for _, text in SOURCES)


@pytest.mark.parametrize(("path", "text"), [pytest.param(*source, id=str(source[0])) for source in SOURCES])
def test_what_a_file_cites_is_in_the_bibliography(path, text):
    for key in references.cited(text):
        assert key in BIB, f"[{key}] is not in docs/references.bib"
    for author, year in named(text) - WITHOUT_IDENTIFIER:
        meant = [key for key in BIB if re.fullmatch(rf"{author}{year}[a-z]*", key)]
        assert len(meant) == 1, f"{author} {year} means {meant or 'no entry'} of docs/references.bib; cite a key"


def test_names_and_keys_are_found_in_a_text():
    assert named("Croce and Hein (2020), See et al. 2016, Holm's (1979), Wilson 1927; CUDA 2020") == {
        ("croce", "2020"), ("see", "2016"), ("holm", "1979"), ("wilson", "1927")
    }  # fmt: skip
    assert references.cited("images [N, C, H, W] [madry2018] and [li2017, he2019], x[i0]") == [
        "madry2018",
        "li2017",
        "he2019",
    ]


def test_keys_become_links():
    entries = {
        "a2017": {"author": ["A", "B"], "year": "2017", "eprint": "1706.00001"},
        "c1998": {"author": ["C", "D", "E"], "year": "1998", "doi": "10.1/<x>"},
        "f1979": {"author": ["F"], "year": "1979", "url": "https://f.org"},
    }
    assert references.linked("as [a2017, c1998] and [f1979].", entries) == (
        "as [A and B 2017](https://arxiv.org/abs/1706.00001), [C et al. 1998](https://doi.org/10.1/%3Cx%3E)"
        " and [F 1979](https://f.org)."
    )
