"""The sources in docs/references.bib, and texts in which their keys, as in [madry2018], become links."""

import re
from pathlib import Path

BIB = Path(__file__).resolve().parents[2] / "docs" / "references.bib"
KEYS = re.compile(r"\[((?:[a-z]+\d{4}[a-z]*)(?:, [a-z]+\d{4}[a-z]*)*)\]")


def read():
    """Key -> fields of the entry; `author` is a list of family names."""
    entries = {}
    for key, body in re.findall(r"^@\w+\{(\w+),\n(.*?)^\}", BIB.read_text(), re.M | re.S):
        fields = {name: " ".join(value.split()) for name, value in re.findall(r"(\w+) = \{(.*?)\},\n", body, re.S)}
        fields["author"] = [author.split(",")[0] for author in fields["author"].split(" and ")]
        entries[key] = fields
    return entries


def cited(text):
    """The keys in a text, in their order."""
    return [key for keys in KEYS.findall(text) for key in keys.split(", ")]


def linked(text, entries):
    """The text as Markdown, every key replaced by authors and year, which lead to the source."""
    links = {key: f"[{_names(entry['author'])} {entry['year']}]({_address(entry)})" for key, entry in entries.items()}
    return KEYS.sub(lambda match: ", ".join(links[key] for key in cited(match[0])), text)


def _names(authors):
    return authors[0] + " et al." if len(authors) > 2 else " and ".join(authors)


def _address(entry):
    if "doi" in entry:
        return "https://doi.org/" + entry["doi"].replace("<", "%3C").replace(">", "%3E")
    return f"https://arxiv.org/abs/{entry['eprint']}" if "eprint" in entry else entry["url"]
