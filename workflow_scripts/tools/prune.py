"""Lists what a study's plan no longer names, and with --yes removes it: `prune.py [--yes] CONFIG [OVERLAY ...]`.

It looks below results/{study} and data/prepared and nowhere else. Prepared data stays where this study, config.yaml or
a file of studies/ names it, and where results of a study that is none of these have a data set of its name. Logs and
benchmarks go with the jobs that they are of.
"""

import sys
from pathlib import Path

# The library is not installed; it lies beside this folder.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from readers import while_read
from show_plan import configured, read_config

from squeezeproof.errors import InputError
from squeezeproof.study.errors import ConfigError
from squeezeproof.study.plan import Study
from squeezeproof.study.prune import PREPARED, stale_data, stale_results, unclear_data

ROOT = Path(__file__).resolve().parents[2]
LOCKS = Path(".snakemake/locks")
# Folders that a line names.
SHOWN = 4


def other_studies(root):
    """The studies of config.yaml and of studies/; raises InputError where one of them is none."""
    studies = []
    for path in (root / "config.yaml", *sorted((root / "studies").glob("*.yaml"))):
        try:
            studies.append(Study(configured(path)))
        except ConfigError as error:
            raise InputError(
                f"{path}: what it needs of {PREPARED} is not known, so nothing is removed. {error}"
            ) from None
    return studies


def listed(stale, reason):
    for path, size in stale:
        print(f"{size:>14,}  {path}")
    print(f"{sum(size for _, size in stale):>14,}  bytes in {len(stale)} files {reason}\n")


def main(paths, remove, root=ROOT):
    if remove and any(LOCKS.glob("*")):
        sys.exit(f"{LOCKS}: a run is under way here; wait for its end (after a killed one: snakemake --unlock)")
    try:
        study = Study(read_config(paths))
        others = other_studies(root)
        results = stale_results(study, remove)
        data = stale_data([study, *others], remove)
        unclear, folders = unclear_data([study, *others])
    except (ConfigError, InputError, OSError) as error:
        sys.exit(str(error))
    listed(results, f"that the plan of {study.name} does not name")
    listed(data, f"of {PREPARED} that neither this study nor config.yaml nor a file of studies/ names")
    if unclear:
        shown = ", ".join(folders[:SHOWN]) + (f" and {len(folders) - SHOWN} more" if folders[SHOWN:] else "")
        listed(
            unclear,
            f"of {PREPARED} that stay: {shown}, whose study is not known here, may be made from them; once these "
            f"results are removed, they are too",
        )
    if results or data:
        print("They are removed." if remove else "YES=1 removes them.")


if __name__ == "__main__":
    arguments = [argument for argument in sys.argv[1:] if argument != "--yes"]
    if not arguments:
        sys.exit(__doc__)
    with while_read(0):
        main(arguments, remove=len(arguments) < len(sys.argv) - 1)
