"""A parquet file from its bytes to its verdicts, with the real sandboxed child."""

import json
import os
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pytest

from core.archive import ArchiveError
from core.settings import MIB, UploadLimits
from regraft.contract.verdict import Verdict
from tests.support.jobs import picture
from tests.support.parquet import IMAGE, NAMES, features, named, rows, written
from worker.ingest.messages import (
    Begun,
    Checked,
    Finished,
    FromChild,
    Opened,
    Opening,
    Refused,
    Task,
    from_child,
)
from worker.ingest.parquet import columns
from worker.line_process import LineProcess, ProcessEndedError

_COMMAND = (sys.executable, "-m", "worker.ingest.child")
_MEMORY = 256 * MIB
_MUG, _PLATE = picture(1), picture(2)


class Said(NamedTuple):
    """All verdicts of a child, and what it refused the file for; one that ended says neither."""

    checked: list[Checked]
    refused: str | None


def _said(folder: Path, data: bytes, start: int = 0, limits: UploadLimits | None = None) -> Said:
    """Let a child check a file; a child that ends is an answer too, as its supervisor knows."""
    out = folder / "out"
    out.mkdir(exist_ok=True)
    (folder / "upload").write_bytes(data)
    task = Task(
        archive=folder / "upload",
        out=out,
        start=start,
        limits=limits or UploadLimits(),
        least_classes=2,
        memory=_MEMORY,
        seconds=20.0,
        budget=600.0,
    )
    child: LineProcess[FromChild] = LineProcess(_COMMAND, from_child.validate_json)
    checked: list[Checked] = []
    try:
        child.send(task.line())
        while not isinstance(message := child.receive(30.0), Finished):
            assert isinstance(message, Opening | Opened | Begun | Checked | Refused)
            if isinstance(message, Checked):
                checked.append(message)
            if isinstance(message, Refused):
                return Said(checked, message.message)
    except ProcessEndedError as ended:
        return Said(checked, f"ended: {ended.how}")
    finally:
        child.kill()
    return Said(checked, None)


def _shown(said: Said) -> list[tuple[str, str | None, Verdict]]:
    assert said.refused is None
    return [(one.path, one.label, one.verdict) for one in said.checked]


def test_a_file_as_datasets_writes_it(tmp_path: Path) -> None:
    """A merchant would have to unpack what half of the field's sets come as."""
    cells = [
        {"bytes": _MUG, "path": "train/red mug.png"},
        {"bytes": _PLATE, "path": None},
        {"bytes": b"not an image", "path": "a\nb"},
        None,
        {"bytes": None, "path": "/somewhere/else.png"},
        {"bytes": picture(3, (64, 64), "JPEG")[:400], "path": "c:\\photos\\cut.png"},
    ]
    table = pa.table(
        {
            "label": pa.array([0, 1, 1, 0, 0, -1], pa.int64()),
            "image": pa.array(cells, IMAGE),
            "group": pa.array(["m1", None, "p1", "m1", "m1", None]),
            "split": pa.array(["train", "test", None, None, None, None]),
            "embedding": pa.array([[0.5] * 4] * 6),
        }
    ).replace_schema_metadata(named())
    said = _said(tmp_path, written(table, row_group_size=2))
    assert _shown(said) == [
        ("0-red mug.png", "mug", Verdict.OK),
        ("1", "plate", Verdict.OK),
        ("2", "plate", Verdict.NOT_AN_IMAGE),
        ("3", "mug", Verdict.CORRUPT),
        ("4-else.png", "mug", Verdict.CORRUPT),
        ("5-cut.png", None, Verdict.TRUNCATED),
    ]
    assert [(one.group, one.split) for one in said.checked[:2]] == [("m1", "train"), (None, "test")]
    assert "embed" in str(said.checked[4].message)


