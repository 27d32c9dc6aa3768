"""The scripts as a user runs them: as processes."""

import os
import subprocess
import sys

from helpers.paths import ROOT


def run(*arguments, home, **kwargs):
    """Runs a script and returns the finished process."""
    environment = {**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=400,
        **kwargs,
    )
