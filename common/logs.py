"""Where the project's log goes: the library logs to the logger `common`; scripts and notebooks print that."""

import logging

from common import surroundings


def log_to_stdout() -> None:
    """Print what the project logs to stdout, as plain lines. Without it, a program chooses its own handlers."""
    logger = logging.getLogger("common")
    if not any(isinstance(handler, _Stdout) for handler in logger.handlers):
        logger.addHandler(_Stdout())
        logger.setLevel(logging.INFO)
        logger.propagate = False  # TensorFlow's import gives the root logger a handler, which would print all again.
        logging.getLogger("tensorflow").addFilter(lambda record: "retracing" not in record.getMessage())


class _Stdout(logging.Handler):
    """Prints messages to what is stdout at that time."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a message."""
        try:
            print(self.format(record), flush=True)
        except OSError as error:  # A run of hours should not end for this.
            surroundings.drop_stdout(error)