def test_a_child_begins_in_the_middle_of_a_row_group(tmp_path: Path) -> None:
    """After a row that kills its decoder the next rows would be other rows' pictures."""
    images = [picture(number) for number in range(6)]
    data = written(rows(images, [0, 1] * 3), row_group_size=4)
    whole = _said(tmp_path, data)
    assert _said(tmp_path, data, start=3).checked == whole.checked[3:]
    assert len({one.content for one in whole.checked}) == 6


@pytest.mark.parametrize("codec", ["none", "snappy", "gzip", "zstd", "lz4", "brotli"])
def test_every_codec(tmp_path: Path, codec: str) -> None:
    """A file would be unreadable for the setting that its writer happened to have."""
    data = written(rows([_MUG, _PLATE], [0, 1]), compression=codec, data_page_version="2.0")
    assert [one.verdict for one in _said(tmp_path, data).checked] == [Verdict.OK, Verdict.OK]


def test_images_as_bytes_and_labels_as_texts(tmp_path: Path) -> None:
    """A file that was written by hand would need the library that it was not written with."""
    for kind in (pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())):
        labels = pa.array(["mug", "plate", None], pa.string()).cast(kind)
        images = pa.array([_MUG, _PLATE, picture(3)], pa.large_binary())
        said = _said(tmp_path, written(pa.table({"image": images, "label": labels})))
        assert [one.label for one in said.checked] == ["mug", "plate", None]


def test_unlabelled_images(tmp_path: Path) -> None:
    """A set of photos without labels could not be brought as a target domain."""
    said = _said(tmp_path, written(pa.table({"image": pa.array([_MUG, _PLATE])})))
    assert _shown(said) == [("0", None, Verdict.OK), ("1", None, Verdict.OK)]


def test_a_damaged_row_group_costs_its_own_rows(tmp_path: Path) -> None:
    """One flipped bit in a gigabyte would cost the whole upload."""
    images = [picture(number) for number in range(6)]
    data = bytearray(
        written(
            rows(images, [0, 1] * 3),
            row_group_size=2,
            compression="none",
            use_dictionary=False,
            write_statistics=False,
            write_page_checksum=True,
        )
    )
    at = data.index(images[2]) + len(images[2]) // 2
    data[at] ^= 0x55
    verdicts = [one.verdict for one in _said(tmp_path, bytes(data)).checked]
    bad, good = Verdict.CORRUPT, Verdict.OK
    assert verdicts == [good, good, bad, bad, good, good]


def test_one_huge_row_costs_no_other_group(tmp_path: Path) -> None:
    """A stranger's file would take the memory of the host, or the whole upload with it."""
    huge = os.urandom(_MEMORY)
    data = written(rows([_MUG, huge, _PLATE], [0, 1, 1]), row_group_size=1, use_dictionary=False)
    said = _said(tmp_path, data, limits=UploadLimits(max_image_bytes=MIB))
    assert said.checked[0].verdict is Verdict.OK
    if said.refused is None:
        assert [one.verdict for one in said.checked] == [
            *(Verdict.OK, Verdict.CORRUPT, Verdict.OK),
        ]
    else:
        assert said.refused.startswith("ended")
        assert [one.verdict for one in _said(tmp_path, data, start=2).checked] == [Verdict.OK]


def _labelled(**kinds: Any) -> dict[bytes, bytes]:
    return features(image={"_type": "Image"}, **kinds)


def _table(**given: Any) -> pa.Table:
    return pa.table({"image": pa.array([_MUG, _PLATE]), **given})


