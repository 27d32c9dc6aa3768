"""Readers of images on damaged and hostile files: tars, image files, CelebA's lists, and TFRecords."""

import json
import struct
import tarfile
import zipfile
import zlib

import numpy as np
import pytest

from common.data import archives, celeba, chairs, tfds
from common.data.entries import Entry
from common.data.files import ImageFiles
from common.errors import UserError
from common.options import Cache
from helpers import mutations
from helpers.forms import zipped
from helpers.images import PIXELS, RANDOM, VIEWS, encoded, tar
from helpers.mutations import MUTANTS, survey
from helpers.prepared import store_celeba


def check_images(images):
    """Each image is valid, or reported as broken."""
    for i in range(len(images)):
        try:
            image = images.load(i)
            assert image.dtype == np.uint8 and image.shape == (8, 8, 3)
        except UserError as error:
            assert "\n" not in str(error)


def test_tar(tmp_path, monkeypatch):
    monkeypatch.setattr(chairs, "CROP", 16)
    monkeypatch.setattr(chairs, "SIZE", 8)
    path = tmp_path / "inside" / "rendered_chairs.tar"
    path.parent.mkdir()
    png = encoded("PNG")
    long = f"{'rendered_chairs/' * 8}{VIEWS[2]}"
    seeds = [
        tar([(VIEWS[0], png), (VIEWS[1], png), (long, png)], form) for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
    ]
    random = np.random.RandomState(0)

    def read(mutant):
        path.write_bytes(mutant)
        split = chairs.read(path, Cache(None, False)).train
        assert 1 <= len(split) <= 9 and (split.factors is None or split.factors.shape == (len(split), 3))
        assert all(file.offset >= 0 and file.length >= 0 for file in split.images.entries)
        check_images(split.images)

    counts = survey(read, (mutations.tar_mutant(random, mutations.choice(random, seeds)) for _ in range(MUTANTS)))
    assert min(counts.values()) > 100
    assert {p.name for p in tmp_path.rglob("*")} == {"inside", path.name}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_zip(tmp_path, method):
    path, random = tmp_path / "x.zip", np.random.RandomState(0)
    seed = zipped({name: encoded("PNG") for name in VIEWS}, method)

    def read(mutant):
        path.write_bytes(mutant)
        for member in archives.members(str(path)):
            try:
                data = Entry(member.name, str(path), member.offset, member.length, member.packed).read()
            except ValueError as error:
                raise UserError(str(error)) from None
            assert data == encoded("PNG")  # Checksums detect any change.

    def make():
        return (mutations.blind if random.rand() < 0.5 else mutations.zip_field)(random, seed)

    assert min(survey(read, (make() for _ in range(MUTANTS // 2))).values()) > 20


def test_a_bomb_in_a_zip_is_not_unpacked(tmp_path):
    """Neither one that says how large it is, nor one that does not."""
    data = zipped({VIEWS[0]: bytes(1 << 26)})
    for name, size in (("x.zip", 1 << 29), ("y.zip", 1000)):
        (tmp_path / name).write_bytes(data.replace(struct.pack("<I", 1 << 26), struct.pack("<I", size)))
    for name, why in (("x.zip", "implausible file size"), ("y.zip", "a checksum is wrong")):
        with mutations.limits(1 << 25), pytest.raises(UserError, match=why):
            chairs.read(tmp_path / name, Cache(None, False))


@pytest.mark.parametrize("kind", ["tar", "zip"])
@pytest.mark.parametrize("name", [f"../../{VIEWS[0]}", f"/{VIEWS[0]}", f"a/../../{VIEWS[0]}"])
def test_members_that_escape_an_archive_are_refused(tmp_path, name, kind):
    members = {VIEWS[1]: b"x", name: b"x"}
    path = tmp_path / f"x.{kind}"
    path.write_bytes(tar(list(members.items())) if kind == "tar" else zipped(members))
    with pytest.raises(UserError, match="escapes the archive"):
        chairs.read(path, Cache(None, False))


@pytest.mark.parametrize("change", ["encrypted", "another compression"])
def test_members_that_cannot_be_read_are_refused(tmp_path, change):
    data = bytearray(zipped({VIEWS[0]: b"x"}))
    at = data.index(b"PK\1\2") + (8 if change == "encrypted" else 10)
    data[at] = 1 if change == "encrypted" else 93
    (tmp_path / "x.zip").write_bytes(data)
    with pytest.raises(UserError, match="has to be unpacked first: unzip .*x.zip"):
        chairs.read(tmp_path / "x.zip", Cache(None, False))


@pytest.mark.parametrize("kind", ["SYMTYPE", "LNKTYPE", "CHRTYPE", "BLKTYPE", "FIFOTYPE", "GNUTYPE_SPARSE"])
def test_links_and_devices_in_a_tar_are_ignored(tmp_path, kind):
    link = tarfile.TarInfo(VIEWS[0])
    link.type, link.linkname = getattr(tarfile, kind), "/etc/hostname"
    (tmp_path / "x.tar").write_bytes(tar([link, (VIEWS[1], b"x")]))
    assert [member.name for member in archives.members(str(tmp_path / "x.tar"))] == [VIEWS[1]]


def test_tar_with_a_negative_size_is_refused(tmp_path):
    """It makes some versions of tarfile read the same header forever."""
    data = bytearray(tar([(name, b"") for name in VIEWS]))
    data[512 + 124 : 512 + 136] = b"\xff" * 10 + b"\xfc\0"  # -1024.
    data[512 + 148 : 512 + 156] = b"%06o\0 " % (256 + sum(data[512 : 512 + 148]) + sum(data[512 + 156 : 1024]))
    (tmp_path / "x.tar").write_bytes(data)
    with mutations.limits() as restart, pytest.raises(UserError, match="not a readable tar"):
        restart()
        chairs.read(tmp_path / "x.tar", Cache(None, False))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "BMP", "GIF"])
def test_image_files(tmp_path, form):
    images = ImageFiles((Entry("an image", str(tmp_path / "image")),), 16, 8)
    seed, random = encoded(form), np.random.RandomState(0)
    mutate = mutations.png_mutant if form == "PNG" else mutations.blind

    def read(mutant):
        (tmp_path / "image").write_bytes(mutant)
        image = images.load(0)
        assert image.dtype == np.uint8 and image.shape == (8, 8, 3)

    assert min(survey(read, (mutate(random, seed) for _ in range(MUTANTS))).values()) > 100


@pytest.mark.parametrize("form", ["TIFF", "PPM", "EPS", "PDF", "TGA", "AVIF"])
def test_other_formats_are_not_decoded(tmp_path, form):
    """Pillow has some forty decoders; that of EPS is another program."""
    (tmp_path / "image").write_bytes(encoded(form))
    with pytest.raises(UserError, match="an image is broken"):
        ImageFiles((Entry("an image", str(tmp_path / "image")),), 16, 8).load(0)


def test_absurd_sides_are_refused_before_unpacking(tmp_path):
    png = bytearray(encoded("PNG"))
    png[16:24] = struct.pack(">2I", 50_000, 50_000)
    png[29:33] = struct.pack(">I", zlib.crc32(png[12:29]))
    (tmp_path / "image").write_bytes(png)
    with mutations.limits(1 << 26), pytest.raises(UserError, match="an image is broken.*pixels"):
        ImageFiles((Entry("an image", str(tmp_path / "image")),), 16, 8).load(0)


NAMES = [f"{i + 1:06d}.jpg" for i in range(6)]
ROWS = [f"{name}  {' '.join(map(str, RANDOM.choice([-1, 1], 4)))}" for name in NAMES]
ATTRIBUTES = "\n".join([str(len(NAMES)), "Bald Bangs Male Smiling", *ROWS]) + "\n"
PARTITION = "".join(f"{name} {i % 3}\n" for i, name in enumerate(NAMES))


@pytest.mark.parametrize(
    "file, text",
    [("list_attr_celeba.txt", ATTRIBUTES), ("list_eval_partition.txt", PARTITION)],
    ids=["attributes", "partition"],
)
def test_lists_of_celeba(tmp_path, monkeypatch, file, text):
    folder = tmp_path / "img_align_celeba"
    folder.mkdir()
    for name in NAMES:
        (folder / name).write_bytes(b"never read")
    monkeypatch.setattr(celeba, "open_images", lambda files, *_: (files, np.arange(len(files))))
    random = np.random.RandomState(0)
    tokens = ["-1", "1", "0", "2", "3", "+1", "01", "-", "1.0", "1e9", "9" * 5000, "\0", "\x1c", "\r", "\xe9", "٣"]
    tokens += [NAMES[0], "../x.jpg", "\n", ""]

    def mutant():
        words = text.split(" ")
        if random.rand() < 0.5:
            words[random.randint(len(words))] = mutations.choice(random, tokens)
        else:
            lines = " ".join(words).split("\n")
            i, j = random.randint(0, len(lines), 2)
            lines[i], lines[j] = mutations.choice(random, ((lines[j], lines[i]), ("", lines[j]), (lines[j], lines[j])))
            words = "\n".join(lines).split(" ")
        data = " ".join(words).encode()
        return mutations.blind(random, data) if random.rand() < 0.4 else data

    def read(data):
        (tmp_path / file).write_bytes(data)
        dataset = celeba.read(tmp_path, Cache(None, False))
        table = dataset.train.factors
        if file == "list_attr_celeba.txt":
            assert len(dataset.factors) == 4
            assert table.dtype == np.int64 and table.shape == (6, 4) and set(table.ravel()) <= {0, 1}
        elif dataset.test is not None:
            assert table is None and 1 <= len(dataset.test) <= 6

    assert min(survey(read, (mutant() for _ in range(MUTANTS))).values()) > 20


@pytest.fixture(scope="module")
def celeb_a(tmp_path_factory):
    """CelebA as TFDS prepares it, two images of 20x20 per split."""
    splits = {split: [(PIXELS, (True, False))] * 2 for split in ("train", "validation", "test")}
    return store_celeba(tmp_path_factory.mktemp("tfds"), (20, 20, 3), ("Bald", "Male"), splits)


def read_encoded(folder, split="train"):
    return list(tfds.examples(folder, split, 2, encoded="image"))


@pytest.fixture
def records(celeb_a, monkeypatch):
    """The file of the train split and its two examples. The file is restored afterwards, and the builder is cached."""
    import tensorflow as tf
    import tensorflow_datasets

    builder = tensorflow_datasets.builder_from_directory(str(celeb_a))
    monkeypatch.setattr(tensorflow_datasets, "builder_from_directory", lambda folder: builder)
    (path,) = celeb_a.glob("celeb_a-train*")
    whole = path.read_bytes()
    yield path, [record.numpy() for record in tf.data.TFRecordDataset(str(path))]
    path.write_bytes(whole)


def test_tfrecord(celeb_a, records):
    path, examples = records
    random = np.random.RandomState(0)

    def read(mutant):
        path.write_bytes(mutant)
        (chunk,) = read_encoded(celeb_a)
        assert len(chunk["image"]) == 2 and all(chunk["attributes"][name].dtype == bool for name in ("Bald", "Male"))
        check_images(ImageFiles(tuple(Entry("x", data=data) for data in chunk["image"]), 16, 8))

    counts = survey(read, (mutations.records_mutant(random, examples) for _ in range(MUTANTS // 5)))
    assert min(counts.values()) > 5


@pytest.mark.parametrize("length", [2**62, 2**63, 2**64 - 1, 10**12])
def test_record_of_absurd_length_is_refused(celeb_a, records, length):
    """TensorFlow's own reader crashes on it if its checksum is right."""
    path, examples = records
    path.write_bytes(mutations.record(examples[0]) + mutations.record(examples[1], length))
    with pytest.raises(UserError, match="not a readable TFDS data set"):
        read_encoded(celeb_a)


@pytest.mark.parametrize("levels", [[], [0, 1]])
def test_bad_attributes_are_refused(celeb_a, records, levels, tmp_path):
    import tensorflow as tf

    path, examples = records
    example = tf.train.Example.FromString(examples[0])
    example.features.feature["attributes/Bald"].int64_list.value[:] = levels
    path.write_bytes(mutations.record(examples[1]) + mutations.record(example.SerializeToString()))
    with pytest.raises(UserError, match="not a readable TFDS data set"):
        celeba.read(celeb_a, Cache(tmp_path / "cache"))


@pytest.mark.parametrize("kept", [[0], [], [0, 1, 1]])
def test_missing_and_surplus_records_are_refused(celeb_a, records, kept):
    path, examples = records
    path.write_bytes(b"".join(mutations.record(examples[i]) for i in kept))
    with pytest.raises(UserError, match="not a readable TFDS data set.*expected to contain 2 elements"):
        read_encoded(celeb_a)


def test_features_name_no_classes_from_elsewhere(celeb_a):
    """TFDS imports the module of a class that features.json names."""
    path = celeb_a / "features.json"
    whole = path.read_text()
    try:
        path.write_text(whole.replace("tensorflow_datasets.core.features.image_feature.Image", "antigravity.Image"))
        with pytest.raises(UserError, match="names the class 'antigravity.Image'"):
            read_encoded(celeb_a)
    finally:
        path.write_text(whole)


@pytest.mark.parametrize("file", ["dataset_info.json", "features.json"])
def test_descriptions_of_tfds(celeb_a, file):
    path = celeb_a / file
    whole, random = path.read_text(), np.random.RandomState(0)

    def read(mutant):
        path.write_bytes(mutant)
        images = [
            image for split in ("train", "test") for chunk in read_encoded(celeb_a, split) for image in chunk["image"]
        ]
        assert len(images) <= 4

    try:
        counts = survey(read, (mutations.json_mutant(random, json.loads(whole)) for _ in range(MUTANTS // 5)))
        assert counts["refused"] > 100
    finally:
        path.write_text(whole)
