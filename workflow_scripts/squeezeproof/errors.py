"""The error that a job ends in when its input or its settings are at fault."""


class InputError(ValueError):
    """A message for the person who runs the study: what is wrong, where, and what to do."""