_REFUSED: dict[str, tuple[Callable[[], pa.Table], str]] = {
    "no image": (lambda: pa.table({"photo": [_MUG], "label": [1]}), "no column `image`"),
    "a list of images": (lambda: pa.table({"image": [[_MUG], [_PLATE]]}), "encoded pictures"),
    "texts as images": (lambda: pa.table({"image": ["a.png", "b.png"]}), "encoded pictures"),
    "numbers with a fraction": (lambda: _table(label=[0.5, 1.5]), "no labels"),
    "lists of labels": (lambda: _table(label=[[0], [1]]), "no labels"),
    "a number without a name": (
        lambda: _table(label=[0, 2]).replace_schema_metadata(named()),
        "Row 1: there is no label number 2",
    ),
    "numbers as groups": (lambda: _table(group=[1, 2]), "`group` must hold texts"),
    "a split of its own": (lambda: _table(split=["train", "dev"]), "Row 1: `split` must be"),
    "a long label": (lambda: _table(label=["mug", "x" * 300]), "Row 1: `label` is longer"),
    "a label that hides": (lambda: _table(label=["mug", "m\u202eug"]), "Row 1: control"),
    "one class": (lambda: _table(label=["mug", "mug"]), "one class only"),
    "no rows": (lambda: _table(label=["mug", "plate"]).slice(0, 0), "no rows"),
    "two columns of labels": (
        lambda: _table(fine=[0, 1], coarse=[0, 0]).replace_schema_metadata(
            _labelled(fine={"_type": "ClassLabel"}, coarse={"_type": "ClassLabel"})
        ),
        "rename the one to learn",
    ),
    "one name for two columns": (
        lambda: pa.table([pa.array([_MUG]), pa.array([_MUG])], names=["image", "image"]),
        "two columns of the same name",
    ),
    "nothing but noughts": (lambda: pa.table({"image": [bytes(3 * MIB)]}), "as no photos do"),
}


@pytest.mark.parametrize("name", _REFUSED)
def test_what_nothing_can_be_learned_from(tmp_path: Path, name: str) -> None:
    """A merchant would be told that the decoder failed, and not what to change."""
    table, words = _REFUSED[name]
    said = _said(tmp_path, written(table(), compression="zstd"))
    assert words in str(said.refused)
    assert str(tmp_path) not in str(said.refused)


def test_more_rows_than_an_upload_may_have(tmp_path: Path) -> None:
    """Ten million empty rows would be checked one by one."""
    labels = pa.array([0] * 3, pa.int64())
    data = written(pa.table({"image": [b""] * 3, "label": labels}))
    said = _said(tmp_path, data, limits=UploadLimits(max_entries=2))
    assert "3 rows" in str(said.refused)


def test_files_with_bytes_changed_anywhere(tmp_path: Path) -> None:
    """Some odd file would be answered by nothing at all."""
    whole = written(rows([_MUG, _PLATE, picture(3)], [0, 1, 0]), row_group_size=2)
    words = set()
    for seed in range(15):
        dice = random.Random(seed)
        data = bytearray(whole)
        footer = int.from_bytes(data[-8:-4], "little")
        first = 4 if seed % 2 else len(data) - 8 - footer
        for _ in range(dice.randint(1, 4)):
            data[dice.randrange(first, len(data) - 8)] = dice.randrange(256)
        said = _said(tmp_path, bytes(data))
        assert said.refused is not None or len(said.checked) == 3
        words.add(said.refused)
    assert len(words) > 1


def test_the_columns_of_known_sets() -> None:
    """CIFAR's images are in `img`; a set without a ClassLabel has its numbers as names."""
    of_cifar = pa.schema([("img", IMAGE), ("label", pa.int64())]).with_metadata(
        features(img={"_type": "Image"}, label={"_type": "ClassLabel", "names": list(NAMES)})
    )
    found = columns(of_cifar)
    assert (found.image, found.name, found.label) == ("img.bytes", "img.path", "label")
    assert found.names == NAMES
    for metadata in (b"{", b"[]", json.dumps({"info": {"features": 3}}).encode(), b"\xff"):
        schema = pa.schema([("image", pa.binary()), ("label", pa.int8())])
        found = columns(schema.with_metadata({b"huggingface": metadata}))
        assert (found.image, found.name, found.names) == ("image", None, None)
    with pytest.raises(ArchiveError):
        columns(pa.schema([("label", pa.int64())]))
