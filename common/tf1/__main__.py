"""Compare with the original TF1 code and exchange checkpoints: python -m common.tf1 {compare,export,import}."""

import argparse
import pathlib
import sys

from common import program, surroundings
from common.errors import UserError
from common.io.atomic import write_json
from common.models import registry
from common.options import RUN_FILE
from common.run_json import provenance, read_config
from common.runs import SCRIPTS, load_script, make_writable_folder, open_run


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    p = argparse.ArgumentParser(prog="python -m common.tf1", description=__doc__, allow_abbrev=False)
    commands = p.add_subparsers(required=True, metavar="{compare,export,import}")

    def command(name: str, help: str, run):
        added = commands.add_parser(name, help=help, description=f"{help}.", allow_abbrev=False)
        added.set_defaults(run=run)
        return added

    c = command("compare", "Compare this port with recordings of the original; exit with 1 if it deviates", compare)
    c.add_argument("paths", nargs="+", type=surroundings.path, metavar="RECORDING", help="a .json, or a folder of them")
    c.add_argument("--summary", action="store_true", help="print one line per stage instead of one per number")
    c.add_argument("--iterations", type=int, metavar="N", help="compare at most N training iterations (default: all)")
    c = command("export", "Write a checkpoint of this project as one that TF1's Saver reads", export)
    c.add_argument("checkpoint", type=surroundings.path, help="a checkpoint, NAME-STEP, or a folder, for its newest")
    c.add_argument("prefix", type=surroundings.path, metavar="OUT_PREFIX", help="path to write to, without ending")
    c = command("import", "Write a checkpoint of the original TF1 code as one of this project", import_)
    c.add_argument("path", type=surroundings.path, metavar="PATH", help="its prefix, a file of it, or its folder")
    c.add_argument("folder", type=surroundings.path, metavar="OUT_FOLDER", help="folder to write it and run.json to")
    which = c.add_mutually_exclusive_group(required=True)
    which.add_argument("--script", choices=SCRIPTS.values(), help="script that the checkpoint belongs to")
    which.add_argument(
        "--config", type=surroundings.path, metavar="JSON", help="run.json of such a run, or the output of --dry-run"
    )
    return p


def compare(paths: list[pathlib.Path], summary: bool, iterations: int | None) -> int:
    """Print a table for each recording; 1 if any row fails."""
    if iterations is not None and iterations < 0:
        raise UserError(f"--iterations must be at least 0, got {iterations}")
    import keras

    from common.tf1 import compare as comparison
    from common.tf1.recording import Recording

    failed = False
    for path in comparison.recordings_in(paths):
        rows = comparison.compare(Recording(path), iterations)
        wrong = any(row.verdict == "FAIL" for row in rows)
        failed |= wrong
        print(f"{path}: {'FAIL' if wrong else 'pass'}")
        if not summary:
            print(comparison.table(rows))
        print(comparison.summary(rows), flush=True)
        keras.backend.clear_session()
    return int(failed)


def export(checkpoint: pathlib.Path, prefix: pathlib.Path) -> int:
    """Write `checkpoint` to `prefix` under the original's names."""
    from common.tf1 import checkpoints

    system, _ = open_run(checkpoint, training=True)
    print(f"Wrote {checkpoints.save(system, prefix)} variables to {prefix}")
    return 0


def import_(path: pathlib.Path, folder: pathlib.Path, script: str | None, config: pathlib.Path | None) -> int:
    """Write the TF1 checkpoint at `path` to `folder`, as step 0 of a run: TF1 stored no step."""
    chosen = read_config(config) if config else load_script(str(script))[0]
    from common.tf1 import checkpoints
    from common.training.checkpoints import Checkpoints, saved

    if saved(folder) or (folder / RUN_FILE).exists():
        raise UserError(f"{folder} already holds a run: name another folder")
    system = registry.build(chosen)
    checkpoints.load(system, path)
    make_writable_folder(folder)
    written = Checkpoints(system, folder, chosen.checkpoint_name).save()
    write_json({**provenance(chosen, "unknown: imported from TF1"), "start": str(path)}, folder / RUN_FILE)
    print(f"Wrote {written}")
    return 0


def main(argv: list[str] | None = None) -> int:
    """Run a command and return its exit code."""
    arguments = vars(parser().parse_args(argv))
    return program.run("python -m common.tf1", lambda: arguments.pop("run")(**arguments))


if __name__ == "__main__":
    sys.exit(main())
