"""An upload that is a parquet file, as Hugging Face's `datasets` writes it: a row is an image.

https://huggingface.co/docs/hub/datasets-image. The columns are read in streams, those that nobody
asked for never.
"""

import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from core import strict_json
from core.archive import ArchiveError, Entry
from core.class_names import check_classes, is_plain
from core.parquet_ends import check_ends
from core.settings import MIB
from regraft.contract.errors import ErrorCode
from regraft.contract.status import SPLITS
from worker.ingest.messages import Task

_BUFFER_BYTES = MIB
_THRIFT_STRING, _THRIFT_ITEMS = 16 * MIB, 1_000_000
_ROWS = 256  # of labels, read at once
_BROKEN = (pa.ArrowException, OSError, ValueError, RuntimeError, MemoryError, LookupError)
_NAMED_COLUMNS = 20
_MOST_NAME_BYTES = 120
_RATIO_FLOOR = MIB

pa.set_cpu_count(1)
pa.set_io_thread_count(1)


class Columns(NamedTuple):
    """The columns that are read: of images their leaf of bytes, and that of their names if any.

    `names` are those of integer labels, by number.
    """

    image: str
    name: str | None
    label: str | None
    names: tuple[str, ...] | None
    group: str | None
    split: str | None


class ParquetContainer:
    """The rows of a parquet file; a row group that cannot be read costs its own rows alone."""

    def __init__(self, task: Task) -> None:
        self._limits = task.limits
        check_ends(task.archive)
        try:
            self._file = pq.ParquetFile(
                task.archive,
                buffer_size=_BUFFER_BYTES,
                pre_buffer=False,
                thrift_string_size_limit=_THRIFT_STRING,
                thrift_container_size_limit=_THRIFT_ITEMS,
                page_checksum_verification=True,
            )
            self._columns = columns(self._file.schema_arrow)
            self._starts = self._row_groups()
            self._check_size()
            self.entries: Sequence[Entry] = list(self._listed())
        except _BROKEN as error:
            raise _unreadable(error) from error
        if len(self.entries) != self._file.metadata.num_rows:
            raise _fault("The parquet file holds fewer rows than it says.")
        labels = {entry.label for entry in self.entries if entry.label is not None}
        check_classes(labels, task.limits, task.least_classes)
        self._damaged: set[int] = set()
        self._rows: Iterator[bytes | None] = iter(())
        self._next: tuple[int, int] | None = None

    def read(self, index: int) -> bytes:
        """Return the image of a row; raises `ArchiveError` where there is none, or too much."""
        group = next(g for g in reversed(range(len(self._starts))) if self._starts[g] <= index)
        damaged = ArchiveError(
            ErrorCode.DATASET_INVALID,
            f"Row group {group} of the parquet file is damaged, or does not fit in the decoder's "
            "memory: write it with fewer rows in a group.",
        )
        if group in self._damaged:
            raise damaged
        try:
            data = self._image(group, index)
        except _BROKEN as error:
            sys.stderr.write(f"decoder: {type(error).__name__}: {error}\n")
            self._damaged.add(group)
            raise damaged from error
        if not data:
            raise _fault(f"Row {index} holds no picture: embed the images before you write it.")
        if len(data) > self._limits.max_image_bytes:
            message = f"Row {index} has over {self._limits.max_image_bytes} bytes."
            raise ArchiveError(ErrorCode.TOO_LARGE_UNCOMPRESSED, message)
        return data

    def _image(self, group: int, index: int) -> bytes | None:
        """Return the bytes of a row, read on from the one before where that was asked last."""
        if self._next != (group, index):
            behind = index - self._starts[group]
            self._rows = islice(self._images(group), behind, None)
        self._next = (group, index + 1)
        return next(self._rows, None)

    def _images(self, group: int) -> Iterator[bytes | None]:
        for batch in self._file.iter_batches(
            1, row_groups=[group], columns=[self._columns.image], use_threads=False
        ):
            for value in batch.column(0).to_pylist():
                yield value["bytes"] if isinstance(value, dict) else value

    def _row_groups(self) -> list[int]:
        """Return the number of each row group's first row; raises for none and for too many."""
        metadata, starts, at = self._file.metadata, [], 0
        for group in range(metadata.num_row_groups):
            starts.append(at)
            at += metadata.row_group(group).num_rows
        if at != metadata.num_rows:
            raise _fault("The parquet file holds another number of rows than it says.")
        if at == 0:
            raise _fault("The parquet file holds no rows.")
        if at > self._limits.max_entries:
            message = f"The parquet file holds {at} rows; at most {self._limits.max_entries} are"
            raise ArchiveError(
                ErrorCode.TOO_MANY_ENTRIES, f"{message} taken: add the rest as a new version."
            )
        return starts

    def _check_size(self) -> None:
        """Refuse images that unpack to too much, or that are packed as no photos are."""
        metadata, packed, total = self._file.metadata, 0, 0
        for group in range(metadata.num_row_groups):
            found = metadata.row_group(group)
            for place in range(found.num_columns):
                column = found.column(place)
                if column.path_in_schema == self._columns.image:
                    packed += column.total_compressed_size
                    total += column.total_uncompressed_size
        most = self._limits.max_uncompressed_bytes
        ratio = self._limits.max_ratio
        if total > most:
            message = f"The images unpack to {total} bytes; at most {most} are taken."
            raise ArchiveError(ErrorCode.TOO_LARGE_UNCOMPRESSED, message)
        if total > _RATIO_FLOOR and total > packed * ratio:
            message = f"The images unpack to over {ratio} times their size, as no photos do."
            raise ArchiveError(ErrorCode.TOO_LARGE_UNCOMPRESSED, message)

    def _listed(self) -> Iterator[Entry]:
        """Yield a file for each row: its label, and a name that no other row has."""
        read = {
            column: column
            for column in (
                *(self._columns.name, self._columns.label),
                *(self._columns.group, self._columns.split),
            )
            if column is not None
        }
        if not read:
            for index in range(self._file.metadata.num_rows):
                yield Entry(str(index), str(index), None, 0)
            return
        index = 0
        for batch in self._file.iter_batches(_ROWS, columns=list(read), use_threads=False):
            for row in batch.to_pylist():
                yield self._entry(index, row)
                index += 1

    def _entry(self, index: int, row: dict[str, Any]) -> Entry:
        chosen = self._columns
        image = row.get(chosen.image.partition(".")[0]) or {}
        name = _last_part(image.get("path") if isinstance(image, dict) else None)
        split = self._text(index, "split", chosen.split and row[chosen.split])
        if split not in {None, *SPLITS}:
            raise _fault(f"Row {index}: `split` must be one of: {', '.join(SPLITS)}.")
        return Entry(
            str(index),
            f"{index}-{name}" if name else str(index),
            self._label(index, chosen.label and row[chosen.label]),
            0,
            self._text(index, "group", chosen.group and row[chosen.group]),
            split,
        )

    def _label(self, index: int, value: str | int | None) -> str | None:
        """Return a row's label; none for a number below nought, as `datasets` writes it."""
        names = self._columns.names
        if isinstance(value, int) and value < 0:
            return None
        if isinstance(value, int) and names is not None:
            if value >= len(names):
                message = f"Row {index}: there is no label number {value} among {len(names)} names."
                raise _fault(message)
            value = names[value]
        return self._text(index, "label", None if value is None else str(value))

    def _text(self, index: int, column: str, value: str | None) -> str | None:
        if value is not None and len(value.encode()) > self._limits.max_name_bytes:
            most = self._limits.max_name_bytes
            raise _fault(f"Row {index}: `{column}` is longer than {most} bytes.")
        if value is not None and not is_plain(value):
            raise _fault(f"Row {index}: control characters in `{column}`.")
        return value or None


