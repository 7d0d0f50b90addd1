"""The kinds of sabotage that the audit catches, and of sound variations, are counted where people read of them."""

from conftest import ROOT
from test_sabotage_attacks import SABOTAGE as ATTACKS
from test_sabotage_models import SABOTAGE as MODELS
from test_sabotage_nearly import SABOTAGE as NEARLY
from test_sabotage_predictions import SABOTAGE as PREDICTIONS
from test_sabotage_sets import SABOTAGE as SETS
from test_sabotage_settings import SABOTAGE as SETTINGS
from test_sabotage_sound import SOUND

KINDS = (ATTACKS, MODELS, NEARLY, PREDICTIONS, SETS, SETTINGS)


def test_the_documentation_counts_them():
    text = (ROOT / "docs" / "read_the_tables.md").read_text()
    checks = [check for kinds in KINDS for _, check, _ in kinds.values()]
    tried, seen = len(checks), sum(check is not None for check in checks)
    assert f"in {tried} ways" in text and f"{seen} are caught" in text
    assert f"{len(SOUND)} sound variations" in text
    # No name hides another.
    assert len(set().union(*KINDS)) == tried
    assert f"{seen} of the {tried} kinds of sabotage" in (ROOT / "README.md").read_text()
