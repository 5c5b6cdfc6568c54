"""Containers as merchants, file managers and attackers make them."""

import io
import random
import stat
import struct
import tracemalloc
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.archive import ArchiveError, Contents, Entry, inspect, read_member
from core.settings import UploadLimits
from regraft.contract.errors import ErrorCode

LIMITS = UploadLimits()
IMAGE = b"\xff\xd8" + bytes(range(256))
TWO = {"mug/a.jpg": IMAGE, "cup/b.jpg": IMAGE}


def _zip(path: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def _labels(path: Path, *names: str) -> dict[str, str | None]:
    found = inspect(_zip(path / "set.zip", dict.fromkeys(names, IMAGE)), LIMITS)
    return {entry.path: entry.label for entry in found.entries}


def _refused(path: Path, limits: UploadLimits = LIMITS) -> ArchiveError:
    with pytest.raises(ArchiveError) as caught:
        inspect(path, limits)
    return caught.value


def test_one_folder_for_each_class(tmp_path: Path) -> None:
    """The layout that the contract names first would not be understood."""
    assert _labels(tmp_path, "mug/a.jpg", "cup/b.jpg") == {"mug/a.jpg": "mug", "cup/b.jpg": "cup"}


def test_a_common_top_folder_is_no_class(tmp_path: Path) -> None:
    """Zipping a folder instead of its contents would make one class of everything."""
    found = _labels(tmp_path, "photos/mug/a.jpg", "photos/cup/b.jpg", "photos/c.jpg")
    assert found == {"photos/mug/a.jpg": "mug", "photos/cup/b.jpg": "cup", "photos/c.jpg": None}


def test_deeper_folders_belong_to_their_class(tmp_path: Path) -> None:
    """A merchant who sorts by shoot within a class would get a class for each shoot."""
    found = _labels(tmp_path, "mug/2024/red/a.jpg", "mug/b.jpg", "cup/2025/c.jpg")
    assert list(found.values()) == ["mug", "mug", "cup"]


def test_files_beside_the_class_folders_have_no_label(tmp_path: Path) -> None:
    """Unlabelled photos would be lost or become a class of their own."""
    assert _labels(tmp_path, "mug/a.jpg", "cup/b.jpg", "c.jpg")["c.jpg"] is None
    assert set(_labels(tmp_path, "a.jpg", "b.jpg").values()) == {None}


def test_junk_of_file_managers_is_left_out(tmp_path: Path) -> None:
    """Every zip made on a Mac would have a class `__MACOSX` and broken images."""
    found = _labels(
        tmp_path,
        *("mug/a.jpg", "cup/b.jpg", "empty/", ".DS_Store", "mug/.DS_Store", "cup/Thumbs.db"),
        *("__MACOSX/mug/._a.jpg", "mug/desktop.ini", ".git/config"),
    )
    assert list(found) == ["mug/a.jpg", "cup/b.jpg"]


def test_utf8_names_without_the_flag(tmp_path: Path) -> None:
    """Labels from tools that write UTF-8 and do not say so would be shown garbled."""
    path = _zip(tmp_path / "set.zip", {"t\u00e9/a.jpg": IMAGE, "mug/b.jpg": IMAGE})
    data = bytearray(path.read_bytes())
    for magic, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = data.find(magic)
        struct.pack_into("<H", data, start + at, 0)
    path.write_bytes(data)
    assert inspect(path, LIMITS).labels == ("mug", "t\u00e9")


def test_names_that_decode_to_the_same_name(tmp_path: Path) -> None:
    """One file's label would be given another file's pixels."""
    path = _zip(tmp_path / "set.zip", {"mug/\u00e9.jpg": b"1", "mug/\u251c\u2310.jpg": b"2", **TWO})
    data = bytearray(path.read_bytes())
    for magic, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        struct.pack_into("<H", data, data.find(magic) + at, 0)
    path.write_bytes(data)
    with zipfile.ZipFile(path) as archive:
        names = [member.filename for member in archive.infolist()]
        assert names[0] == names[1]
    error = _refused(path)
    assert (error.code, "same name" in error.message) == (ErrorCode.DATASET_INVALID, True)


@pytest.mark.parametrize(
    "twin",
    [
        "m\u200dug",
        "mug\u200b",
        "\ufeffmug",
        "mu\u00adg",
        "mug\ufe0f",
        "mug ",
        "m\u2060ug",
        "mug\u00a0",
    ],
)
def test_classes_that_look_the_same(tmp_path: Path, twin: str) -> None:
    """A merchant would see one class twice, with half of its photos each."""
    path = _zip(tmp_path / "set.zip", {"mug/a.jpg": IMAGE, f"{twin}/b.jpg": IMAGE})
    assert "look the same" in _refused(path).message
    rows = f"path,label\na.jpg,mug\nb.jpg,{twin}\n".encode()
    path = _zip(tmp_path / "set.zip", {"a.jpg": IMAGE, "b.jpg": IMAGE, "manifest.csv": rows})
    assert "look the same" in _refused(path).message


def test_a_class_that_cannot_be_seen(tmp_path: Path) -> None:
    """A merchant would read of a class without a name."""
    path = _zip(tmp_path / "set.zip", {"mug/a.jpg": IMAGE, "\u200b\u00ad/b.jpg": IMAGE})
    assert "cannot be seen" in _refused(path).message


def test_joiners_within_one_class_are_kept(tmp_path: Path) -> None:
    """Emoji, and words of Persian and Hindi, would be refused or misspelt."""
    label = "\U0001f469\u200d\U0001f373"
    assert _labels(tmp_path, f"{label}/a.jpg", "mug/b.jpg")[f"{label}/a.jpg"] == label


def test_bytes_come_back_as_they_went_in(tmp_path: Path) -> None:
    """Ingest would judge other bytes than the merchant sent."""
    path = _zip(tmp_path / "set.zip", TWO)
    with zipfile.ZipFile(path) as archive:
        for entry in inspect(path, LIMITS).entries:
            assert b"".join(read_member(archive, entry, 1000)) == IMAGE


def test_reading_stops_at_the_limit(tmp_path: Path) -> None:
    """One member could fill the memory of the process that unpacks it."""
    path = _zip(tmp_path / "set.zip", {"mug/a.jpg": bytes(300_000), "cup/b.jpg": IMAGE})
    entry = inspect(path, LIMITS).entries[0]
    with zipfile.ZipFile(path) as archive:
        pieces = read_member(archive, entry, 100_000)
        with pytest.raises(ArchiveError) as caught:
            list(pieces)
        assert caught.value.code is ErrorCode.TOO_LARGE_UNCOMPRESSED
        lying = entry._replace(size=10)
        with pytest.raises(ArchiveError):
            list(read_member(archive, lying, 1_000_000))


def test_a_damaged_member_is_an_archive_error(tmp_path: Path) -> None:
    """One flipped byte would crash ingest instead of naming the file."""
    path = _zip(tmp_path / "set.zip", {**TWO, "mug/a.jpg": random.Random(1).randbytes(5000)})
    data = bytearray(path.read_bytes())
    data[2000] ^= 0xFF
    path.write_bytes(data)
    with zipfile.ZipFile(path) as archive, pytest.raises(ArchiveError):
        list(read_member(archive, inspect(path, LIMITS).entries[0], 10_000))


@pytest.mark.parametrize(
    "data",
    [b"", b"not a zip", b"\x1f\x8b" + bytes(50), b"7z\xbc\xaf\x27\x1c" + bytes(50), b"PK\x03\x04"],
    ids=["empty", "text", "gzip", "7z", "magic alone"],
)
def test_other_files_are_refused(tmp_path: Path, data: bytes) -> None:
    """A merchant who picks the wrong file would hear of it only after a failed job."""
    path = tmp_path / "set.zip"
    path.write_bytes(data)
    assert _refused(path).code is ErrorCode.DATASET_INVALID


def test_cut_and_empty_zips_are_refused(tmp_path: Path) -> None:
    """An upload that broke off would be taken for the whole set."""
    path = _zip(tmp_path / "set.zip", TWO)
    whole = path.read_bytes()
    for cut in (len(whole) // 2, len(whole) - 1, len(whole) - 30):
        path.write_bytes(whole[:cut])
        assert _refused(path).code is ErrorCode.DATASET_INVALID
    assert "empty" in _refused(_zip(tmp_path / "none.zip", {})).message
    assert _refused(_zip(tmp_path / "junk.zip", {".DS_Store": b"x"})).code is (
        ErrorCode.DATASET_INVALID
    )


def test_a_zip_behind_something_else_is_refused(tmp_path: Path) -> None:
    """A file that is a picture to one program and a zip to another hides its contents."""
    path = _zip(tmp_path / "set.zip", TWO)
    path.write_bytes(IMAGE + path.read_bytes())
    assert _refused(path).code is ErrorCode.DATASET_INVALID


@pytest.mark.parametrize(
    "name",
    [
        *("../../evil.jpg", "mug/../../b.jpg", "/abs/e.jpg", "C:\\w\\x.jpg", "C:/x.jpg"),
        *("mug\\a.jpg", "mug//a.jpg", "mug/a\x07.jpg", "mug/\u202egpj.exe", "mug/\u2028.jpg"),
        *("m" * 300 + "/a.jpg", "mug/" + "\u00e9" * 130),
    ],
)
def test_unsafe_paths_are_refused(tmp_path: Path, name: str) -> None:
    """A name that climbs, hides or breaks a line would reach disks, pages and terminals."""
    assert _refused(_zip(tmp_path / "s.zip", {**TWO, name: IMAGE})).code is ErrorCode.UNSAFE_PATH


def test_a_nul_in_a_name_is_refused(tmp_path: Path) -> None:
    """Two programs would read two names: one that ends where the NUL is."""
    path = _zip(tmp_path / "set.zip", {**TWO, "mug/a.php#.jpg": IMAGE})
    path.write_bytes(path.read_bytes().replace(b"a.php#.jpg", b"a.php\0.jpg"))
    assert _refused(path).code is ErrorCode.UNSAFE_PATH


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFSOCK])
def test_links_and_devices_are_refused(tmp_path: Path, kind: int) -> None:
    """A link to /etc/passwd would be a picture of somebody's server."""
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("mug/link.jpg")
        info.external_attr = (kind | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
        archive.writestr("cup/a.jpg", IMAGE)
    assert _refused(path).code is ErrorCode.UNSAFE_ENTRY


def test_encrypted_and_exotic_entries_are_refused(tmp_path: Path) -> None:
    """A password-protected set would end as hundreds of unreadable images."""
    path = _zip(tmp_path / "set.zip", TWO)
    data = bytearray(path.read_bytes())
    struct.pack_into("<H", data, data.find(b"PK\x01\x02") + 8, 1)
    (tmp_path / "locked.zip").write_bytes(data)
    assert _refused(tmp_path / "locked.zip").code is ErrorCode.UNSAFE_ENTRY
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("mug/a.jpg", IMAGE)
    assert _refused(path).code is ErrorCode.UNSAFE_ENTRY


def test_entries_on_one_kernel_are_refused(tmp_path: Path) -> None:
    """A few kilobytes whose entries all point at the same data unpack to gigabytes."""
    path = _zip(tmp_path / "set.zip", {"mug/a.jpg": bytes(10_000), "cup/b.jpg": bytes(10_000)})
    data = bytearray(path.read_bytes())
    second = data.rfind(b"PK\x01\x02")
    struct.pack_into("<L", data, second + 42, 0)
    path.write_bytes(data)
    assert _refused(path).code is ErrorCode.UNSAFE_ENTRY


def test_bombs_are_refused_before_they_unpack(tmp_path: Path) -> None:
    """200 MB of zeros in 190 kB would fill the disk of a worker."""
    bomb = _zip(tmp_path / "bomb.zip", {**TWO, "mug/z.jpg": bytes(20_000_000)})
    assert bomb.stat().st_size < 30_000
    assert _refused(bomb).code is ErrorCode.TOO_LARGE_UNCOMPRESSED
    path = _zip(tmp_path / "set.zip", TWO)
    small = UploadLimits(max_uncompressed_bytes=300)
    assert _refused(path, small).code is ErrorCode.TOO_LARGE_UNCOMPRESSED


def test_counts_are_limited(tmp_path: Path) -> None:
    """A set that no worker can finish would be found out hours later."""
    many = _zip(tmp_path / "many.zip", {f"c{n % 5}/{n}.jpg": b"" for n in range(101)})
    limits = UploadLimits(max_entries=100, max_classes=4)
    assert _refused(many, limits).code is ErrorCode.TOO_MANY_ENTRIES
    assert _refused(many, UploadLimits(max_classes=4)).code is ErrorCode.TOO_MANY_CLASSES


def test_a_directory_is_limited_before_it_is_read(tmp_path: Path) -> None:
    """Two entries with endless comments would fill the memory before they are counted."""
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in TWO:
            info = zipfile.ZipInfo(name)
            info.comment = bytes(60_000)
            archive.writestr(info, IMAGE)
    assert inspect(path, LIMITS).labels == ("cup", "mug")
    refused = _refused(path, UploadLimits(max_entries=50))
    assert refused.code is ErrorCode.TOO_MANY_ENTRIES
    assert "directory" in refused.message


def _crowded(count: int, said: int, *, lying: bool) -> bytes:
    """Return a zip64 of many records; where it lies, its locator points at a harmless end."""
    local = struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, *[0] * 7, 7, 0) + b"0000000"
    fixed = struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 20, 20, *[0] * 7, 7, *[0] * 6)
    records = b"".join(fixed + f"{n:07d}".encode() for n in range(count))

    def end64(size: int, start: int) -> bytes:
        numbers = (44, 45, 45, 0, 0, said, said, size, start)
        return struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", *numbers)

    head = local + (end64(0, 0) if lying else b"")
    true_end = len(head) + len(records)
    at = len(local) if lying else true_end
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, at, 1)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 2, 2, 106, 0xFFFFFFFF, 0)
    return head + records + end64(len(records), len(head)) + locator + end


