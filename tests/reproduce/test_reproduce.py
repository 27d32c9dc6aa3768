"""The paper in one command: plans, what is trained, and what comes out, with a script that only writes files."""

import contextlib
import dataclasses
import itertools
import json
import os
import re
import signal
import threading
import types

import pytest
from PIL import Image

from common.errors import Interrupted, UserError
from common.evaluation.figures.curves import lines
from common.io.lock import write_lock
from common.reproduce import __main__ as command
from common.reproduce import execute, experiments, outputs, trained
from common.reproduce.experiments import Curves, Experiment, Figure, Table
from common.reproduce.trained import Run
from common.runs import SCRIPTS, load_script
from helpers.paths import ROOT

pytestmark = pytest.mark.fast

# Does what a script does to its folders: trains one epoch per call up to --epochs, evaluates, draws.
SCRIPT = """
import json, pathlib, sys
a = sys.argv[1:]
value = lambda flag, default: a[a.index(flag) + 1] if flag in a else default
out, seed = pathlib.Path(value("--out", ".")), int(value("--seed", 1))
results, models = out / "results" / "R", out / "models" / "R"
for folder in (results, models):
    folder.mkdir(parents=True, exist_ok=True)
print("did", *[x for x in a if x != str(out)])
if "--fail" in a:
    sys.exit("R.py: error: no such flag")
if a[0] not in ("evaluate", "figures"):
    epochs = int(value("--epochs", 3))
    config = {"seed": seed, "epochs": epochs}
    (models / f"R-{10 * epochs}.index").touch()
    (models / "run.json").write_text(json.dumps({"config": config, "data": "d", "step": 10 * epochs}))
if a[0] == "figures" or a[0] != "evaluate" and "--no-evaluate" not in a:
    from PIL import Image
    Image.new("L", (20, 10), 99).save(results / "figure_x.png")
    (results / "figures.json").write_text("{}")
if a[0] == "evaluate" or a[0] != "figures" and "--no-evaluate" not in a:
    run = json.loads((models / "run.json").read_text())
    metrics = {"score": run["step"] / 100 + run["config"]["seed"] / 1000, "floor": 0.5}
    config = {"seed": run["config"]["seed"], "name": "R"}
    (results / "metrics.json").write_text(json.dumps({"config": config, "step": run["step"], "metrics": metrics}))
"""
FIRST = Experiment("mnist/first", "first", "mnist", ("--x", "1"), "0.3")
SECOND = Experiment("mnist/second", "second", "mnist")
THIRD = Experiment("mnist/third", "third", "mnist")
TABLE = Table("A table", (FIRST, SECOND), "score", ("floor",), (("third", "0.25"),), seeds=2)


@pytest.fixture
def scripts(tmp_path, monkeypatch):
    """A checkout whose script for MNIST is `SCRIPT`, where a run takes 60 s, and a clock that gains 1 s per look."""
    (tmp_path / "checkout").mkdir()
    (tmp_path / "checkout" / "InfoVAE_MNIST.py").write_text(SCRIPT)
    monkeypatch.setattr(trained, "_ROOT", tmp_path / "checkout")
    monkeypatch.setattr(execute, "time", types.SimpleNamespace(monotonic=itertools.count().__next__))
    monkeypatch.setattr(execute, "step_seconds", lambda _: 2.0)
    monkeypatch.setattr(execute, "steps_of", lambda _: 30)
    monkeypatch.setattr(trained, "config_of", lambda _: type("Config", (), {"epochs": 3}))
    return tmp_path / "runs"


def measured(run, score, step=20, config=None, **more):
    """Write what `evaluate` writes for a run of which only that is kept."""
    run.folder.mkdir(parents=True)
    config = {"seed": run.seed, "name": "R", **(config or {})}
    report = {"config": config, "step": step, "metrics": {"score": score, **more}, "data": "d", "versions": {"p": "1"}}
    (run.folder / "metrics.json").write_text(json.dumps(report))


def test_a_plan_has_the_seeds_asked_for_and_those_there(tmp_path):
    measured(Run.of(FIRST, 7, tmp_path), 0.1)
    plan = command.Plan.of({"t": TABLE, "f": Figure("F", ((SECOND, "x.png"),))}, tmp_path, None)
    assert [(str(run), run.measured()) for found in plan.runs.values() for run in found] == [
        ("mnist/first seed 1", False), ("mnist/first seed 2", False), ("mnist/first seed 7", True),
        ("mnist/second seed 1", False), ("mnist/second seed 2", False),
    ]  # fmt: skip
    assert len(command.Plan.of({"t": TABLE}, tmp_path, 3).missing()) == 6


