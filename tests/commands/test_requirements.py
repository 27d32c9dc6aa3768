"""A Python that is too old, or lacks a package, says so in one line before anything else."""

import ast
import re
import subprocess
import sys
from importlib import metadata, util

import pytest

from common import requirements
from helpers.paths import ROOT

pytestmark = pytest.mark.fast

SCRIPTS = [path.name for path in ROOT.glob("InfoVAE_*.py")]


@pytest.fixture
def answer(monkeypatch, capsys):
    """Run the check as a script does; returns what it prints, None if all is well."""

    def check():
        monkeypatch.setattr(sys.modules["__main__"], "__file__", str(ROOT / "InfoVAE_MNIST.py"), raising=False)
        try:
            requirements.check()
        except SystemExit as end:
            assert end.code == 2
            error = capsys.readouterr().err
            assert error.startswith("InfoVAE_MNIST.py: error: ") and error.count("\n") == 1
            return error
        return None

    return check


def test_this_python_has_everything(answer):
    assert answer() is None


@pytest.mark.parametrize("name", [*SCRIPTS, "common/__init__.py", "common/requirements.py"])
def test_an_old_python_can_read_it(name):
    text = (ROOT / name).read_text(encoding="ascii")  # Python 2 reads nothing else.
    tree = ast.parse(text, feature_version=(3, 4))
    assert not any(isinstance(node, ast.JoinedStr | ast.AnnAssign) for node in ast.walk(tree))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    assert not any(f.returns or any(a.annotation for a in f.args.args) for f in functions)


@pytest.mark.parametrize("name", SCRIPTS)
def test_nothing_that_old_pythons_lack_is_imported_before(name):
    tree = ast.parse((ROOT / name).read_text(encoding="ascii"))
    first, second, *_ = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = [alias.name for alias in first.names]
    assert names == ["sys"] and isinstance(second, ast.ImportFrom) and second.module == "common.cli"


@pytest.mark.parametrize("version", [(2, 7, 18), (3, 6, 15), (3, 9, 18)])
def test_an_old_python_is_told_which_is_needed(version, answer, monkeypatch):
    monkeypatch.setattr(sys, "version_info", version)
    said = answer()
    assert f"Python {version[0]}.{version[1]}.{version[2]} is too old: install Python 3.10 to 3.13" in said
    assert ".venv/bin/pip install -e ." in said


def test_missing_packages_are_named_with_the_command(answer, monkeypatch):
    found = util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda name: None if name in ("numpy", "PIL") else found(name))
    said = answer()
    assert "error: numpy, pillow not installed for " in said and "pip install -e ." in said
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    assert "python3 -m venv --upgrade-deps .venv && .venv/bin/pip install -e ." in answer()
    monkeypatch.setattr(sys, "version_info", (3, 14, 0))
    assert "install Python 3.10 to 3.13, then " in answer()


def test_another_program_gets_an_import_error(monkeypatch):
    monkeypatch.setattr(util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="tensorflow, keras, .* not installed"):
        requirements.check()


def test_an_old_package_is_named_with_both_versions(answer, monkeypatch):
    found = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "1.26.4" if name == "numpy" else found(name))
    assert "error: too old: numpy 1.26.4 (needed: 2.0): " in answer()


def test_a_package_under_another_name_counts(answer, monkeypatch):
    def version(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", version)  # As tensorflow-cpu.
    assert answer() is None


@pytest.mark.parametrize("name", ["keras.py", "numpy/__init__.py"])
def test_a_file_that_hides_a_package_is_named(name, answer, tmp_path, monkeypatch):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    monkeypatch.syspath_prepend(tmp_path)
    module = name.split("/")[0].removesuffix(".py")
    monkeypatch.delitem(sys.modules, module, raising=False)
    assert f"{tmp_path / name} hides the package {module}: rename it" in answer()


def test_an_empty_folder_hides_nothing(answer, tmp_path, monkeypatch):
    (tmp_path / "keras").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert answer() is None


def test_the_versions_are_those_of_the_installation():
    text = (ROOT / "setup.py").read_text()
    oldest, past = re.findall(r'python_requires=">=3\.(\d+),<3\.(\d+)"', text)[0]
    assert requirements.OLDEST == (3, int(oldest)) and requirements.NEWEST == (3, int(past) - 1)
    text = text.replace("{TENSORFLOW}", re.findall(r'TENSORFLOW = "(.*)"', text)[0])
    wanted = dict(re.findall(r'^ +f?"([\w-]+)(?:\[tf\])?>=([\d.]+),', text.split("extras_require")[0], re.MULTILINE))
    ours = {package: ".".join(map(str, lowest)) for _, package, lowest in requirements.PACKAGES if lowest}
    assert ours == wanted | {"keras": "3"}


@pytest.mark.parametrize("arguments", [["InfoVAE_MNIST.py", "--help"], ["-m", "common.tf1", "--help"]], ids=str)
def test_a_process_without_packages_ends_in_one_line(arguments):
    command = [sys.executable, "-B", "-S", *arguments]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert process.returncode == 2 and process.stdout == "" and process.stderr.count("\n") == 1
    assert "tensorflow, keras, " in process.stderr and "start Python without -S" in process.stderr
