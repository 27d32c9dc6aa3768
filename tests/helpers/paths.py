"""Where things are: the repository, its tests, and material that only its developers have."""

import pathlib

TESTS = pathlib.Path(__file__).parents[1]
ROOT = TESTS.parent
RECORDINGS = TESTS / "recordings"  # Of the original under TF1.
GOLDEN_IMAGES = RECORDINGS / "images"
SHARED = ROOT.parent / "shared"  # Tests that need it are skipped where it is absent.
