"""The README against the code: its commands, its files and the tests it names exist."""

import re
import runpy

import pytest

from common import cli
from common.benchmark import __main__ as benchmark
from common.evaluation import summary
from helpers.paths import ROOT

pytestmark = pytest.mark.fast

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_ci_runs_the_test_command_of_the_readme_literally():
    commands = re.findall(r"^python3 -m venv .*$", README, re.MULTILINE)
    assert len(commands) == 2
    assert commands[1] in (ROOT / ".ci" / "run").read_text().splitlines()


def test_every_test_it_names_exists():
    names = set(re.findall(r"`(test_\w+)`", README))
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").glob("test_*.py"))
    assert names and {name for name in names if f"def {name}(" not in tests} == set()


def test_every_flag_it_names_exists():
    script = runpy.run_path(str(ROOT / "InfoVAE_MNIST.py"))
    helps = (
        "".join(
            cli.parser(script["CONFIG"], "", command, tuple(script["PRESETS"])).format_help()
            for command in cli.COMMANDS
        )
        + benchmark.parser("mnist").format_help()
        + summary.parser().format_help()
    )
    named = set(re.findall(r"--[a-z][a-z0-9-]*[a-z0-9]", re.sub(r"python3 -m venv [^&]*", "", README)))
    assert {flag for flag in named if flag not in helps} == set()


def test_every_script_and_picture_it_names_exists():
    scripts = set(re.findall(r"InfoVAE_\w+\.py", README))
    assert scripts == {path.name for path in ROOT.glob("InfoVAE_*.py")}
    for picture in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README):
        assert (ROOT / picture).is_file()
