"""Tools for the original TF1 code: python -m common.tf1 {compare,export,import} ... (--help says more)."""

import sys

from common.tf1 import checkpoints, compare


def main(argv: list[str] | None = None) -> int:
    """Runs one of the commands and returns its exit code."""
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["compare"]:
        return compare.main(argv[1:])
    return checkpoints.main(argv)


if __name__ == "__main__":
    sys.exit(main())