def test_missing_runs_are_trained_and_others_reused(scripts, capsys):
    measured(Run.of(FIRST, 2, scripts), 0.4)
    plan = command.Plan.of({"t": TABLE}, scripts, None)
    command.carry_out(plan, scripts, None)
    shown = [line for line in capsys.readouterr().out.splitlines() if line.startswith("[")]
    assert shown[0].startswith("[1/3, 3 min left] mnist/first seed 1: did --x 1 --seed 1 --resume auto --out")
    assert [line.split("]")[0] for line in shown] == ["[1/3, 3 min left", "[2/3, 2 min left", "[3/3, 58 s left"]
    assert not plan.missing()
    command.carry_out(plan, scripts, None)
    assert not capsys.readouterr().out


def test_half_a_run_is_resumed_and_a_trained_one_measured(scripts):
    run = Run.of(FIRST, 1, scripts)
    execute.execute(run, [run.training("--no-evaluate")], lambda line: None)
    assert run.trained() and not run.measured()
    command.train(run, (), ["--data-dir", "D"], execute.Progress({run: 1.0}))
    did = [line for line in (run.folder / "log.txt").read_text().splitlines() if line.startswith("did")]
    assert did[1:] == ["did evaluate --out --data-dir D", "did figures --out --data-dir D"]
    assert run.measured() and run.seconds() > 0


def test_measures_are_remembered_after_each_epoch(scripts):
    run = Run.of(FIRST, 1, scripts)
    command.train(run, ("score", "floor", "absent"), [], execute.Progress({run: 1.0}))
    assert run.history() == {"score": {10: 0.101, 20: 0.201, 30: 0.301}, "floor": {10: 0.5, 20: 0.5, 30: 0.5}}
    item = Curves("Curves", (FIRST, SECOND), "score", "floor")
    paths = outputs.write("figure9", item, {FIRST: [run], SECOND: []}, scripts)
    assert json.loads(paths[1].read_text())["floor"] == 0.5
    text = paths[0].read_text()
    assert (
        "| first | 0.10 | 0.20 | 0.30 |" in text and "is 0.50" in text and "no run has what is shown: second." in text
    )
    (run.folder / "history.json").write_text("[]")
    with pytest.raises(UserError, match="history.json is damaged"):
        run.history()


@pytest.mark.parametrize("measures", [(), ("score",)])
@pytest.mark.parametrize("stop", range(1, 8))
def test_what_is_stopped_anywhere_is_continued(scripts, monkeypatch, measures, stop):
    """A plan that ends before its command number `stop` is continued by the next one, which leaves nothing to do."""
    run, commands = Run.of(FIRST, 1, scripts), itertools.count(1)
    item = Curves("C", (FIRST,), "score", "floor") if measures else dataclasses.replace(TABLE, rows=(FIRST,), seeds=1)

    def execute_until(*arguments, number=execute._execute):
        if next(commands) == stop:
            raise Interrupted(signal.SIGTERM, "stopped")
        number(*arguments)

    monkeypatch.setattr(execute, "_execute", execute_until)
    plan = command.Plan.of({"i": item}, scripts, None)
    with contextlib.suppress(Interrupted):
        command.carry_out(plan, scripts, None)
    assert bool(plan.missing()) == (stop < next(commands))
    command.carry_out(plan, scripts, None)
    assert run.done() and not plan.missing() and run.report()["metrics"]["score"] == 0.301
    assert not measures or run.history()["score"] == {10: 0.101, 20: 0.201, 30: 0.301}


def test_a_measured_run_without_figures_is_only_drawn(scripts):
    run = Run.of(FIRST, 1, scripts)
    execute.execute(run, [run.training("--no-evaluate"), run.command("evaluate")], lambda line: None)
    assert run.measured() and not run.done()
    assert dict(command.estimate([run])) == {run: 0.0}
    command.train(run, (), [], execute.Progress({run: 0.0}))
    assert (run.folder / "log.txt").read_text().splitlines()[-1] == "did figures --out" and run.done()


def test_a_script_that_fails_ends_the_plan_in_one_line(scripts):
    run = Run.of(Experiment("mnist/bad", "bad", "mnist", ("--fail",)), 1, scripts)
    with pytest.raises(UserError, match=r"--fail .* ended with exit code 1: R.py: error: no such flag \(more in .*log"):
        command.train(run, (), [], execute.Progress({run: 1.0}))


