"""Start and end of a program: its log, its errors, its exit code."""

import argparse
import signal
import sys
from collections.abc import Callable

from common import surroundings
from common.errors import Interrupted, UserError
from common.logs import log_to_stdout
from common.training.signals import Stop


def parser(prog: str, description: str | None) -> argparse.ArgumentParser:
    """Return a parser of `prog`, the program as it is typed; --help shows the lines of `description` as they are."""
    kind = argparse.RawDescriptionHelpFormatter
    return argparse.ArgumentParser(prog, description=description, allow_abbrev=False, formatter_class=kind)


def run(prog: str, command: Callable[[], int | None]) -> int:
    """Run `command` and return the exit code: what it returns, 0 for None, or that of an error.

    An error is printed in one line after `prog`, the program as it is typed.
    """
    surroundings.take_over()
    log_to_stdout()
    try:
        code = command() or 0
        sys.stdout.flush()
        return code
    except UserError as error:
        return _end(prog, str(error) if isinstance(error, Interrupted) else f"error: {error}", error.exit_code)
    except BrokenPipeError:  # As in `--help | head`.
        return 128 + signal.SIGPIPE
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _end(prog, f"error: {where}{error.strerror or error}", 2)
    except KeyboardInterrupt as stop:
        return _end(prog, str(stop) or "stopped", 128 + (stop.number if isinstance(stop, Stop) else signal.SIGINT))
    finally:
        try:
            sys.stdout.flush()
        except OSError:  # Already said. Python would try again at the end, and complain.
            surroundings.drop_stdout(BrokenPipeError())


def _end(prog: str, message: str, code: int) -> int:
    surroundings.tell(f"{prog}: {message}")
    return code
