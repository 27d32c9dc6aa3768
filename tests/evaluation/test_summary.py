"""The table of several runs: values by hand, runs that do not belong together, files that are something else."""

import json
import re

import pytest

from common.evaluation import summary
from common.run_json import provenance

pytestmark = pytest.mark.fast

STDEV = 0.1  # Of 0.8, 0.9 and 1.0.


@pytest.fixture
def write(make_config, tmp_path):
    """`write(seed, value, **changes)`: the metrics.json of a run, in a folder of its own; returns the folder."""

    def run(seed, value, step=30, metrics=None, **changes):
        folder = tmp_path / f"{seed}-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        report = {
            **provenance(make_config(seed=seed, **changes), "digits"),
            "step": step,
            "metrics": metrics or {"accuracy": value, "fid": 3 * value},
        }
        (folder / "metrics.json").write_text(json.dumps(report))
        return str(folder)

    return run


def test_values_by_hand(write, tmp_path, capsys):
    runs = [write(1, 0.8), write(2, 1.0), write(5, 0.9)]
    assert summary.main([*runs[:2], f"{runs[2]}/metrics.json", "--json", str(tmp_path / "all.json")]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        ["seed", "accuracy"],
        ["1", "0.8000"],
        ["2", "1.0000"],
        ["5", "0.9000"],
        ["mean", "0.9000"],
        ["smallest", "0.8000"],
        ["largest", "1.0000"],
        ["standard", "deviation", "0.1000"],
    ]
    written = json.loads((tmp_path / "all.json").read_text())
    assert written["step"] == 30 and "seed" not in written["config"] and written["config"]["learning_rate"] == 2e-4
    accuracy = written["metrics"].pop("accuracy")
    assert accuracy == {
        "by_seed": {"1": 0.8, "2": 1.0, "5": 0.9},
        "mean": pytest.approx(0.9),
        "smallest": 0.8,
        "largest": 1.0,
        "standard_deviation": pytest.approx(STDEV),
    }
    assert not written["metrics"]


def test_chosen_metrics_and_a_single_run(write, capsys):
    assert summary.main([write(1, 0.8), "--metrics", "fid", "accuracy"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        ["seed", "fid", "accuracy"],
        ["1", "2.4000", "0.8000"],
        ["mean", "2.4000", "0.8000"],
        ["smallest", "2.4000", "0.8000"],
        ["largest", "2.4000", "0.8000"],
    ]


def test_quick_results_are_refused(write, tmp_path, capsys):
    run = write(1, 0.8)
    file = tmp_path / run / "metrics.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "quick": True}))
    assert summary.main([run]) == 2
    assert "was measured at small sizes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"learning_rate": 1e-3}, "differs from .*: learning_rate is 0.001, not 0.0002"),
        ({"step": 40}, "measured at step 40, .* at 30"),
        ({"seed": 1}, "the same seed twice: 1, 1"),
        ({"metrics": {"fid": 1.0}}, "seed 2 has no metric accuracy; it has: fid"),
        ({"metrics": {"accuracy": float("nan")}}, "has no metric accuracy; it has: none"),
    ],
)
def test_runs_that_do_not_belong_together_are_refused(write, capsys, other, said):
    runs = [write(1, 0.8), write(**{"seed": 2, "value": 0.9, **other})]
    assert summary.main(runs) == 2
    printed = capsys.readouterr()
    assert re.fullmatch(f"python -m common.evaluation.summary: error: .*{said}\n", printed.err) and not printed.out


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"metrics": 3, "config": {}, "step": 1}',
        '{"metrics": {}, "config": {}, "step": 1}',
        '{"metrics": {}, "config": {"seed": true}, "step": 1}',
        "[" * 100_000,
    ],
)
def test_files_that_are_something_else_are_refused(tmp_path, capsys, text):
    (tmp_path / "other.json").write_text(text)
    assert summary.main([str(tmp_path / "other.json")]) == 2
    assert "other.json cannot be read" in capsys.readouterr().err


def test_a_file_that_is_not_there_is_refused(tmp_path, capsys):
    assert summary.main([str(tmp_path)]) == 2
    assert "metrics.json cannot be read (FileNotFoundError)" in capsys.readouterr().err
