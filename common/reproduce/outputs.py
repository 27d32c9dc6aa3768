"""What comes out of a plan: DIR/<item>.md, .json and .png, of the runs that are there."""

import pathlib
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from PIL import Image, ImageDraw

from common.errors import UserError
from common.evaluation import summary
from common.evaluation.figures.curves import lines
from common.evaluation.figures.image_files import save_picture
from common.evaluation.figures.tables import text_size, write_text
from common.io.atomic import atomic_write, write_json
from common.options import SYNTHETIC
from common.reproduce.experiments import Curves, Experiment, Figure, Item, Table, group_of
from common.reproduce.trained import Run, shown
from common.runs import SCRIPTS

_MARGIN, _LINE, _PLOT = 12, 30, 420  # Pixels of a table's picture: around everything; per row; width of the axis.
_DOT, _GREY, _BLUE = 4, (170, 170, 170), (31, 90, 166)


class Row(NamedTuple):
    """The runs of one experiment in numbers.

    Attributes:
        experiment: what they are runs of.
        values: seed -> the table's metric.
        others: further measure -> its mean; those that every run has.
        steps: training steps of a run.
        minutes: of a run, evaluation and figures included, as median; None if not known of all.
        command: that of one run, without folders.
        synthetic: whether they were trained on synthetic data.
        data: where their data came from.
        versions: of Python and packages, one entry per combination.
    """

    experiment: Experiment
    values: Mapping[int, float]
    others: Mapping[str, float]
    steps: int
    minutes: float | None
    command: str
    synthetic: bool
    data: Sequence[str]
    versions: Sequence[Mapping[str, str]]

    @classmethod
    def of(cls, table: Table, experiment: Experiment, runs: Sequence[Run]) -> "Row":
        """Collect measured runs of one experiment.

        Raises:
            UserError: one is damaged or lacks the metric, or two differ in more than their seeds.
        """
        reports = {run.seed: run.report() for run in runs}
        summary.require_alike(list(reports.values()), [run.results for run in runs])
        metrics = [report["metrics"] for report in reports.values()]
        for run, report in zip(runs, reports.values(), strict=True):
            if table.metric not in report["metrics"]:
                raise UserError(f"{run.results} has no {table.metric}: evaluate the run again")
        others = {
            name: statistics.fmean(one[name] for one in metrics)
            for name in table.others
            if all(name in one for one in metrics)
        }
        times = [seconds for run in runs if (seconds := run.seconds()) is not None]
        first = reports[runs[0].seed]
        return cls(
            experiment,
            {seed: report["metrics"][table.metric] for seed, report in reports.items()},
            others,
            first["step"],
            # A run that shared the machine with others for a while took longer.
            statistics.median(times) / 60 if len(times) == len(runs) else None,
            command_of(experiment, first),
            first["synthetic"],
            _different(report["data"] for report in reports.values()),
            _different(report["versions"] for report in reports.values()),
        )

    def summary(self) -> dict[str, Any]:
        """Return mean, standard deviation (None of one value), best and lowest."""
        values = list(self.values.values())
        deviation = statistics.stdev(values) if len(values) > 1 else None
        return {"mean": statistics.fmean(values), "deviation": deviation, "best": max(values), "lowest": min(values)}


def write(name: str, item: Item, runs: Mapping[Experiment, Sequence[Run]], folder: pathlib.Path) -> list[pathlib.Path]:
    """Write an item from the runs that are there; return the files. Nothing is written if there are none.

    Args:
        name: of the item.
        item: the item.
        runs: experiment -> its measured runs.
        folder: where to.

    Raises:
        UserError: a run's files are damaged.
    """
    there = {experiment: found for experiment, found in runs.items() if found}
    if not there:
        return []
    if isinstance(item, Table):
        return _write_table(name, item, there, folder)
    if isinstance(item, Curves):
        return _write_curves(name, item, there, folder)
    return _write_figure(name, item, there, folder)


def _write_table(name: str, table: Table, runs: Mapping[Experiment, Sequence[Run]], folder: pathlib.Path):
    rows = [Row.of(table, one, runs[one]) for one in table.rows if one in runs]
    name, title = _named(name, table.title, any(row.synthetic for row in rows))
    facts = {
        "title": title,
        "rows": [
            {
                "system": row.experiment.label, "paper": row.experiment.paper, "by_seed": row.values, **row.summary(),
                **row.others, "steps": row.steps, "minutes": row.minutes, "command": row.command,
                "data": row.data, "versions": row.versions,
            }
            for row in rows
        ],
        "not_run": [one.label for one in table.rows if one not in runs],
        "quoted": dict(table.quoted),
    }  # fmt: skip
    return _save(name, folder, _table_text(name, title, table, rows), facts, _dots(title, table, rows))


