"""The packages of `common`: what each may import, and that no import leads upwards."""

import ast
import graphlib

import pytest

from helpers.paths import ROOT

pytestmark = pytest.mark.fast

# Package -> the packages that it may import, next to the modules at the top of `common` that define a run.
BELOW = {
    "io": set(),
    "nn": set(),
    "models": {"nn"},
    "data": {"io"},
    "training": {"data", "io", "models"},
    "evaluation": {"data", "io", "models", "nn"},
    "tf1": {"io", "models", "nn", "training"},
    "benchmark": {"data", "io", "models", "nn"},
    "reproduce": {"benchmark", "evaluation", "io", "training"},
}
LIGHT = {"config", "errors", "evaluation_options", "fields", "options", "program", "requirements", "run_json", "runs"}
LIGHT |= {"sample_options", "suggestions", "surroundings", "threads"}


def module_name(file):
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports():
    """Package or top module of `common` -> those that it imports, inside functions too."""
    modules = {module_name(file): file for file in (ROOT / "common").rglob("*.py")}
    graph = {}
    for name, file in modules.items():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("common"):
                full = [f"{node.module}.{alias.name}" for alias in node.names]
                found = [each if each in modules else node.module for each in full]
            elif isinstance(node, ast.Import):
                found = [alias.name for alias in node.names if alias.name.startswith("common.")]
            else:
                continue
            own = graph.setdefault((name.split(".") + [""])[1], set())
            own.update(other.split(".")[1] for other in found if "." in other)
    return {name: others - {name} for name, others in graph.items()}


def test_no_import_leads_upwards():
    assert list(graphlib.TopologicalSorter(imports()).static_order())


@pytest.mark.parametrize("package", BELOW)
def test_a_package_knows_only_those_below_it(package):
    known = imports().get(package, set())
    assert known & BELOW.keys() <= BELOW[package]
    assert known - BELOW.keys() <= LIGHT | ({"cli"} if package in ("benchmark", "reproduce") else set())