WAITING = "import time; print('ready', flush=True); time.sleep(60)"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_reaches_the_script_and_ends_the_plan(scripts, number):
    (trained._ROOT / "InfoVAE_MNIST.py").write_text(WAITING)
    run = Run.of(FIRST, 1, scripts)
    kill = threading.Timer(0.0, os.kill, (os.getpid(), number))
    with pytest.raises(Interrupted, match="The same command continues") as error:
        execute.execute(run, [run.training()], lambda line: kill.start())
    assert error.value.exit_code == 128 + number


def test_a_script_ends_if_its_output_cannot_be_shown(scripts):
    (trained._ROOT / "InfoVAE_MNIST.py").write_text(f"{WAITING} if not print('x' * 10**6) else 0")
    run = Run.of(FIRST, 1, scripts)

    def closed(line):
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        execute.execute(run, [run.training()], closed)


def test_a_table_has_every_seed_and_its_statistics(tmp_path):
    for seed, score in ((1, 0.2), (2, 0.3), (3, 0.4)):
        measured(Run.of(FIRST, seed, tmp_path), score, floor=seed)
    runs = [Run.of(FIRST, seed, tmp_path) for seed in (1, 2, 3)]
    paths = outputs.write("table9", TABLE, {FIRST: runs, SECOND: []}, tmp_path)
    text, facts = paths[0].read_text(), json.loads(paths[1].read_text())
    row = "| first | 0.3 | 0.300 | 0.100 | 0.400 | 0.200 | 3 | 20 |  | `python InfoVAE_MNIST.py --x 1` |"
    assert row in text and "- first: 0.200 (1), 0.300 (2), 0.400 (3)" in text
    assert "| third (quoted by the paper) | 0.25 |" in text
    assert "| second |  | not run |  |  |  |  |  |  | `python InfoVAE_MNIST.py" in text
    assert "Made by `python -m common.reproduce table9`." in text
    preset = dataclasses.replace(TABLE, preset="light")
    text = outputs.write("table9", preset, {FIRST: runs, SECOND: []}, tmp_path)[0].read_text()
    assert "Made by `python -m common.reproduce table9 --preset light`." in text
    assert facts["rows"][0]["by_seed"] == {"1": 0.2, "2": 0.3, "3": 0.4} and facts["rows"][0]["floor"] == 2.0
    with Image.open(paths[2]) as picture:
        assert picture.width > 400


def test_synthetic_data_is_named_in_title_and_file(tmp_path):
    run = Run.of(FIRST, 1, tmp_path)
    measured(run, 0.5, config={"name": "R-synthetic"})
    paths = outputs.write("table9", TABLE, {FIRST: [run]}, tmp_path)
    assert [path.name for path in paths] == [f"table9-synthetic.{ending}" for ending in ("md", "json", "png")]
    assert paths[0].read_text().startswith("# A table (synthetic images)")


def test_a_figure_stacks_pictures_of_its_runs(scripts):
    run = Run.of(FIRST, 1, scripts)
    command.train(run, (), [], execute.Progress({run: 1.0}))
    execute.execute(run, [run.command("figures")], lambda line: None)
    item = Figure("A figure", ((FIRST, "figure_x.png"), (SECOND, "figure_x.png")))
    _, facts, picture = outputs.write("figure9", item, {FIRST: [run], SECOND: []}, scripts)
    assert json.loads(facts.read_text())["systems"] == [
        {"system": "first", "seed": 1, "command": "python InfoVAE_MNIST.py --x 1", "data": "", "versions": {}}
    ]
    with Image.open(picture) as sheet:
        assert sheet.convert("L").getpixel((5, sheet.height - 5)) == 99


def test_a_figure_names_the_rows_that_were_drawn(scripts):
    """The picture with rows of other runs is drawn once, and its text names those rows alone."""
    item = Figure("A figure", ((FIRST, "figure_x.png"),), also=(SECOND, THIRD))
    measured(Run.of(THIRD, 1, scripts), 0.4)  # No checkpoint is left that could add a row.
    plan = command.Plan.of({"f": item}, scripts, None)
    command.carry_out(plan, scripts, None)
    first, seconds = plan.runs[FIRST][0], plan.runs[FIRST][0].seconds()
    models = scripts / "mnist/second/seed1/models/R"
    drawn = [line for line in (first.folder / "log.txt").read_text().splitlines() if "figures" in line]
    assert drawn[-1] == f"did figures --out --also {models}" and first.seconds() == seconds
    command.carry_out(plan, scripts, None)
    assert len([line for line in (first.folder / "log.txt").read_text().splitlines() if "figures" in line]) == len(
        drawn
    )
    text, facts, _ = outputs.write("figure9", item, plan.measured(), scripts)
    assert [one["system"] for one in json.loads(facts.read_text())["systems"]] == ["first", "second"]
    assert "no run has what is shown: third." in text.read_text()


