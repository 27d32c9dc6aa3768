"""The pages and the docstrings against the code: links, anchors, sections, flags, files and tests that
they name exist.
"""

import ast
import functools
import re

import pytest

import InfoVAE_MNIST
from common import flags
from common.models import registry
from helpers.paths import ROOT, TESTS

pytestmark = pytest.mark.fast

KEPT = [TESTS / "recordings" / "README.md", *(ROOT / "results").rglob("README.md")]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *KEPT])
CODE = sorted([*ROOT.glob("*.py"), *(ROOT / "common").rglob("*.py")])
README = (ROOT / "README.md").read_text(encoding="utf-8")
pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def prose(page):
    """A page without its code blocks."""
    return re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)


def anchors(page):
    """What GitHub makes of a page's headings."""
    titles = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pages
def test_links_lead_to_files_and_headings(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if not link.startswith("http"):
            file, _, anchor = link.partition("#")
            target = page.parent / file if file else page
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


@pages
def test_tests_that_a_page_names_exist(page):
    tests = "".join(path.read_text(encoding="utf-8") for path in TESTS.rglob("*.py"))
    files = {path.stem for path in TESTS.rglob("test_*.py")}
    names = set(re.findall(r"`(test_\w+)`", page.read_text(encoding="utf-8")))
    assert {name for name in names - files if f"def {name}(" not in tests} == set()


@functools.cache
def known_flags():
    """The flags of all scripts, commands and systems, and those of the other command lines."""
    code = "".join(path.read_text(encoding="utf-8") for path in CODE)
    known = {"--help", "--help-all", *re.findall(r'add_argument\(\s*"(--[a-z][\w-]*)"', code)}
    for spec in registry.specs():
        config = registry.with_system(InfoVAE_MNIST.CONFIG, spec.model, spec.variant)
        for command in flags.COMMANDS:
            for _, group in flags.groups(command, config, ("tuned",), tf1=True):
                known |= {name for flag in group for name in (flag.flag, flag.alias)}
                known |= {f"--no-{flag.flag[2:]}" for flag in group if flag.negatable}
    return known


def test_test_names_have_at_most_60_characters():
    names = [
        name
        for path in TESTS.rglob("test_*.py")
        for name in re.findall(r"def (test_\w+)", path.read_text(encoding="utf-8"))
    ]
    assert len(names) > 100 and [name for name in names if len(name) > 60] == []


@pages
def test_flags_that_a_page_names_exist(page):
    text = re.sub(r"pip install[^\n`]*|-m venv [^&\n]*|pytest [^\n`]*", "", page.read_text(encoding="utf-8"))
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*[a-z0-9]", text)) - known_flags() == set()


@pages
def test_files_that_a_page_names_exist(page):
    named = re.findall(
        r"`((?:common|tests|docs|results)/[\w/.-]+\.\w+|InfoVAE_\w+\.py)`", page.read_text(encoding="utf-8")
    )
    examples = {  # Of CONTRIBUTING.md.
        "common/data/glyphs.py",
        "InfoVAE_Glyphs.py",
        "common/evaluation/metrics/usage.py",
        "common/models/autoencoder.py",
    }
    assert [name for name in named if name not in examples and not (ROOT / name).exists()] == []


def test_docstrings_cite_sections_that_exist():
    sections = set(
        re.findall(r"^## (\d+)\.", (ROOT / "docs" / "original.md").read_text(encoding="utf-8"), re.MULTILINE)
    )
    for path in CODE:
        text = path.read_text(encoding="utf-8")
        assert "REFERENCE" not in text and "../shared" not in text, path
        for cited in re.findall(r"docs/original\.md, sections? ([\d, and]+)", text):
            assert set(re.findall(r"\d+", cited)) <= sections, path


def test_code_names_pages_that_exist():
    for path in CODE:
        for page in re.findall(r"docs/[\w-]+\.md", path.read_text(encoding="utf-8")):
            assert (ROOT / page).is_file(), (path, page)


def test_the_readme_is_read_in_two_minutes():
    lines = README.splitlines()
    assert len(lines) <= 150 and max(map(len, lines)) <= 120


def test_the_readme_names_every_script():
    assert set(re.findall(r"InfoVAE_\w+\.py", README)) == {path.name for path in ROOT.glob("InfoVAE_*.py")}


def test_the_example_in_the_readme_is_python():
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    ast.parse(example)


def test_ci_runs_the_test_command_of_the_readme_literally():
    commands = re.findall(r"^python3 -m venv .*$", README, re.MULTILINE)
    assert len(commands) == 2
    assert commands[1] in (ROOT / ".ci" / "run").read_text().splitlines()
