"""TensorFlow's own notices, which its C++ libraries write to stderr while they are loaded."""

import os
import sys
import tempfile

from common import requirements
from common.errors import UserError, first_line

VERBOSE = "INFOVAEGAN_VERBOSE"  # Environment variable: show them.


def import_tensorflow() -> None:
    """Import TensorFlow and what comes with it, without their start-up notices.

    If INFOVAEGAN_VERBOSE is set, nothing is done, so that all is shown when they are imported.

    Raises:
        UserError: one of them cannot be imported.
    """
    if "tensorflow" in sys.modules or os.environ.get(VERBOSE):
        return
    try:
        temporary = tempfile.TemporaryFile()  # noqa: SIM115
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"cannot write temporary files ({reason}): set TMPDIR to a folder for them") from None
    with temporary as notices:
        sys.stderr.flush()
        stderr = os.dup(2)
        os.dup2(notices.fileno(), 2)
        try:
            import keras  # noqa: F401
            import tensorflow  # noqa: F401
            import tensorflow_probability  # noqa: F401
        except Exception as error:  # Of any kind: other versions, other packages in their place, no memory.
            reason = f"{type(error).__name__}: {first_line(error)}"
            raise UserError(f"TensorFlow cannot be imported ({reason}): {_remedy(error)}") from None
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def _remedy(error: Exception) -> str:
    if isinstance(error, Warning):
        return "start Python without -W error and PYTHONWARNINGS"
    if sys.flags.optimize > 1:
        return "start Python without -OO"
    return f"{requirements.install_command()}; {VERBOSE}=1 shows all"
