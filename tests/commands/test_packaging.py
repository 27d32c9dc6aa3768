"""Installing: an editable install works without a warning, any other is refused."""

import pathlib
import shutil
import subprocess
import sys
import zipfile

import pytest

from helpers.paths import ROOT

pytestmark = pytest.mark.fast

HOOK = "import sys; from setuptools import build_meta; getattr(build_meta, sys.argv[1])(sys.argv[2])"
COMMAND = "pip install -e ."


@pytest.fixture
def clone(tmp_path):
    """The files that an installation reads, in a folder of their own."""
    pytest.importorskip("setuptools", minversion="77", reason="needs setuptools 77: pip install -U setuptools")
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "common" / "nn").mkdir(parents=True)
    for package in ("common", "common/nn"):
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / "dist").mkdir()
    return tmp_path


def build(clone, *command):
    """Runs Python with `command` in the folder `clone` and returns the process and all it printed."""
    process = subprocess.run([sys.executable, *command], cwd=clone, capture_output=True, text=True, timeout=60)
    return process, process.stdout + process.stderr


def test_editable_install_adds_the_clone_and_nothing_else(clone):
    process, said = build(clone, "-W", "default", "-c", HOOK, "build_editable", "dist")
    assert process.returncode == 0, said
    assert "warning" not in said.lower()
    (wheel,) = (clone / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (path,) = (name for name in archive.namelist() if ".dist-info/" not in name)
        assert pathlib.Path(archive.read(path).decode().strip()).resolve() == clone.resolve()


def test_source_distribution_has_metadata_and_no_warning(clone):
    process, said = build(clone, "-W", "default", "-c", HOOK, "build_sdist", "dist")
    assert process.returncode == 0, said
    assert "warning" not in said.lower()
    assert [path.name for path in (clone / "dist").iterdir()] == ["infovaegan-0.1.0.tar.gz"]


@pytest.mark.parametrize(
    "command",
    [("-c", HOOK, "build_wheel", "dist"), ("setup.py", "bdist_wheel"), ("setup.py", "install", "--root", "installed")],
    ids=["pip", "bdist_wheel", "install"],
)
def test_other_installs_are_refused_with_the_right_command(clone, command):
    process, said = build(clone, *command)
    assert process.returncode == 1, said
    assert said.strip().endswith(COMMAND) and "Traceback" not in said
    assert not list(clone.rglob("*.whl")) and not (clone / "installed").exists()