@pytest.mark.parametrize(
    ("said", "lying", "code"),
    [
        (100_000, False, ErrorCode.TOO_MANY_ENTRIES),
        (2, False, ErrorCode.TOO_MANY_ENTRIES),
        (2, True, ErrorCode.DATASET_INVALID),
    ],
    ids=["honest", "lying count", "lying locator"],
)
def test_a_crowd_is_refused_before_it_is_in_memory(
    tmp_path: Path, said: int, lying: bool, code: ErrorCode
) -> None:
    """A few megabytes of directory would take hundreds of every API process that reads them."""
    path = tmp_path / "set.zip"
    path.write_bytes(_crowded(3, 3, lying=lying))
    with zipfile.ZipFile(path) as archive:
        assert len(archive.namelist()) == 3
    path.write_bytes(_crowded(100_000, said, lying=lying))
    tracemalloc.start()
    try:
        refused = _refused(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert refused.code is code
    assert peak < 2_000_000


def test_a_zip64_is_read(tmp_path: Path) -> None:
    """Tools that always write zip64 would be refused, a comment behind it or not."""
    path = tmp_path / "set.zip"
    plain = _zip(path, TWO).read_bytes()
    at = len(plain) - 22
    count, size, start = struct.unpack_from("<H2L", plain, at + 10)
    record = struct.pack(
        "<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, start
    ) + struct.pack("<4sLQL", b"PK\x06\x07", 0, at, 1)
    for comment in (b"", b"#" * 65_535):
        end = plain[at:-2] + struct.pack("<H", len(comment)) + comment
        path.write_bytes(plain[:at] + record + end)
        assert inspect(path, LIMITS).labels == ("cup", "mug")
        path.write_bytes(plain[:at] + record.replace(b"PK\x06\x06", b"PK\x06\x05") + end)
        assert _refused(path).code is ErrorCode.DATASET_INVALID


def test_one_class_is_refused_by_name(tmp_path: Path) -> None:
    """A classifier of one class answers the same to everything."""
    refused = _refused(_zip(tmp_path / "set.zip", {"mug/a.jpg": IMAGE, "mug/b.jpg": IMAGE}))
    assert refused.code is ErrorCode.TOO_FEW_CLASSES
    assert "mug" in refused.message
    nested = _zip(tmp_path / "nested.zip", {"top/mug/a.jpg": IMAGE})
    assert _refused(nested).code is ErrorCode.TOO_FEW_CLASSES


def test_the_same_name_twice_is_refused(tmp_path: Path) -> None:
    """Which of the two pictures was meant would depend on the program."""
    path = _zip(tmp_path / "set.zip", {"mug/a.jpg": IMAGE, "mug/b.jpg": IMAGE, "cup/c.jpg": IMAGE})
    path.write_bytes(path.read_bytes().replace(b"mug/b.jpg", b"mug/a.jpg"))
    assert _refused(path).code is ErrorCode.DATASET_INVALID


def _listed(path: Path, name: str, manifest: str, *files: str) -> Contents:
    members = {name: manifest.encode(), **dict.fromkeys(files, IMAGE)}
    return inspect(_zip(path / "set.zip", members), LIMITS)


def test_a_manifest_names_labels_groups_and_splits(tmp_path: Path) -> None:
    """Photos of one product would end on both sides of a split."""
    text = "path,label,group,split\na.jpg,mug,SKU-1,train\nx/b.jpg,cup,SKU-2,test\nc.jpg,,,\n"
    found = _listed(tmp_path, "manifest.csv", text, "a.jpg", "x/b.jpg", "c.jpg")
    assert found.labels == ("cup", "mug")
    assert found.entries == (
        Entry("a.jpg", "a.jpg", "mug", len(IMAGE), "SKU-1", "train"),
        Entry("x/b.jpg", "x/b.jpg", "cup", len(IMAGE), "SKU-2", "test"),
        Entry("c.jpg", "c.jpg", None, len(IMAGE), None, None),
    )
    lines = '{"path": "a.jpg", "label": "mug"}\n\n{"path": "b.jpg", "label": "cup"}\n'
    found = _listed(tmp_path, "top/manifest.jsonl", lines, "top/a.jpg", "top/b.jpg")
    assert [entry.label for entry in found.entries] == ["mug", "cup"]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("manifest.csv", "path,label\na.jpg,mug\nz.jpg,cup\n", "line 3: there is no file"),
        ("manifest.csv", "path,label\na.jpg,mug\na.jpg,cup\n", "line 3: 'a.jpg' is listed twice"),
        ("manifest.csv", "path,label\na.jpg,mug\n", "b.jpg is not listed"),
        ("manifest.csv", "file,label\na.jpg,mug\n", "line 1: `path` is missing"),
        ("manifest.csv", "path,sku\na.jpg,mug\n", "line 1: unknown column 'sku'"),
        ("manifest.csv", "path,label\na.jpg,mug,x\n", "line 2: has more values"),
        ("manifest.csv", "path,split\na.jpg,dev\n", "line 2: `split` must be one of"),
        ("manifest.csv", "path,label\n,mug\n", "line 2: `path` is missing"),
        ("manifest.csv", 'path,label\n"a.jpg,mug\n', "is not CSV"),
        ("manifest.csv", f"path,label\na.jpg,{'x' * 300}\n", "line 2: `label` is longer"),
        ("manifest.csv", "path,label\na.jpg,m\x07g\nb.jpg,cup\n", "line 2: control characters"),
        ("manifest.jsonl", r'{"path": "a.jpg", "group": "\ud800"}', "line 1: control characters"),
        ("manifest.jsonl", r'{"path": "a.jpg", "group": "\u0000"}', "line 1: control characters"),
        ("manifest.csv", "", "line 1: `path` is missing"),
        ("manifest.jsonl", '{"path": "a.jpg"}\n{"path": ', "line 2: is not JSON"),
        ("manifest.jsonl", "[]", "line 1: is not a JSON object"),
        ("manifest.jsonl", '{"path": "a.jpg", "label": 7}', "line 1: `label` must be text"),
        ("manifest.jsonl", "[" * 100_000, "line 1: is nested too deeply"),
        (
            "manifest.jsonl",
            '{"path": "a.jpg", "label": "mug", "label": "cup"}',
            "line 1: holds the same name twice",
        ),
        ("manifest.csv", "path,label\na.jpg,mug\nmanifest.csv,cup\n", "line 3: there is no file"),
    ],
)
def test_a_bad_manifest_is_refused_by_line(tmp_path: Path, name: str, text: str, says: str) -> None:
    """A merchant with 10,000 lines would have to guess which one is wrong."""
    with pytest.raises(ArchiveError) as caught:
        _listed(tmp_path, name, text, "a.jpg", "b.jpg")
    assert caught.value.code is ErrorCode.DATASET_INVALID
    assert says in caught.value.message


