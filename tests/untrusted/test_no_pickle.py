"""What ruff's rules in pyproject.toml leave open of one promise: nothing in the code runs what it reads."""

import re

import pytest

from helpers.paths import ROOT

pytestmark = pytest.mark.fast

FILES = sorted([*ROOT.glob("*.py"), *(ROOT / "common").rglob("*.py")])
DANGER = re.compile(r"allow_pickle *=(?! *False)|safe_mode *=(?! *True)|\.extract\(|(?<![.\w])(compile|__import__)\(")


def test_it_runs_nothing_that_it_reads():
    assert ROOT / "common/io/npz.py" in FILES
    assert {file.name: found[0] for file in FILES if (found := DANGER.search(file.read_text(encoding="utf-8")))} == {}


@pytest.mark.parametrize(
    "source",
    [
        "read_array(f, allow_pickle=True)",
        "np.load(f, allow_pickle=unsafe)",
        "deserialize(f, safe_mode=False)",
        "archive.extract(m)",
        "x = compile(x, '', 'exec')",
        "__import__(x)",
    ],
)
def test_danger_is_found(source):
    assert DANGER.search(source)


@pytest.mark.parametrize(
    "source", ["model.compile()", "re.compile(x)", "read_array(f, allow_pickle=False)", "extract(x)"]
)
def test_harmless_call_is_not_found(source):
    assert not DANGER.search(source)
