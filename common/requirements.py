"""What must be there before anything else is imported: a Python that is new enough, and the packages.

Every Python reads this file, Python 2 too: no annotations and no f-strings.
"""

import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OLDEST, NEWEST = (3, 10), (3, 13)  # As in setup.py; so are the versions below.
PACKAGES = (  # Name in Python, name for pip, lowest version.
    ("tensorflow", "tensorflow", (2, 21)),
    ("keras", "keras", (3,)),  # TensorFlow brings it, and TensorFlow Probability brings tf_keras.
    ("tensorflow_datasets", "tensorflow-datasets", (4, 9, 10)),
    ("importlib_resources", "importlib_resources", ()),
    ("tensorflow_probability", "tensorflow-probability", (0, 25)),
    ("tf_keras", "tf-keras", ()),
    ("numpy", "numpy", (2, 0)),
    ("PIL", "pillow", (11, 0)),
)


def check():
    """End a program of this project in one line, with exit code 2, if something is missing.

    Raises:
        ImportError: the same, where the package is imported by another program.
    """
    problem = _unfit_python() or _unfit_packages()
    if not problem:
        return
    main = getattr(sys.modules.get("__main__"), "__file__", None) or ""  # None for `python -c` and in notebooks.
    of_module = sys.argv[:1] == ["-m"]  # Python is looking for `python -m common...`.
    if not of_module and (not main or os.path.dirname(os.path.abspath(main)) != ROOT):
        raise ImportError(problem)
    name = "common" if of_module else os.path.basename(main)
    if sys.stderr is not None:
        sys.stderr.write(name + ": error: " + problem + "\n")
    sys.exit(2)


def _unfit_python():
    if sys.version_info < OLDEST:
        return "Python " + _dotted(sys.version_info[:3]) + " is too old: " + install_command()
    return None


def _unfit_packages():
    from importlib import metadata, util

    missing, old = [], []
    for module, package, lowest in PACKAGES:
        spec = util.find_spec(module)
        if spec is None or spec.origin is None:  # The latter: an empty folder of that name.
            missing.append(package)
            continue
        folder = os.path.dirname(os.path.dirname(os.path.abspath(spec.origin)))
        if not spec.submodule_search_locations or folder == os.path.abspath(sys.path[0]):
            return spec.origin + " hides the package " + package + ": rename it, or move it elsewhere"
        try:
            found = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue  # It comes under another name, such as tensorflow-cpu.
        if _numbers(found) < lowest:
            old.append(package + " " + found + " (needed: " + _dotted(lowest) + ")")
    if missing:
        return ", ".join(missing) + " not installed for " + (sys.executable or "this Python") + ": " + install_command()
    return "too old: " + ", ".join(old) + ": " + install_command() if old else None


def install_command():
    """Return the command that installs everything."""
    in_root = "cd '" + ROOT + "' && "
    if sys.version_info < OLDEST or sys.version_info[:2] > NEWEST:
        make = "install Python " + _dotted(OLDEST) + " to " + _dotted(NEWEST) + ", then " + in_root
        return make + "python" + _dotted(NEWEST) + " -m venv --upgrade-deps .venv && .venv/bin/pip install -e ."
    if sys.flags.no_site:
        return "start Python without -S, which hides them"
    if sys.prefix != sys.base_prefix:
        return in_root + "'" + sys.executable + "' -m pip install -e ."
    make = in_root + "python3 -m venv --upgrade-deps .venv && .venv/bin/pip install -e ."
    python = os.path.join(ROOT, ".venv", "bin", "python")
    return "use " + python + ", or " + make if os.path.exists(python) else make


def _dotted(version):
    return ".".join(map(str, version))


def _numbers(text):
    """Return the numbers at the beginning of a version."""
    numbers = []
    for part in text.split("."):
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers)