def test_a_manifest_that_is_not_utf8(tmp_path: Path) -> None:
    """A spreadsheet's default encoding would garble every label."""
    path = _zip(tmp_path / "s.zip", {"manifest.csv": b"path,label\na.jpg,\xe9\n", "a.jpg": IMAGE})
    assert "line 2: is not UTF-8" in _refused(path).message


_FOLDERS = st.sampled_from(["mug", "cup", "t\u00e9", "x y", "\U0001f600"])
_TREES = st.dictionaries(
    st.tuples(_FOLDERS, st.integers(0, 20)).map(lambda at: f"{at[0]}/{at[1]}.jpg"),
    st.binary(max_size=50),
    min_size=2,
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(files=_TREES, top=st.sampled_from(["", "top/", "a/b/"]))
def test_any_tree_of_classes(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes], top: str
) -> None:
    """Some combination of names would lose a file or change its class."""
    path = tmp_path_factory.mktemp("tree") / "set.zip"
    _zip(path, {top + name: data for name, data in files.items()})
    if len({name.split("/")[0] for name in files}) < 2:
        assert _refused(path).code is ErrorCode.TOO_FEW_CLASSES
        return
    found = inspect(path, LIMITS)
    assert {(entry.path, entry.label) for entry in found.entries} == {
        (top + name, name.split("/")[0]) for name in files
    }