def _cells(table: Table, row: Row) -> list[str]:
    """Return mean, deviation, best, lowest, seeds, steps and minutes of a row as texts."""
    found = [number(table, value) for value in row.summary().values()]
    minutes = "" if row.minutes is None else f"{row.minutes:.0f}"
    return [*found, str(len(row.values)), f"{row.steps:,}", minutes]


def _table_text(name: str, title: str, table: Table, rows: Sequence[Row]) -> str:
    lines = [
        f"# {title}",
        "",
        "| system | paper | mean | deviation | best | lowest | seeds | steps | minutes | command |",
    ]
    lines.append("| --- " * 10 + "|")
    made = {row.experiment: row for row in rows}
    for one in table.rows:
        cells = _cells(table, made[one]) if one in made else ["not run", *[""] * 6]
        command = made[one].command if one in made else command_of(one)
        lines.append(f"| {' | '.join([one.label, one.paper, *cells, f'`{command}`'])} |")
    lines += [f"| {label} (quoted by the paper) | {paper} |" + " |" * 8 for label, paper in table.quoted]
    lines += ["", "## Every seed", ""]
    for row in rows:
        seeds = [f"{number(table, value)} ({seed})" for seed, value in row.values.items()]
        lines.append(f"- {row.experiment.label}: {', '.join(seeds)}")
    if any(row.others for row in rows):
        names = [other for other in table.others if any(other in row.others for row in rows)]
        lines += [
            "",
            "## Other measures, means",
            "",
            f"| system | {' | '.join(names)} |",
            "| --- " * (len(names) + 1) + "|",
        ]
        for row in rows:
            values = [f"{row.others[other]:.4g}" if other in row.others else "" for other in names]
            lines.append(f"| {row.experiment.label} | {' | '.join(values)} |")
    return "\n".join([*lines, "", _made_by(name, table)])


def number(table: Table, value: float | None) -> str:
    """Return a value of a table's metric as it is printed; nothing for None."""
    if value is None:
        return ""
    # Half a hundredth is rounded up, although 98.175 is stored as a little less.
    return f"{100 * value + 1e-9:.2f}" if table.percent else f"{value:.3f}"


