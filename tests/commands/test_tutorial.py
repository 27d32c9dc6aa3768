"""docs/tutorial.ipynb: its cells run in order, on a shorter training run; its pictures are there, and it is small.

The cells are run in one namespace, which needs no Jupyter.
"""

import contextlib
import io
import json

import pytest

from common.models.registry import spec_of
from helpers.paths import ROOT

DOCS = ROOT / "docs"
NOTEBOOK = DOCS / "tutorial.ipynb"
SHORTER = {"steps_per_epoch=900": "steps_per_epoch=4", "take(0, 6000)": "take(0, 100)"}


def cells():
    """The code cells."""
    return [cell for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]


@pytest.mark.fast
def test_the_notebook_is_small_and_has_its_pictures():
    assert NOTEBOOK.stat().st_size < 300_000
    outputs = [output for cell in cells() for output in cell["outputs"]]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 7
    assert not any(output["output_type"] == "error" for output in outputs)
    assert [cell["execution_count"] for cell in cells()] == list(range(1, len(cells()) + 1))


def test_the_notebook_runs(monkeypatch):
    monkeypatch.chdir(DOCS)
    names, source, printed = {"__name__": "__main__"}, "", io.StringIO()
    for cell in cells():
        source += "".join(cell["source"]) + "\n"
    for long, short in SHORTER.items():
        assert long in source
        source = source.replace(long, short)
    with contextlib.redirect_stdout(printed):
        exec(compile(source, "docs/tutorial.ipynb", "exec"), names)
    assert names["fonts"].config.name == "fonts" and spec_of(names["fonts"].config).model == "infovaegan"
    assert (names["codes"].category == names["codes"].probabilities.argmax(axis=1)).all()
    assert "Epoch 1/1 took" in printed.getvalue()