def test_only_its_own_runs_make_an_item_synthetic(tmp_path):
    first, other = Run.of(FIRST, 1, tmp_path), Run.of(SECOND, 1, tmp_path)
    measured(first, 0.5)
    measured(other, 0.5, config={"name": "R-synthetic"})
    first.remember(["score"])
    item = Curves("Curves", (FIRST,), "score", "floor")
    assert outputs.write("figure9", item, {FIRST: [first], SECOND: [other]}, tmp_path)[0].name == "figure9.md"


@pytest.mark.parametrize("changes", [{"step": 30}, {"config": {"rate": 2}}, {"config": {"name": "R-synthetic"}}])
def test_seeds_that_differ_in_more_are_not_averaged(tmp_path, changes):
    runs = [Run.of(FIRST, seed, tmp_path) for seed in (1, 2)]
    measured(runs[0], 0.5, config={"rate": 1})
    measured(runs[1], 0.5, **changes)
    with pytest.raises(UserError, match="seed2"):
        outputs.write("table9", TABLE, {FIRST: runs}, tmp_path)


def test_a_command_has_the_precision_of_its_runs(tmp_path):
    run = Run.of(FIRST, 1, tmp_path)
    measured(run, 0.5, config={"precision": "bfloat16"})
    text, facts, _ = outputs.write("table9", TABLE, {FIRST: [run]}, tmp_path)
    row = json.loads(facts.read_text())["rows"][0]
    assert row["command"] == "python InfoVAE_MNIST.py --x 1 --precision bfloat16" and row["command"] in text.read_text()
    assert row["data"] == ["d"] and row["versions"] == [{"p": "1"}]


@pytest.mark.parametrize(
    ("found", "message"),
    [("[]", "cannot be read"), ('{"config": {"seed": 5}, "step": 1, "metrics": {"score": 1}}', "is of seed 5, not 1"),
     ('{"config": {"seed": 1}, "step": 1, "metrics": {}}', "has no score")],
)  # fmt: skip
def test_damaged_or_foreign_metrics_are_refused(tmp_path, found, message):
    run = Run.of(FIRST, 1, tmp_path)
    run.folder.mkdir(parents=True)
    (run.folder / "metrics.json").write_text(found)
    with pytest.raises(UserError, match=message):
        outputs.write("table9", TABLE, {FIRST: [run]}, tmp_path)
    assert not list(tmp_path.glob("table9*"))


def test_curves_reach_from_the_first_to_the_last_step():
    picture = lines("T", "step", {"a": {0: 1.0, 10: 3.0}, "b": {5: 2.0}}, floor=0.5)
    colours = {colour for _, colour in picture.getcolors(1 << 20)}
    assert {(31, 90, 166), (200, 90, 20)} <= colours


def test_dry_run_prints_the_plan_and_writes_nothing(scripts, capsys):
    arguments = ["table1", "--runs", str(scripts), "--seeds", "1", "--preset", "light", "--dry-run"]
    assert command.main(arguments) == 0
    printed = capsys.readouterr().out
    assert "table1: 0 runs are there, 12 are missing" in printed and "About 12 min of training" in printed
    assert "python InfoVAE_MNIST.py --preset light --seed 1 --resume auto --out" in printed
    assert not scripts.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("table1 --seeds 0", "--seeds must be at least 1, got 0"),
        ("table1 --preset lite", "did you mean light?"),
        ("table1 --data-dir none", "--data-dir none is not a folder"),
        ("table1 --runs /dev/null/r --no-training", "name another --runs"),
    ],
)
def test_wrong_arguments_are_named(capsys, arguments, message):
    assert command.main(arguments.split()) == 2
    assert message in capsys.readouterr().err


def test_synthetic_runs_are_not_taken_for_real_ones(tmp_path, capsys):
    measured(Run.of(Experiment("dsprites/light", "", "dsprites"), 1, tmp_path), 0.5, config={"name": "R-synthetic"})
    (tmp_path / "data" / "dsprites").mkdir(parents=True)
    arguments = ["table2", "--preset", "light", "--runs", str(tmp_path), "--dry-run"]
    assert command.main([*arguments, "--data-dir", str(tmp_path / "data")]) == 2
    assert "is of synthetic images" in capsys.readouterr().err


