"""Checks of an uploaded zip as a container, for the API (before a row exists) and for ingest.

Nothing is extracted to a name and no image is decoded here. May import the standard library,
core and regraft.contract.
"""

import contextlib
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from core.class_names import check_classes, is_plain
from core.manifest import MANIFESTS, ArchiveError, Listed, parse_manifest
from core.settings import MIB, UploadLimits
from core.zip_directory import RECORD_BUDGET, check_container
from regraft.contract.errors import ErrorCode

__all__ = ["ArchiveError", "Contents", "Entry", "inspect", "read_member"]

_PIECE = 64 * 1024
_RATIO_FLOOR = MIB
_LOCAL_HEADER = 30
_UTF8_NAME = 0x800
_ENCRYPTED = 0x41
_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_JUNK = frozenset({"thumbs.db", "desktop.ini", "__macosx"})
_BROKEN = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    OverflowError,
    ValueError,
)


class Entry(NamedTuple):
    """One file: `member` names it in the zip, `path` is shown, `size` is declared, in bytes."""

    member: str
    path: str
    label: str | None
    size: int
    group: str | None = None
    split: str | None = None


class Contents(NamedTuple):
    """What a zip holds: its files in the zip's order, and its labels in alphabetical order."""

    entries: tuple[Entry, ...]
    labels: tuple[str, ...]


def inspect(path: Path, limits: UploadLimits, least_classes: int = 2) -> Contents:
    """Check a zip as a container and return its files with their labels.

    The label is the first folder that varies, or what a manifest at the top says.
    `least_classes` are wanted where there are any. Raises `ArchiveError` for the first fault found.
    """
    try:
        with path.open("rb") as source:
            check_container(source, limits)
            with zipfile.ZipFile(source) as archive:
                return _contents(archive, limits, least_classes)
    except _BROKEN as error:
        raise ArchiveError(
            ErrorCode.DATASET_INVALID, "The file is not a zip, or it is cut short or damaged."
        ) from error


def read_member(archive: zipfile.ZipFile, entry: Entry, limit: int) -> Iterator[bytes]:
    """Yield a file's bytes in pieces of at most 64 KiB.

    Counts what really comes out: raises `ArchiveError` beyond `limit` bytes or beyond the
    declared size, and where the data is damaged.
    """
    count, allowed = 0, min(limit, entry.size)
    try:
        with archive.open(entry.member) as source:
            while piece := source.read(_PIECE):
                count += len(piece)
                if count > allowed:
                    raise ArchiveError(
                        ErrorCode.TOO_LARGE_UNCOMPRESSED,
                        f"{entry.path} unpacks to over {allowed} bytes.",
                    )
                yield piece
    except (*_BROKEN, KeyError, RuntimeError) as error:
        raise ArchiveError(ErrorCode.DATASET_INVALID, f"{entry.path} is damaged.") from error


def _contents(archive: zipfile.ZipFile, limits: UploadLimits, least_classes: int) -> Contents:
    members = archive.infolist()
    names = {member: _name(member) for member in members}
    for member, name in names.items():
        _check_name(name, limits)
        _check_member(member, name)
    _check_overlap(members, archive.start_dir)
    _check_size(members, limits)
    files = {
        tuple(part for part in name.split("/") if part != "."): member
        for member, name in names.items()
        if not member.is_dir() and not _is_junk(name)
    }
    wanted = [name for m, name in names.items() if not m.is_dir() and not _is_junk(name)]
    # zipfile finds a member by the name that it decoded itself, and would read another one.
    read_by = {member.filename for member in files.values()}
    if not len(wanted) == len(files) == len(read_by):
        raise ArchiveError(ErrorCode.DATASET_INVALID, "The zip holds two files of the same name.")
    if not files:
        raise ArchiveError(ErrorCode.DATASET_INVALID, "The zip holds no files.")
    entries = _labelled(archive, files, limits)
    labels = {entry.label for entry in entries if entry.label is not None}
    return Contents(tuple(entries), check_classes(labels, limits, least_classes))


def _name(member: zipfile.ZipInfo) -> str:
    """Return a member's name; many tools write UTF-8 without saying so."""
    name = member.orig_filename
    if not member.flag_bits & _UTF8_NAME:
        with contextlib.suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return unicodedata.normalize("NFC", name)


def _check_name(name: str, limits: UploadLimits) -> None:
    parts = name.removesuffix("/").split("/")
    if ".." in parts or "" in parts or "\\" in name or name[1:2] == ":":
        raise ArchiveError(ErrorCode.UNSAFE_PATH, f"Unsafe path in the zip: {name[:80]!a}.")
    if not is_plain(name):
        raise ArchiveError(
            ErrorCode.UNSAFE_PATH, f"Control characters in a name in the zip: {name[:80]!a}."
        )
    if len(name.encode("utf-8", "surrogatepass")) > limits.max_name_bytes:
        raise ArchiveError(
            ErrorCode.UNSAFE_PATH,
            f"A name in the zip is longer than {limits.max_name_bytes} bytes: {name[:80]!a}…",
        )