def _mutated(data: bytes, seed: int) -> bytes:
    rng = random.Random(seed)
    changed = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(changed))
        kind = rng.randrange(4)
        if kind == 0:
            changed[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del changed[at : at + rng.randint(1, 40)]
        elif kind == 2:
            changed[at:at] = rng.randbytes(rng.randint(1, 20))
        else:
            changed[at : at + 4] = struct.pack("<L", rng.choice([0, 1, 0xFFFF, 0xFFFFFFFF]))
        if not changed:
            return b""
    return bytes(changed)


def test_a_thousand_damaged_zips(tmp_path: Path) -> None:
    """One odd byte would be a 500 for the merchant and a crash for ingest."""
    source = io.BytesIO()
    with zipfile.ZipFile(source, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.csv", "path,label\nm/a.jpg,mug\nb.jpg,cup\n")
        archive.writestr("m/a.jpg", IMAGE)
        archive.writestr("b.jpg", IMAGE)
    path = tmp_path / "set.zip"
    accepted = 0
    for seed in range(1000):
        path.write_bytes(_mutated(source.getvalue(), seed))
        try:
            entries = inspect(path, LIMITS).entries
            with zipfile.ZipFile(path) as archive:
                for entry in entries:
                    b"".join(read_member(archive, entry, 10_000))
            accepted += 1
        except ArchiveError as error:
            assert error.message  # noqa: PT017 - most seeds raise, and every one must say why
    assert 0 < accepted < 1000
