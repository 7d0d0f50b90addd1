"""What a run needs of the shell and the folders that it is started in, checked before anything runs."""

import locale
from pathlib import Path

from squeezeproof.errors import InputError


def check_surroundings(workflow: str | Path, encoding: str | None = None, folder: str | Path | None = None) -> None:
    """Raise InputError with every problem at once.

    Args:
        workflow: the folder of the rules.
        encoding: in which Python reads and writes text here; that of the locale by default.
        folder: the working directory; the current one by default.
    """
    encoding, problems = encoding or locale.getpreferredencoding(False), []
    if encoding.lower().replace("-", "").replace("_", "") != "utf8":
        problems.append(
            f"the locale: text is written as {encoding} here, and tables would differ between machines; run "
            "`export PYTHONUTF8=1` first"
        )
    for path in dict.fromkeys(map(str, (workflow, folder or Path.cwd()))):
        if "{" in path or "}" in path:
            problems.append(f"the folder {path}: Snakemake takes braces in it for a wildcard; rename it")
    if problems:
        raise InputError("Nothing was run:\n" + "\n".join(f"  - {problem}" for problem in problems))