def _dots(title: str, table: Table, rows: Sequence[Row]) -> Image.Image:
    """One line per system with a dot per seed and a stroke at the mean."""
    factor = 100 if table.percent else 1
    values = [factor * value for row in rows for value in row.values.values()]
    low, high = min(values), max(values)
    low, high = (low, high) if high > low else (low - 1, high + 1)
    left = _MARGIN * 2 + max(text_size(row.experiment.label)[0] for row in rows)
    top, size = 2 * _MARGIN + text_size(title)[1], _LINE * len(rows)
    width = max(left + _PLOT, text_size(title)[0]) + 2 * _MARGIN + text_size(f"{high:.4g}")[0] // 2
    picture = Image.new("RGB", (width, top + size + 2 * _MARGIN + text_size("0")[1]), "white")
    draw = ImageDraw.Draw(picture)
    write_text(picture, title, (_MARGIN, _MARGIN), (0, 0))
    for index, row in enumerate(rows):
        y = top + _LINE * index + _LINE // 2
        write_text(picture, row.experiment.label, (left - _MARGIN, y), (1, 0.5))
        draw.line((left, y, left + _PLOT, y), fill=(225, 225, 225))
        mean = factor * row.summary()["mean"]
        x = left + (mean - low) / (high - low) * _PLOT
        draw.line((x, y - _LINE // 3, x, y + _LINE // 3), fill=_BLUE, width=2)
        for value in row.values.values():
            x = left + (factor * value - low) / (high - low) * _PLOT
            draw.ellipse((x - _DOT, y - _DOT, x + _DOT, y + _DOT), outline=_BLUE, width=2)
    for fraction in (0, 0.5, 1):
        place = int(left + fraction * _PLOT), top + size + _MARGIN // 2
        write_text(picture, f"{low + fraction * (high - low):.4g}", place, (0.5, 0))
    return picture


def _write_curves(name: str, item: Curves, runs: Mapping[Experiment, Sequence[Run]], folder: pathlib.Path):
    histories = {one: found[0].history() for one, found in runs.items() if one in item.rows}
    shown = {one: history for one, history in histories.items() if item.metric in history}
    if not shown:
        return []
    systems, synthetic = _systems({one: runs[one][0] for one in shown})
    name, title = _named(name, item.title, synthetic)
    points = {one.label: history[item.metric] for one, history in shown.items()}
    floors = [value for history in shown.values() for value in history.get(item.floor, {}).values()]
    floor = statistics.fmean(floors) if floors else None
    absent = [one.label for one in item.rows if one not in shown]
    facts = {"title": title, "metric": item.metric, "curves": points, "floor": floor}
    steps = sorted({step for found in points.values() for step in found})
    text = [f"| system, after steps | {' | '.join(f'{step:,}' for step in steps)} |", "| --- " * (len(steps) + 1) + "|"]
    for label, found in points.items():
        values = (f"{found[step]:.2f}" if step in found else "" for step in steps)
        text.append(f"| {label} | {' | '.join(values)} |")
    text += [] if floor is None else ["", f"Between two sets of real images it is {floor:.2f}."]
    facts |= {"systems": systems, "absent": absent}
    return _save(name, folder, _about(name, item, facts, text), facts, lines(title, "step", points, floor))


def _write_figure(name: str, item: Figure, runs: Mapping[Experiment, Sequence[Run]], folder: pathlib.Path):
    found = [(one, runs[one][0].results / file) for one, file in item.pictures if one in runs]
    found = [(one, path) for one, path in found if path.is_file()]
    if not found:
        return []
    rows = runs[found[0][0]][0].rows()
    also = [one for one in item.also if one in runs and one.name in rows]
    shown = {one: runs[one][0] for one in [*(one for one, _ in found), *also]}
    systems, synthetic = _systems(shown)
    name, title = _named(name, item.title, synthetic)
    pictures = [Image.open(path).convert("RGB") for _, path in found]
    width = max([picture.width for picture in pictures] + [text_size(title)[0] + 2 * _MARGIN])
    top = text_size(title)[1] + 2 * _MARGIN
    sheet = Image.new("RGB", (width, top + sum(picture.height for picture in pictures)), "white")
    write_text(sheet, title, (_MARGIN, _MARGIN), (0, 0))
    for picture in pictures:
        sheet.paste(picture, (0, top))
        top += picture.height
    asked = dict.fromkeys([*(one for one, _ in item.pictures), *item.also])
    absent = [one.label for one in asked if one not in shown]
    facts = {"title": title, "systems": systems, "absent": absent}
    return _save(name, folder, _about(name, item, facts), facts, sheet)


def _systems(runs: Mapping[Experiment, Run]) -> tuple[list[dict[str, Any]], bool]:
    """Return what the systems of a picture are, for people and files, and whether any of them saw synthetic images."""
    reports = {one: run.report() for one, run in runs.items()}
    systems = [
        {
            "system": one.label, "seed": runs[one].seed, "command": command_of(one, report),
            "data": report["data"], "versions": report["versions"],
        }
        for one, report in reports.items()
    ]  # fmt: skip
    return systems, any(report["synthetic"] for report in reports.values())


def _about(name: str, item: Item, facts: Mapping[str, Any], more: Sequence[str] = ()) -> str:
    """Return the text that belongs to a picture: the systems in it, those that are not, and `more` lines."""
    text = [f"# {facts['title']}", "", f"![{facts['title']}]({name}.png)", ""]
    text += [f"- {one['system']}, seed {one['seed']}: `{one['command']}`" for one in facts["systems"]]
    text += ["", f"Absent, as no run has what is shown: {', '.join(facts['absent'])}."] if facts["absent"] else []
    text += ["", *more] if more else []
    return "\n".join([*text, "", _made_by(name, item)])


def _save(name: str, folder: pathlib.Path, text: str, facts: Mapping[str, Any], picture: Image.Image):
    paths = [folder / f"{name}{ending}" for ending in (".md", ".json", ".png")]
    with atomic_write(paths[0]) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    write_json(facts, paths[1])
    save_picture(picture, paths[2])
    return paths


def _named(name: str, title: str, synthetic: bool) -> tuple[str, str]:
    return (f"{name}{SYNTHETIC}", f"{title} (synthetic images)") if synthetic else (name, title)


def command_of(experiment: Experiment, report: Mapping[str, Any] | None = None) -> str:
    """Return the command of one run of an experiment, without folders, with the precision that its `report` names."""
    precision = report["config"].get("precision", "float32") if report else "float32"
    chosen = [] if precision == "float32" else ["--precision", precision]
    return shown([f"{SCRIPTS[experiment.data]}.py", *experiment.flags, *chosen])


def _different(values: Iterable[Any]) -> list[Any]:
    """Return each value once, in order. They need no hash."""
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found


def _made_by(name: str, item: Item) -> str:
    flags = [] if item.preset is None else ["--preset", item.preset]
    return f"Made by `{shown(['-m', 'common.reproduce', group_of(name.removesuffix(SYNTHETIC)), *flags])}`."
