"""The cache of preprocessed images: whole entries or none, whatever happens to those who build them."""

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

from common.data import cache, pool
from common.data.files import ImageFiles, Item
from common.errors import UserError

COUNT = 10
RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.integers(0, 256, (COUNT, 12, 14, 3), dtype=np.uint8)


@pytest.fixture
def files(tmp_path):
    """COUNT small PNGs to crop at 10 and resize to 8 pixels."""
    for i, pixels in enumerate(PIXELS):
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    return ImageFiles(tuple(Item(f"{i}.png", str(tmp_path / f"{i}.png")) for i in range(COUNT)), 10, 8)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "a" / "cache"


def expected(files, indices=range(COUNT)):
    return files[np.array(indices)]


def names(folder):
    return [path.name for path in folder.iterdir()] if folder.exists() else []


def test_built_once_and_mapped_afterwards(files, folder, monkeypatch):
    images, kept = cache.open_images(files, folder, "chairs")
    np.testing.assert_array_equal(images, expected(files))
    assert kept.tolist() == list(range(COUNT))
    assert isinstance(images, np.memmap) and not images.flags.writeable
    monkeypatch.setattr(pool, "load_all", None)
    again, _ = cache.open_images(files, folder, "chairs")
    np.testing.assert_array_equal(again, images)
    assert len(names(folder)) == 1 and names(folder)[0].startswith("chairs-")


def test_an_entry_is_for_everybody_as_the_umask_says(files, folder):
    cache.open_images(files, folder, "chairs")
    mask = os.umask(0)
    os.umask(mask)
    assert (folder / names(folder)[0]).stat().st_mode & 0o777 == 0o777 & ~mask


@pytest.mark.parametrize("change", ["file", "name", "crop", "size", "fewer", "pillow"])
def test_an_entry_is_known_by_all_that_changes_it(files, folder, change, monkeypatch):
    cache.open_images(files, folder, "chairs")
    item, others = files.items[0], files.items[1:]
    if change == "file":
        Image.fromarray(PIXELS[1]).save(item.path)
        os.utime(item.path, ns=(1, 1))
    elif change == "pillow":
        monkeypatch.setattr(cache.PIL, "__version__", "0.0")
    changed = {
        "name": ImageFiles((Item("x.png", item.path), *others), 10, 8),
        "crop": ImageFiles(files.items, 9, 8),
        "size": ImageFiles(files.items, 10, 7),
        "fewer": ImageFiles(others, 10, 8),
    }.get(change, files)
    images, _ = cache.open_images(changed, folder, "chairs")
    np.testing.assert_array_equal(images, changed[np.arange(len(changed))])
    assert len(names(folder)) == 2


def test_broken_files_are_named_and_left_out(files, folder, monkeypatch, capsys):
    monkeypatch.setattr(pool, "_CHUNK", 3)
    monkeypatch.setattr(pool, "cores", lambda: 1)
    broken = [0, 3, 4, 5, 6, 9]  # A whole chunk of them, and more than are named one by one.
    for i in broken:
        pathlib.Path(files.items[i].path).write_bytes(b"no image")
    for _ in range(2):
        images, kept = cache.open_images(files, folder, "chairs")
        assert kept.tolist() == [1, 2, 7, 8]
        np.testing.assert_array_equal(images, expected(files, [1, 2, 7, 8]))
    out = capsys.readouterr().out
    assert all(f"Skipped: {i}.png is broken: cannot identify image file\n" in out for i in broken[:5])
    assert "Skipped: 1 more broken files" in out
    assert out.count("6 of 10 image files are broken and left out") == 2  # Said at every start.


def test_all_broken_is_an_error(files, folder):
    for item in files.items:
        pathlib.Path(item.path).write_bytes(b"")
    with pytest.raises(UserError, match="all 10 images are broken; the first: 0.png is broken"):
        cache.open_images(files, folder, "chairs")
    assert names(folder) == []


def test_files_that_vanish_or_cannot_be_read_are_broken(files, folder, capsys):
    pathlib.Path(files.items[2].path).unlink()
    pathlib.Path(files.items[4].path).unlink()
    pathlib.Path(files.items[4].path).mkdir()
    assert cache.open_images(files, folder, "chairs")[1].tolist() == [0, 1, 3, 5, 6, 7, 8, 9]
    assert "2.png: No such file or directory" in capsys.readouterr().out


def test_a_pool_gives_what_one_process_gives(files, monkeypatch):
    pathlib.Path(files.items[5].path).write_bytes(b"no image")
    monkeypatch.setattr(pool, "_CHUNK", 2)
    monkeypatch.setattr(pool, "_AHEAD", 1)
    results = {}
    for workers in (1, 2):
        monkeypatch.setattr(pool, "cores", lambda: workers)
        results[workers] = list(pool.load_all(files))
    for (a, indices, messages), (b, same_indices, same_messages) in zip(results[1], results[2], strict=True):
        np.testing.assert_array_equal(a, b)
        assert (indices, messages) == (same_indices, same_messages)
    assert [i for _, indices, _ in results[2] for i in indices] == [0, 1, 2, 3, 4, 6, 7, 8, 9]


class Deadly(ImageFiles):
    """Files that kill who reads them."""

    def load(self, index):
        os._exit(1)