def test_a_second_plan_in_the_same_folder_is_refused(tmp_path, capsys):
    with write_lock(tmp_path):
        assert command.main(["table2", "--runs", str(tmp_path)]) == 2
    assert "name another --runs" in capsys.readouterr().err


def test_every_item_is_asked_for_by_all():
    presets = dict.fromkeys(("mnist", "dsprites", "celeba", "3dchairs"), ("light",))
    items = experiments.items(presets, "light")
    assert {"table1", "table2", "figure2", "figure3a", "figure3e", "figure4", "chairs"} <= items.keys()
    names = [one.name for one in items["table1"].rows]
    assert len(set(names)) == len(names)
    assert {one.data for item in items.values() if isinstance(item, Table | Curves) for one in item.rows} == {
        "mnist", "dsprites", "celeba"
    }  # fmt: skip


def test_curves_compare_systems_at_the_same_settings():
    items = experiments.items({**dict.fromkeys(("mnist", "dsprites", "3dchairs"), ()), "celeba": ("light",)}, "light")
    assert [one.flags for one in items["figure3e"].rows] == [
        ("--preset", "light"),
        ("--preset", "light", "--no-mutual-information"),
        ("--model", "infogan", "--preset", "light"),
    ]


def test_a_figure_shows_each_run_once():
    presets = dict.fromkeys(("mnist", "dsprites", "celeba", "3dchairs"), ("light", "paper"))
    figure = experiments.items(presets, "paper")["figure2"]
    names = [one.name for one in figure.also]
    assert names == ["mnist/infogan_tuned", "mnist/paper", "mnist/paper_mi"]


# Such as 12 minutes | 95.42 | 96.78 (97.26), 8 seeds, lowest 96.18; all but the mean may be missing.
IN_README = re.compile(
    r"(?:(\d+) minutes \|[^|\n]*\| )?(\d+\.\d+)(?: \((\d+\.\d+)\))?, (?:(\d+) seeds(?:, lowest (\d+\.\d+))?|one seed)"
)


def test_kept_tables_are_made_of_the_kept_runs(tmp_path):
    """The tables in results/ hold the numbers of the runs there, and the README has numbers of those tables alone."""
    presets = {name: tuple(load_script(script)[1]) for name, script in SCRIPTS.items()}
    minutes = {}
    for name, preset in (("table1", None), ("table2", "light")):
        table = experiments.items(presets, preset)[name]
        plan = command.Plan.of({name: table}, ROOT / "results", None)
        text, facts, _ = outputs.write(name, table, plan.measured(), tmp_path)
        assert text.read_text() == (ROOT / "results" / text.name).read_text()
        for row in json.loads(facts.read_text())["rows"]:
            mean, best, lowest = (outputs.number(table, row[one]) for one in ("mean", "best", "lowest"))
            seeds = str(len(row["by_seed"]))
            written = ((mean, best, seeds, ""), (mean, best, seeds, lowest)) if seeds != "1" else ((mean, "", "", ""),)
            minutes |= dict.fromkeys(written, row["minutes"])
    found = IN_README.findall((ROOT / "README.md").read_text())
    assert len(found) > 5
    for time, *numbers in found:
        took = minutes[tuple(numbers)]
        assert not time or took is None or time == f"{took:.0f}"


@pytest.mark.parametrize(
    ("name", "preset"),
    [
        *((name, "light") for name in ("chairs", "figure3a", "figure3b", "figure3c", "figure3d", "figure3e")),
        *((name, "tuned") for name in ("figure2", "figure4")),
    ],
)
def test_kept_figures_are_of_the_kept_runs(name, preset, tmp_path):
    """Not compared pixel by pixel, since the captions depend on Pillow's version."""
    presets = {name: tuple(load_script(script)[1]) for name, script in SCRIPTS.items()}
    item = experiments.items(presets, preset)[name]
    plan = command.Plan.of({name: item}, ROOT / "results", None)
    text = outputs.write(name, item, plan.measured(), tmp_path)[0]
    assert text.read_text() == (ROOT / "results" / text.name).read_text()
    assert (ROOT / "results" / text.name).with_suffix(".png").is_file()
    (asked,) = re.findall(rf"`python -m common.reproduce (\w+) --preset {preset}`", text.read_text())
    assert name.startswith(asked) and command.parser([asked]).parse_args([asked]).items == [asked]