def columns(schema: pa.Schema) -> Columns:
    """Return which columns are read; raises `ArchiveError` where that cannot be told.

    Images are in `image`, or in the one column that the file calls an `Image`; labels in `label`,
    or in the one column that it calls a `ClassLabel`; `group` and `split` are as in a manifest.
    """
    features = _features(schema.metadata or {})
    image = _chosen(schema, features, "image", "Image")
    if image is None:
        found = ", ".join(schema.names[:_NAMED_COLUMNS])
        raise _fault(f"The parquet file has no column `image`; its columns: {found[:500]!a}.")
    leaf, name = _leaves(schema, image)
    label = _chosen(schema, features, "label", "ClassLabel")
    names = None if label is None else _names(features.get(label))
    if label is not None and not (_is_text(schema, label) or _is_integer(schema, label)):
        raise _fault(f"The column {label[:80]!a} holds no labels: texts or whole numbers.")
    for column in ("group", "split"):
        if schema.names.count(column) and not _is_text(schema, column):
            raise _fault(f"The column `{column}` must hold texts.")
    group = "group" if "group" in schema.names else None
    split = "split" if "split" in schema.names else None
    return Columns(leaf, name, label, names, group, split)


def _chosen(schema: pa.Schema, features: dict[str, Any], name: str, kind: str) -> str | None:
    """Return the column of that name, or the one that is of that kind."""
    if len(set(schema.names)) != len(schema.names):
        raise _fault("The parquet file has two columns of the same name.")
    if name in schema.names:
        return name
    found = [
        column
        for column, feature in features.items()
        if column in schema.names and isinstance(feature, dict) and feature.get("_type") == kind
    ]
    if len(found) > 1:
        shown = ", ".join(found[:_NAMED_COLUMNS])[:500]
        raise _fault(f"Several columns could be `{name}` ({shown!a}): rename the one to learn.")
    return found[0] if found else None