def test_a_worker_that_dies_is_an_error(files, folder, monkeypatch):
    monkeypatch.setattr(pool, "_CHUNK", 2)
    monkeypatch.setattr(pool, "cores", lambda: 2)
    with pytest.raises(UserError, match="a worker process died"):
        cache.open_images(Deadly(files.items, 10, 8), folder, "chairs")
    assert names(folder) == []


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, MemoryError])
def test_an_interrupted_build_leaves_nothing(files, folder, monkeypatch, interruption):
    def interrupted(files):
        yield expected(files, [0, 1]), [0, 1], []
        raise interruption

    with monkeypatch.context() as patch:
        patch.setattr(pool, "load_all", interrupted)
        with pytest.raises(interruption):
            cache.open_images(files, folder, "chairs")
    assert names(folder) == []
    np.testing.assert_array_equal(cache.open_images(files, folder, "chairs")[0], expected(files))


BUILD = """
import sys, time, pathlib
from common.data import cache
def fill(folder):
    (folder / "images.npy").write_bytes(b"half")
    print("filling", flush=True)
    while not pathlib.Path(sys.argv[2]).exists():
        time.sleep(0.01)
    (folder / "images.npy").write_bytes(b"whole")
print(cache.entry(pathlib.Path(sys.argv[1]), "slow", 0, 1, fill), flush=True)
"""


def start_build(folder, until):
    """A process that builds an entry, and has half of it until the file `until` is there. It writes "filling", and the entry when it is whole."""
    return subprocess.Popen(
        [sys.executable, "-c", BUILD, str(folder), str(until)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=pathlib.Path(cache.__file__).parents[2],
    )


def test_what_a_killed_build_leaves_is_not_taken_for_whole_and_goes_with_the_next(folder, tmp_path):
    with start_build(folder, tmp_path / "never") as process:
        assert process.stdout.readline() == "filling\n"
        process.send_signal(signal.SIGKILL)
    (leftover,) = names(folder)
    assert leftover.startswith(".building-slow-")
    path = cache.entry(folder, "other", 0, 1, lambda temporary: None)
    assert names(folder) == [path.name]


def test_two_processes_at_once_take_turns(folder, tmp_path):
    go = tmp_path / "go"
    with start_build(folder, go) as first:
        assert first.stdout.readline() == "filling\n"
        with start_build(folder, go) as second:
            assert second.stdout.readline() == f"Waiting for another process that fills the cache {folder}\n"
            go.touch()
            outputs = [process.communicate()[0] for process in (first, second)]
    (entry,) = names(folder)
    assert outputs == [f"{folder / entry}\n"] * 2
    assert (folder / entry / "images.npy").read_bytes() == b"whole"


def test_without_locks_the_first_to_finish_wins(folder, monkeypatch):
    monkeypatch.setattr(cache, "_lock", lambda handle, folder: False)

    def fill(temporary, text="second"):
        if text == "second":  # Meanwhile, another process goes through the same.
            cache.entry(folder, "chairs", 0, 1, lambda other: fill(other, "first"))
        (temporary / "who").write_text(text)

    path = cache.entry(folder, "chairs", 0, 1, fill)
    assert names(folder) == [path.name]
    assert (path / "who").read_text() == "first"


def test_where_locks_are_unknown(folder, monkeypatch):
    def refuse(handle, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(cache.fcntl, "flock", refuse)
    (folder / ".building-x").mkdir(parents=True)  # It may be alive.
    path = cache.entry(folder, "chairs", 0, 1, lambda temporary: None)
    assert sorted(names(folder)) == [".building-x", path.name]


def test_a_disk_without_room_is_told_before_the_work(files, folder, monkeypatch):
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1919}))
    monkeypatch.setattr(pool, "load_all", None)
    with pytest.raises(
        UserError,
        match=f"the disk of the cache {folder} is full: free 1 MiB, name another --cache-dir, or use --no-cache",
    ):
        cache.open_images(files, folder, "chairs")
    assert names(folder) == []


def test_a_disk_that_fills_up_meanwhile(files, folder, monkeypatch):
    class Full(np.ndarray):
        """Rows whose writing fails as on a full disk."""

        def __len__(self):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pool, "load_all", lambda files: iter([(expected(files).view(Full), list(range(COUNT)), [])]))
    with pytest.raises(UserError, match="is full"):
        cache.open_images(files, folder, "chairs")
    assert names(folder) == []


def test_a_write_that_fails(files, folder):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # Bytes that any file may have.
    try:
        with pytest.raises(UserError, match="cannot write the cache .*File too large.*--no-cache"):
            cache.open_images(files, folder, "chairs")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(folder) == []


def test_a_folder_that_cannot_be(files, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write the cache .*file/cache"):
        cache.open_images(files, tmp_path / "file" / "cache", "chairs")


@pytest.mark.parametrize(
    "damage", [lambda path: os.truncate(path, 150), lambda path: os.truncate(path, 0), lambda path: path.unlink()]
)
@pytest.mark.parametrize("name", ["images.npy", "kept.npy"])
def test_a_damaged_entry_is_told(files, folder, damage, name):
    cache.open_images(files, folder, "chairs")
    path = folder / names(folder)[0] / name
    damage(path)
    with pytest.raises(UserError, match=f"the cache is damaged: {path}.*remove {path.parent}, and it is made again"):
        cache.open_images(files, folder, "chairs")


def orphan(pipe, files):
    """Starts a pool, tells its workers' ids and waits to be killed."""
    pool._CHUNK, pool.cores = 1, lambda: 2
    results = pool.load_all(files)
    next(results)
    pipe.send([child.pid for child in multiprocessing.active_children()])
    time.sleep(60)


@pytest.mark.skipif(not pathlib.Path("/proc/self").exists(), reason="needs /proc")
def test_workers_end_with_a_killed_parent(files):
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    parent = context.Process(target=orphan, args=(there, files))
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
    """Whether a process runs; one that has ended but was not waited for does not."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
