"""The cache of preprocessed images: complete entries or none, whatever happens to a build."""

import errno
import multiprocessing
import os
import pathlib
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from common.data import cache, files, pool
from common.data.entries import Entry
from common.data.files import ImageFiles
from common.errors import UserError
from common.io import lock
from common.options import Cache

pytestmark = pytest.mark.fast

COUNT = 10
PIXELS = np.random.default_rng(0).integers(0, 256, (COUNT, 12, 14, 3), dtype=np.uint8)


@pytest.fixture
def images(tmp_path):
    """COUNT small PNGs, to be cropped to 10 and resized to 8 pixels."""
    for i, pixels in enumerate(PIXELS):
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    return ImageFiles(tuple(Entry(f"{i}.png", str(tmp_path / f"{i}.png")) for i in range(COUNT)), 10, 8)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "a" / "cache"


def open_images(images, folder):
    return files.open_images(images, Cache(folder), "chairs")


def break_files(images, indices, content=b"not an image"):
    for i in indices:
        pathlib.Path(images.entries[i].path).write_bytes(content)


def names(folder):
    return [path.name for path in folder.iterdir() if path.name != lock.NAME] if folder.exists() else []


def test_entry_is_built_once_and_mapped_afterwards(images, folder, monkeypatch):
    cached, valid_indices = open_images(images, folder)
    np.testing.assert_array_equal(cached, images[np.arange(COUNT)])
    assert valid_indices.tolist() == list(range(COUNT))
    assert isinstance(cached, np.memmap) and not cached.flags.writeable
    monkeypatch.setattr(files, "decode_all", None)
    np.testing.assert_array_equal(open_images(images, folder)[0], cached)
    assert len(names(folder)) == 1 and names(folder)[0].startswith("chairs-")
    assert not (folder / lock.NAME).exists()


def test_entry_has_the_permissions_of_the_umask(images, folder):
    open_images(images, folder)
    mask = os.umask(0)
    os.umask(mask)
    assert (folder / names(folder)[0]).stat().st_mode & 0o777 == 0o777 & ~mask


@pytest.mark.parametrize("change", ["file", "path", "crop", "size", "fewer", "pillow"])
def test_key_contains_all_that_changes_the_images(images, folder, change, monkeypatch):
    open_images(images, folder)
    first, others = images.entries[0], images.entries[1:]
    if change == "file":
        Image.fromarray(PIXELS[1]).save(first.path)
        os.utime(first.path, ns=(1, 1))
    elif change == "pillow":
        monkeypatch.setattr(cache.PIL, "__version__", "0.0")
    changed = {
        "path": ImageFiles((others[0], *others), 10, 8),
        "crop": ImageFiles(images.entries, 9, 8),
        "size": ImageFiles(images.entries, 10, 7),
        "fewer": ImageFiles(others, 10, 8),
    }.get(change, images)
    np.testing.assert_array_equal(open_images(changed, folder)[0], changed[np.arange(len(changed))])
    assert len(names(folder)) == 2


@pytest.mark.parametrize("enabled", [True, False])
def test_broken_files_are_named_and_left_out(images, folder, monkeypatch, caplog, enabled):
    monkeypatch.setattr(files, "BATCH", 3)
    monkeypatch.setattr(pool, "cores", lambda: 1)
    break_files(images, [0, 3, 4, 5, 6, 9])  # A whole batch, and more than are named.
    for _ in range(2):
        opened, valid_indices = files.open_images(images, Cache(folder, enabled), "chairs")
        assert valid_indices.tolist() == [1, 2, 7, 8]
        np.testing.assert_array_equal(opened[np.arange(4)], images[valid_indices])
        assert files.broken_names(images, valid_indices) == tuple(f"{i}.png" for i in (0, 3, 4, 5, 6, 9))
    said = caplog.messages
    assert all(f"Left out: {i}.png is broken: a text file, not an image that can be read" in said for i in (0, 3, 4, 5))
    assert "Left out: 1 more broken files" in said
    total = "chairs: 6 of 10 images are broken and left out: 0.png, 3.png, 4.png, 5.png, 6.png and 1 more"
    assert said.count(total) == 2  # At every start.


