"""TensorFlow's own notices, which its C++ libraries write to stderr while they are loaded."""

import os
import sys
import tempfile

VERBOSE = "INFOVAEGAN_VERBOSE"  # Environment variable: show them.


def import_tensorflow() -> None:
    """Import TensorFlow without its start-up notices. They are shown if it fails, or if INFOVAEGAN_VERBOSE is set."""
    if "tensorflow" in sys.modules or os.environ.get(VERBOSE):
        return
    with tempfile.TemporaryFile() as notices:
        sys.stderr.flush()
        stderr = os.dup(2)
        os.dup2(notices.fileno(), 2)
        try:
            import tensorflow  # noqa: F401
        except Exception:  # Not if a signal ends it.
            notices.seek(0)
            os.write(stderr, notices.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