def _leaves(schema: pa.Schema, image: str) -> tuple[str, str | None]:
    """Return the column of an image's bytes and that of its name, as parquet calls them."""
    kind = schema.field(image).type
    if _is_binary(kind):
        return image, None
    if pa.types.is_struct(kind):
        inner = {kind.field(place).name: kind.field(place).type for place in range(len(kind))}
        if "bytes" in inner and _is_binary(inner["bytes"]):
            has_name = "path" in inner and pa.types.is_string(inner["path"])
            return f"{image}.bytes", f"{image}.path" if has_name else None
    message = f"The column {image[:80]!a} must hold encoded pictures: bytes, or `bytes` and `path`."
    raise _fault(message)


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_text(schema: pa.Schema, column: str) -> bool:
    kind = schema.field(column).type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_integer(schema: pa.Schema, column: str) -> bool:
    return bool(pa.types.is_integer(schema.field(column).type))


def _features(metadata: dict[bytes, bytes]) -> dict[str, Any]:
    """Return what `datasets` wrote of each column; nothing where it wrote nothing."""
    if b"huggingface" not in metadata:
        return {}
    try:
        found: Any = strict_json.parse(metadata[b"huggingface"].decode())
        features = found["info"]["features"]
    except (strict_json.InvalidJsonError, UnicodeDecodeError, LookupError, TypeError):
        return {}
    return features if isinstance(features, dict) else {}


def _names(feature: Any) -> tuple[str, ...] | None:
    """Return the names of a `ClassLabel`'s numbers, if they are given."""
    names = feature.get("names") if isinstance(feature, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return None
    return tuple(names)


def _last_part(path: object) -> str:
    """Return the last part of an image's path, nothing for one that should not be shown."""
    name = path.replace("\\", "/").rpartition("/")[2] if isinstance(path, str) else ""
    shown = is_plain(name) and len(name.encode("utf-8", "replace")) <= _MOST_NAME_BYTES
    return name if shown else ""


def _fault(message: str) -> ArchiveError:
    return ArchiveError(ErrorCode.DATASET_INVALID, message)


def _unreadable(error: BaseException) -> ArchiveError:
    """Say that a file cannot be read; what the library says may name our own paths."""
    sys.stderr.write(f"decoder: {type(error).__name__}: {error}\n")
    return _fault("The parquet file is damaged, or cannot be read with the decoder's memory.")
