"""What a tool does where nobody reads on, as in `make plan | head -1`: it ends without a word, as Unix tools do."""

import os
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def while_read(status: int = 128 + signal.SIGPIPE) -> Generator[None]:
    """Ends the process quietly where what is printed within cannot be written, as its reader has gone.

    Args:
        status: the exit status then; 0 of a tool that only shows something, of which whoever reads had enough. One that
            ends with an error of its own keeps that.
    """
    try:
        try:
            yield
        finally:
            # Where the process was started without a standard output there is none.
            if sys.stdout is not None:
                sys.stdout.flush()
    except BrokenPipeError as error:
        # Python flushes once more as it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        own = error.__context__
        if isinstance(own, SystemExit) and own.code not in (0, None):
            raise own from None
        sys.exit(status)