def _check_member(member: zipfile.ZipInfo, name: str) -> None:
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
        raise ArchiveError(ErrorCode.UNSAFE_ENTRY, f"{name} is a link or a device, not a file.")
    if member.flag_bits & _ENCRYPTED:
        raise ArchiveError(ErrorCode.UNSAFE_ENTRY, f"{name} is encrypted.")
    if member.compress_type not in _METHODS:
        raise ArchiveError(
            ErrorCode.UNSAFE_ENTRY, f"{name} is packed with a method other than store or deflate."
        )


def _check_overlap(members: list[zipfile.ZipInfo], directory: int) -> None:
    """Refuse entries that share bytes: one compressed kernel, unpacked thousands of times."""
    free = 0
    for member in sorted(members, key=lambda member: member.header_offset):
        if member.header_offset < free:
            raise ArchiveError(
                ErrorCode.UNSAFE_ENTRY, "Entries of the zip overlap: it is not a plain archive."
            )
        name = member.orig_filename.encode(
            "utf-8" if member.flag_bits & _UTF8_NAME else "cp437", "surrogatepass"
        )
        free = member.header_offset + _LOCAL_HEADER + len(name) + member.compress_size
    if free > directory:
        raise zipfile.BadZipFile("entries reach beyond the central directory")


def _check_size(members: list[zipfile.ZipInfo], limits: UploadLimits) -> None:
    total = sum(member.file_size for member in members)
    packed = sum(member.compress_size for member in members)
    if total > limits.max_uncompressed_bytes:
        raise ArchiveError(
            ErrorCode.TOO_LARGE_UNCOMPRESSED,
            f"The zip unpacks to {total} bytes; at most {limits.max_uncompressed_bytes} are taken.",
        )
    if total > _RATIO_FLOOR and total > packed * limits.max_ratio:
        raise ArchiveError(
            ErrorCode.TOO_LARGE_UNCOMPRESSED,
            f"The zip unpacks to over {limits.max_ratio} times its size, as no photos do.",
        )


def _is_junk(name: str) -> bool:
    """Tell what file managers leave behind: resource forks, thumbnails, hidden files."""
    return any(
        part.lower() in _JUNK or (part.startswith(".") and part != ".") for part in name.split("/")
    )


Files = dict[tuple[str, ...], zipfile.ZipInfo]


def _labelled(archive: zipfile.ZipFile, files: Files, limits: UploadLimits) -> list[Entry]:
    for folder in _manifest_folders(files):
        found = [name for name in MANIFESTS if (*folder, name) in files]
        if len(found) > 1:
            raise ArchiveError(ErrorCode.DATASET_INVALID, "The zip holds two manifests.")
        if found:
            return _listed(archive, files, (*folder, found[0]), limits)
    depth = _class_depth(files)
    return [
        Entry(
            member.filename,
            "/".join(parts),
            parts[depth] if len(parts) > depth + 1 else None,
            member.file_size,
        )
        for parts, member in files.items()
    ]


def _manifest_folders(files: Files) -> list[tuple[str, ...]]:
    """Return where a manifest may lie: at the top, or in the one folder that holds all files."""
    heads = {parts[:1] if len(parts) > 1 else () for parts in files}
    return [()] if len(heads) > 1 else [(), *(heads - {()})]


def _class_depth(files: Files) -> int:
    """Return how many folders all files share, where folders follow below: they name no class."""
    depth = 0
    while True:
        heads = {parts[depth] if len(parts) > depth + 1 else None for parts in files}
        deeper = any(len(parts) > depth + 2 for parts in files)
        if len(heads) > 1 or heads == {None} or not deeper:
            return depth
        depth += 1


def _listed(
    archive: zipfile.ZipFile, files: Files, manifest: tuple[str, ...], limits: UploadLimits
) -> list[Entry]:
    """Return the files that a manifest lists; it must list every file, and no other."""
    where, member = "/".join(manifest), files[manifest]
    source = Entry(member.filename, where, None, member.file_size)
    text = b"".join(read_member(archive, source, limits.max_entries * RECORD_BUDGET))
    listed: dict[tuple[str, ...], Listed] = {}
    for row in parse_manifest(manifest[-1], text, limits.max_name_bytes):
        parts = (*manifest[:-1], *unicodedata.normalize("NFC", row.path).split("/"))
        if parts not in files or parts == manifest:
            raise row.fault(f"there is no file {row.path[:80]!a} in the zip")
        if parts in listed:
            raise row.fault(f"{row.path[:80]!a} is listed twice")
        for column, value in (("label", row.label), ("group", row.group)):
            if value is not None and not is_plain(value):
                raise row.fault(f"control characters in `{column}`")
        listed[parts] = row
    for parts in files:
        if parts not in listed and parts != manifest:
            raise ArchiveError(
                ErrorCode.DATASET_INVALID, f"{'/'.join(parts)} is not listed in {where}."
            )
    return [
        Entry(
            files[parts].filename,
            "/".join(parts),
            row.label,
            files[parts].file_size,
            row.group,
            row.split,
        )
        for parts, row in listed.items()
    ]