@pytest.mark.parametrize("enabled", [True, False])
def test_nothing_is_printed_unless_the_log_is_shown(images, folder, capsys, enabled):
    files.open_images(images, Cache(folder, enabled), "chairs")
    assert capsys.readouterr().out == ""


def test_all_broken_is_an_error(images, folder):
    break_files(images, range(COUNT), b"")
    with pytest.raises(UserError, match="all 10 images are broken; the first: 0.png is broken"):
        open_images(images, folder)
    assert names(folder) == []


@pytest.mark.parametrize("value", [0, 7, 255])
def test_an_image_of_one_value_is_broken(images, folder, caplog, value):
    Image.new("RGB", (14, 12), (value, value, value)).save(images.entries[3].path)
    assert 3 not in open_images(images, folder)[1]
    assert "Left out: 3.png is broken: all its pixels are equal" in caplog.messages


def test_missing_files_are_broken(images, folder, caplog):
    pathlib.Path(images.entries[2].path).unlink()
    assert open_images(images, folder)[1].tolist() == [0, 1, 3, 4, 5, 6, 7, 8, 9]
    assert "2.png: No such file or directory" in caplog.text


def test_workers_give_what_one_process_gives(images, monkeypatch):
    break_files(images, [5])
    monkeypatch.setattr(files, "BATCH", 2)
    monkeypatch.setattr(pool, "_AHEAD", 1)
    results = {}
    for workers in (1, 2):
        monkeypatch.setattr(pool, "cores", lambda workers=workers: workers)
        results[workers] = list(files.decode_all(images.batches(), COUNT))
    for one, two in zip(results[1], results[2], strict=True):
        np.testing.assert_array_equal(one[0], two[0])
        assert one[1:] == two[1:]
    assert [i for _, indices, _ in results[2] for i in indices] == [0, 1, 2, 3, 4, 6, 7, 8, 9]


class Deadly(ImageFiles):
    """Files that kill the process that reads them."""

    def load(self, index):
        os._exit(1)


def test_dead_worker_is_an_error(images, folder, monkeypatch):
    monkeypatch.setattr(files, "BATCH", 2)
    monkeypatch.setattr(pool, "cores", lambda: 2)
    with pytest.raises(UserError, match="a worker process died"):
        open_images(Deadly(images.entries, 10, 8), folder)
    assert names(folder) == []


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, MemoryError])
def test_interrupted_build_leaves_nothing(images, folder, monkeypatch, interruption):
    def interrupted(batches, count):
        yield images[np.arange(2)], [0, 1], []
        raise interruption

    with monkeypatch.context() as patch:
        patch.setattr(files, "decode_all", interrupted)
        with pytest.raises(interruption):
            open_images(images, folder)
    assert names(folder) == []
    np.testing.assert_array_equal(open_images(images, folder)[0], images[np.arange(COUNT)])


BUILD = """
import sys, time, pathlib
from common import log_to_stdout
from common.data import cache
log_to_stdout()
def fill(folder):
    (folder / "images.npy").write_bytes(b"half")
    print("filling", flush=True)
    while not pathlib.Path(sys.argv[2]).exists():
        time.sleep(0.01)
    (folder / "images.npy").write_bytes(b"whole")
print(cache.entry(pathlib.Path(sys.argv[1]), "slow", 0, 1, fill), flush=True)
"""


def start_build(folder, until):
    """A process that prints "filling", waits for the file `until`, and prints the path of the complete entry."""
    root = pathlib.Path(cache.__file__).parents[2]
    command = [sys.executable, "-c", BUILD, str(folder), str(until)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root)


def test_next_build_removes_what_a_killed_one_left(folder, tmp_path):
    with start_build(folder, tmp_path / "never") as process:
        assert process.stdout.readline() == "filling\n"
        process.send_signal(signal.SIGKILL)
    (leftover,) = names(folder)
    assert leftover.startswith(".building-slow-")
    path = cache.entry(folder, "other", 0, 1, lambda temporary: None)
    assert names(folder) == [path.name]


