"""Nothing in the code base can be made to run what it reads: no pickle, no unsafe Keras file, no eval, no shell, no extraction by name."""

import ast

import pytest

from helpers.paths import ROOT

FILES = sorted([*ROOT.glob("*.py"), *(ROOT / "common").rglob("*.py")])
MODULES = {"pickle", "cPickle", "_pickle", "dill", "joblib", "cloudpickle", "shelve", "marshal", "yaml", "code"}
CALLS = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "system",
    "popen",
    "extractall",
    "unpack_archive",
    "load_model",
    "unsafe_load",
    "full_load",
}
FLAGS = {("allow_pickle", True), ("safe_mode", False), ("shell", True)}
OWN = {"compile"}  # keras.Model.compile, and re.compile.


def dangers(source: str) -> list[str]:
    """What could run what it reads in Python source, by name."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            found += [f"import {name}" for name in names if name.split(".")[0] in MODULES]
        elif isinstance(node, ast.Call):
            function = node.func
            name = (
                function.id
                if isinstance(function, ast.Name)
                else function.attr
                if isinstance(function, ast.Attribute)
                else ""
            )
            if (
                name in CALLS
                and not (name in OWN and isinstance(function, ast.Attribute))
                or name == "extract"
                and isinstance(function, ast.Attribute)
            ):
                found.append(f"{name}()")
            given = {(k.arg, k.value.value) for k in node.keywords if isinstance(k.value, ast.Constant)}
            found += [f"{flag}={value}" for flag, value in given & FLAGS]
            if (
                name == "load"
                and isinstance(function, ast.Attribute)
                and getattr(function.value, "id", "") in ("np", "numpy")
                and ("allow_pickle", False) not in given
            ):
                found.append("np.load without allow_pickle=False")
    return found


def test_the_files_are_there():
    assert {"common/io/npz.py", "common/data/chairs.py", "InfoVAE_MNIST.py"} <= {
        str(file.relative_to(ROOT)) for file in FILES
    }


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_it_runs_nothing_that_it_reads(file):
    assert dangers(file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import yaml",
        "np.load(f, allow_pickle=True)",
        "np.load(f)",
        "keras.saving.load_model(f)",
        "eval(x)",
        "exec(x)",
        "compile(x, '', 'exec')",
        "subprocess.run(x, shell=True)",
        "os.system(x)",
        "tarfile.open(f).extractall()",
        "archive.extract(m)",
        "f(safe_mode=False)",
    ],
)
def test_dangers_are_found(source):
    assert dangers(source)


@pytest.mark.parametrize(
    "source", ["model.compile()", "re.compile(x)", "np.load(f, allow_pickle=False)", "extract(x)", "json.loads(x)"]
)
def test_what_is_none_is_not(source):
    assert dangers(source) == []
