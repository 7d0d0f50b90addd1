"""The error a wrong study config ends in."""

from collections.abc import Iterable


class ConfigError(ValueError):
    """Every problem of a study config at once, each with its key, its value and what is allowed."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        count = len(self.problems)
        head = "The study config has a problem" if count == 1 else f"The study config has {count} problems"
        super().__init__(head + "; nothing was run:\n" + "\n".join(f"  - {problem}" for problem in self.problems))
