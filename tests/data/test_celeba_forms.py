"""CelebA in the forms in which people have it: as published, as others distribute it, unpacked or not, renamed."""

import bz2
import gzip

import numpy as np
import pytest
from PIL import Image

from common.data import celeba
from common.data.preprocess import decode, preprocess
from helpers.forms import ARCHIVES, HTML, LFS, NO_CACHE, below, refused, renamed, save, tarred, zipped
from helpers.images import encoded

pytestmark = pytest.mark.fast

RANDOM = np.random.default_rng(0)

SIGNS = RANDOM.choice([-1, 1], (12, 3))
PARTITION = [0, 2, 1, 0, 2, 2, 0, 0, 0, 1, 0, 0]
NAMES = [f"{i + 1:06d}" for i in range(12)]
PIXELS = [
    np.asarray(Image.fromarray(RANDOM.integers(0, 256, (9, 7, 3), dtype=np.uint8)).resize((178, 218))) for _ in NAMES
]
FACES = {f"{name}.jpg": encoded("JPEG", pixels, quality=90) for name, pixels in zip(NAMES, PIXELS, strict=True)}
PNGS = {f"{name}.png": encoded("PNG", pixels) for name, pixels in zip(NAMES, PIXELS, strict=True)}
ROWS = [[f"{name}.jpg", *map(str, signs)] for name, signs in zip(NAMES, SIGNS, strict=True)]
SPLIT = [[f"{name}.jpg", str(p)] for name, p in zip(NAMES, PARTITION, strict=True)]
TITLES = ["Bald", "Eyeglasses", "Smiling"]


def text(rows, separator=" ", end="\n", encoding="utf-8"):
    return "".join(separator.join(row) + end for row in rows).encode(encoding)


ATTRIBUTES, PARTS = [["12"], TITLES, *ROWS], SPLIT
CSV_ATTRIBUTES, CSV_PARTS = [["image_id", *TITLES], *ROWS], [["image_id", "partition"], *SPLIT]
TXT = {"list_attr_celeba.txt": text(ATTRIBUTES), "list_eval_partition.txt": text(PARTS)}
CSV = {"list_attr_celeba.csv": text(CSV_ATTRIBUTES, ","), "list_eval_partition.csv": text(CSV_PARTS, ",")}
ALIGNED = below("img_align_celeba", FACES)
AUTHORS = {
    **below("Img", ALIGNED),
    "Anno/list_attr_celeba.txt": TXT["list_attr_celeba.txt"],
    "Eval/list_eval_partition.txt": TXT["list_eval_partition.txt"],
    "README.txt": b"CelebA",
}


def lists(attributes=None, parts=None, ending="txt"):
    """ALIGNED with other lists."""
    return ALIGNED | {
        f"list_attr_celeba.{ending}": attributes or text(ATTRIBUTES),
        f"list_eval_partition.{ending}": parts or text(PARTS),
    }


