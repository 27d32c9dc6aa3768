"""The benchmark of the input pipeline, on files that it makes and on files that it is given."""

import re

import pytest

from common.benchmark import __main__ as benchmark
from common.benchmark import input_pipeline
from common.runs import SCRIPTS


@pytest.mark.parametrize("name", SCRIPTS)
def test_synthetic_files_are_measured(name, capsys):
    assert benchmark.main(["input", name, "--images", "70", "--steps", "2"]) == 0
    out = capsys.readouterr().out
    assert "opening 70 images" in out
    for number in ("cached reading.*", "preprocessing, one core", "peak memory"):
        assert int(re.search(rf"^{number}: (\d+)", out, re.MULTILINE)[1]) > 0


def test_given_folder_is_measured(tmp_path, capsys):
    input_pipeline.make_files("celeba", tmp_path, 70)
    assert benchmark.main(["input", "celeba", "--data-dir", str(tmp_path), "--steps", "1"]) == 0
    assert str(tmp_path) in capsys.readouterr().out
    assert benchmark.main(["input", "celeba", "--data-dir", str(tmp_path / "nowhere")]) == 2
    assert "error: " in capsys.readouterr().err
