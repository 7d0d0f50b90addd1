"""Simulates studies of known truth and writes to docs/verdicts how often verdicts are false."""

import sys
from pathlib import Path

# The library is not installed; it lies beside this folder.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from squeezeproof.pages.simulation_page import simulation_page
from squeezeproof.statistics.simulation import table
from squeezeproof.tables.files import csv_text

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "verdicts"

if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "simulation.csv").write_text(csv_text(table()))
    simulation_page(FOLDER)