JUNK = {".DS_Store": b"x", "img_align_celeba/Thumbs.db": b"x", "__MACOSX/img_align_celeba/._000001.jpg": b"x"}
JUNK |= {"img_align_celeba/._000001.jpg": b"x", "._list_attr_celeba.txt": b"x"}
CELEBA = {
    "as published": ALIGNED | TXT,
    "all files in the folder of images": below("img_align_celeba", FACES | TXT),
    "the authors' tree": AUTHORS,
    "the authors' tree, one folder too shallow": below("CelebA", AUTHORS),
    "torchvision": below("celeba", ALIGNED | TXT),
    "Kaggle": below("img_align_celeba", ALIGNED) | CSV,
    "Kaggle's zip": {"archive.zip": zipped(below("img_align_celeba", ALIGNED) | CSV)},
    "Kaggle's zip, made on Windows": {"archive.zip": zipped(ALIGNED | CSV).replace(b"celeba/0", b"celeba\\0")},
    "zip and lists": TXT | {"img_align_celeba.zip": zipped(ALIGNED)},
    "zip without a folder and lists": TXT | {"img_align_celeba.zip": zipped(FACES)},
    "zips as a browser names them": {
        "img_align_celeba (1).zip": zipped(ALIGNED),
        "Anno-1.zip": zipped(below("Anno", TXT)),
    },
    "zip without an ending": TXT | {"download": zipped(ALIGNED)},
    "images in a folder, lists in a zip": ALIGNED | {"lists.zip": zipped(TXT)},
    "macOS's junk": ALIGNED | TXT | JUNK,
    "macOS's junk in a zip": {"celeba.zip": zipped(ALIGNED | TXT | JUNK)},
    "another list in another tree": below("a", ALIGNED | CSV) | {"list_attr_celeba.txt": b"1\nBald\nx.jpg 1\n"},
    "PNG": below("img_align_celeba_png", PNGS) | TXT,
    "JPEG and PNG": ALIGNED | below("img_align_celeba_png", PNGS) | TXT,
    "JPEG and PNG in one folder": ALIGNED | below("img_align_celeba", PNGS) | TXT,
    "JPEG called PNG": renamed(ALIGNED, (".jpg", ".png")) | TXT,
    "PNG called JPEG": renamed(below("img_align_celeba", PNGS), (".png", ".jpg")) | TXT,
    ".JPG": renamed(ALIGNED, (".jpg", ".JPG")) | TXT,
    ".jpeg": renamed(ALIGNED, (".jpg", ".jpeg")) | TXT,
    "no ending": renamed(ALIGNED, (".jpg", "")) | TXT,
    "stray images": ALIGNED
    | TXT
    | {"img_align_celeba/preview.jpg": FACES["000001.jpg"], "logo.png": PNGS["000001.png"]},
    "a byte-order mark": lists(text(ATTRIBUTES, encoding="utf-8-sig"), text(PARTS, encoding="utf-8-sig")),
    "UTF-16": lists(text(ATTRIBUTES, encoding="utf-16"), text(PARTS, encoding="utf-16")),
    "CRLF": lists(text(ATTRIBUTES, end=" \r\n"), text(PARTS, end="\r\n")),
    "tabs": lists(text(ATTRIBUTES, "\t"), text(PARTS, "\t")),
    "wide columns": lists(text(ATTRIBUTES, "   "), text(PARTS, "   ")),
    "no count line": lists(text(ATTRIBUTES[1:])),
    "a count line in both": lists(parts=text([["12"], *PARTS])),
    "another order": lists(text(ATTRIBUTES[:2] + ROWS[::-1]), text(PARTS[::-1])),
    "rows of other images": lists(
        text([["13"], TITLES, ["x.jpg", "1", "1", "1"], *ROWS]), text([["x.jpg", "0"], *PARTS])
    ),
    "names of PNG files": lists(text(ATTRIBUTES).replace(b".jpg", b".png"), text(PARTS).replace(b".jpg", b".png")),
    "names with folders": lists(text(ATTRIBUTES).replace(b"000", b"img/000"), text(PARTS).replace(b"000", b"img\\000")),
    "0 and 1": lists(text(ATTRIBUTES).replace(b"-1", b"0")),
    "CSV with a count line": lists(text([["12"], *CSV_ATTRIBUTES], ","), text(CSV_PARTS, ","), "csv"),
    "CSV called txt": lists(text(CSV_ATTRIBUTES, ","), text(CSV_PARTS, ",")),
    "text called CSV": lists(ending="csv"),
    "CSV with a byte-order mark": lists(
        text(CSV_ATTRIBUTES, ",", "\r\n", "utf-8-sig"), text(CSV_PARTS, ",", "\r\n", "utf-8-sig")
    ),
    "CSV with semicolons": lists(text(CSV_ATTRIBUTES, ";"), text(CSV_PARTS, "; "), "csv"),
    "CSV without a title of the names": lists(text([TITLES, *ROWS], ","), text(PARTS, ","), "csv"),
    "quoted CSV": lists(
        b'"' + text(CSV_ATTRIBUTES, '","', '"\n"')[:-1], b'"' + text(CSV_PARTS, '","', '"\n"')[:-1], "csv"
    ),
    "compressed lists": lists(gzip.compress(text(ATTRIBUTES)), bz2.compress(text(PARTS)), "txt.gz"),
    "lists as a browser names them": ALIGNED | renamed(TXT, (".txt", " (1).txt")),
} | {f"one {ending}": {f"celeba.{ending}": pack(ALIGNED | TXT)} for ending, pack in ARCHIVES.items()}


@pytest.mark.parametrize("files", CELEBA.values(), ids=CELEBA)
def test_celeba_is_read(tmp_path, files):
    dataset = celeba.read(save(tmp_path / "data", files), NO_CACHE)
    check_celeba(dataset, any(data[:4] == b"\x89PNG" for data in files.values()))