def test_concurrent_builds_wait_for_each_other(folder, tmp_path):
    go = tmp_path / "go"
    with start_build(folder, go) as first:
        assert first.stdout.readline() == "filling\n"
        with start_build(folder, go) as second:
            assert second.stdout.readline() == f"Waiting for another process building the cache {folder}\n"
            go.touch()
            outputs = [process.communicate()[0] for process in (first, second)]
    (entry,) = names(folder)
    assert outputs == [f"{folder / entry}\n"] * 2
    assert (folder / entry / "images.npy").read_bytes() == b"whole"


def test_without_locks_the_first_to_finish_wins(folder, monkeypatch):
    def refuse(handle, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock.fcntl, "flock", refuse)
    (folder / ".building-x").mkdir(parents=True)  # It may belong to a living process, so it is kept.

    def fill(temporary, text="second"):
        if text == "second":  # Meanwhile, another process builds the same entry.
            cache.entry(folder, "chairs", 0, 1, lambda other: fill(other, "first"))
        (temporary / "who").write_text(text)

    path = cache.entry(folder, "chairs", 0, 1, fill)
    assert sorted(names(folder)) == [".building-x", path.name]
    assert (path / "who").read_text() == "first"


def test_full_disk_is_an_error_before_the_work(images, folder, monkeypatch):
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1919}))
    monkeypatch.setattr(files, "decode_all", None)
    remedy = "free 1 MiB, name another --cache-dir, or use --no-cache"
    with pytest.raises(UserError, match=f"no space left for the cache {folder}: {remedy}"):
        open_images(images, folder)
    assert names(folder) == []


def test_disk_that_fills_up_is_an_error(images, folder, monkeypatch):
    class Full(np.ndarray):
        """Rows that cannot be written because the disk is full."""

        def __len__(self):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    rows = images[np.arange(COUNT)].view(Full)
    monkeypatch.setattr(files, "decode_all", lambda batches, count: iter([(rows, list(range(COUNT)), [])]))
    with pytest.raises(UserError, match="no space left"):
        open_images(images, folder)
    assert names(folder) == []


def test_failing_write_is_an_error(images, folder):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # Bytes per file.
    try:
        with pytest.raises(UserError, match="cannot write the cache .*File too large.*--no-cache"):
            open_images(images, folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(folder) == []


def test_impossible_folder_is_an_error(images, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write the cache .*file/cache"):
        open_images(images, tmp_path / "file" / "cache")


DAMAGES = [lambda path: os.truncate(path, 150), lambda path: os.truncate(path, 0), lambda path: path.unlink()]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["images.npy", "valid_indices.npy"])
def test_damaged_entry_is_an_error(images, folder, damage, name):
    open_images(images, folder)
    path = folder / names(folder)[0] / name
    damage(path)
    with pytest.raises(UserError, match=f"the cache is damaged: {path}.*delete {path.parent} and it will be rebuilt"):
        open_images(images, folder)


def orphan(pipe, images):
    """Start workers, send their ids, and wait to be killed."""
    files.BATCH, pool.cores = 1, lambda: 2
    results = files.decode_all(images.batches(), COUNT)
    next(results)
    pipe.send([child.pid for child in multiprocessing.active_children()])
    time.sleep(60)


@pytest.mark.skipif(not pathlib.Path("/proc/self").exists(), reason="needs /proc, which says whether a process lives")
def test_workers_end_with_a_killed_parent(images):
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    parent = context.Process(target=orphan, args=(there, images))
    parent.start()
    workers = here.recv()
    assert len(workers) == 2
    parent.kill()
    parent.join()
    deadline = time.monotonic() + 20
    while any(alive(pid) for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def alive(pid):
    """Whether a process runs. One that has ended but was not waited for does not."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("value", [-1, 3])
def test_values_out_of_range_are_damage(value, tmp_path):
    np.save(tmp_path / "a.npy", np.array([0, 2, value]))
    with pytest.raises(UserError, match=r"the cache is damaged: .*a\.npy \(its values are not in \[0, 3\)\)"):
        cache.load(tmp_path / "a.npy", np.integer, (None,), stop=3)
