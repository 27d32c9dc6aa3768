"""The benchmark of the data runs on files that it makes itself, and on those it is given."""

import re

import pytest

from common.benchmark import input_pipeline as benchmark


@pytest.mark.parametrize("name", sorted(benchmark.SETS))
def test_it_measures_what_it_makes(name, capsys):
    assert benchmark.main([name, "--images", "70", "--steps", "2"]) == 0
    out = capsys.readouterr().out
    assert "opening 70 images" in out
    for measured in ("cached reading.*", "preprocessing, one core", "peak memory"):
        assert int(re.search(rf"^{measured}: (\d+)", out, re.MULTILINE)[1]) > 0


def test_given_data(tmp_path, capsys):
    benchmark.make_celeba(tmp_path, 70)
    assert benchmark.main(["celeba", "--data-dir", str(tmp_path), "--steps", "1"]) == 0
    assert str(tmp_path) in capsys.readouterr().out
    assert benchmark.main(["celeba", "--data-dir", str(tmp_path / "nowhere")]) == 2
    assert "error: " in capsys.readouterr().err