def check_celeba(dataset, as_png=False):
    assert len(dataset.train) == 12 and dataset.broken == ()
    assert [(f.name, f.values) for f in dataset.factors] == [(name, (-1, 1)) for name in TITLES]
    np.testing.assert_array_equal(dataset.train.factors * 2 - 1, SIGNS)
    test = np.flatnonzero(np.array(PARTITION) == 2)
    np.testing.assert_array_equal(dataset.test.factors * 2 - 1, SIGNS[test])
    first = preprocess(decode(FACES["000001.jpg"]), 128, 64).astype(int)
    assert np.abs(first - dataset.train.take(0, 1)[0]).mean() < (9 if as_png else 1e-9)


@pytest.mark.parametrize("place", ["img_align_celeba", "celeba.zip", "."])
def test_celeba_is_read_from_a_path_within(tmp_path, place):
    save(tmp_path, TXT | (ALIGNED if place == "img_align_celeba" else {"celeba.zip": zipped(ALIGNED)}))
    check_celeba(celeba.read(tmp_path / place, NO_CACHE))


def test_celeba_names_what_it_does_not_use(tmp_path):
    others = {"identity_CelebA.txt": b"x", "img_celeba.7z": b"7z\xbc\xaf\x27\x1c", "img_align_celeba/a.jpg": b"x"}
    assert set(celeba.read(save(tmp_path, ALIGNED | TXT | others), NO_CACHE).unused) == set(others)


@pytest.mark.parametrize("zip_too", [False, True])
def test_an_image_without_a_row_costs_itself_alone(tmp_path, caplog, zip_too):
    files = lists(text([["11"], TITLES, *ROWS[:4], *ROWS[5:]]))
    if zip_too:
        files = {"all.zip": zipped(files)}
    dataset = celeba.read(save(tmp_path, files), NO_CACHE)
    np.testing.assert_array_equal(dataset.train.factors * 2 - 1, np.delete(SIGNS, 4, axis=0))
    assert len(dataset.test) == 2  # It is of the test partition.
    assert dataset.unused[0].endswith("000005.jpg") and "000005.jpg" in caplog.text


BAD_CELEBA = {
    "an HTML page as list": (lists(HTML), "list_attr_celeba.txt is an HTML page, not a list of CelebA: download"),
    "a pointer as partition": (lists(parts=LFS), "list_eval_partition.txt is a Git LFS pointer.*git lfs pull"),
    "an HTML page as zip": (
        {"img_align_celeba.zip": HTML},
        "img_align_celeba.zip is an HTML page, not CelebA: download",
    ),
    "a truncated zip": ({"img_align_celeba.zip": zipped(ALIGNED)[:9000]}, "celeba.zip is not a readable zip.*download"),
    "a truncated tar.gz": ({"x.tar.gz": tarred(ALIGNED, "w:gz")[:9000]}, "x.tar.gz is not a readable.*download"),
    "a zip in a zip": (
        {"a.zip": zipped({"img_align_celeba.zip": zipped(ALIGNED)})},
        "unpack the outer one: unzip .*a.zip",
    ),
    "a zip in a tar": ({"a.tar": tarred({"b.zip": zipped(ALIGNED)})}, "unpack the outer one: tar -xf .*a.tar"),
    "7z": ({"img_align_celeba_png.7z": b"7z\xbc\xaf\x27\x1c..."}, "has to be unpacked first: 7z x .*png.7z"),
    "images in the wild": (below("img_celeba", FACES), "images in the wild"),
    "only lists": (TXT, "no CelebA in .*: it contains 2 .txt, such as list_attr_celeba.txt .a text file.; it should"),
    "TIFF": (renamed(ALIGNED, (".jpg", ".tif")), "convert them to PNG .mogrify -format png '..tif'"),
    "another data set": ({"a/renders/image_000_p020_t011_r096.png": PNGS["000001.png"]}, "it contains 1 .png, such as"),
    "half a list": (lists(text([TITLES, *ROWS[:6]])), "has no row for 000007.jpg, nor for 5 other images"),
    "a row missing from the count": (lists(text(ATTRIBUTES[:-1])), "header says '12' images, but 11 follow"),
    "no names of attributes": (lists(text(ROWS)), "line 1: it should name the attributes"),
    "a mixture of 0 and -1": (lists(text(ATTRIBUTES).replace(b"-1", b"0", 1)), "line .*: '0' should be one of -1, 1"),
    "binary lists": (lists(b"\xff\xd8\xff\xe0" * 9), "is not a text file"),
}


@pytest.mark.parametrize("files, message", BAD_CELEBA.values(), ids=BAD_CELEBA)
def test_celeba_is_refused_with_what_was_found(tmp_path, files, message):
    refused(celeba, save(tmp_path, files), message)
