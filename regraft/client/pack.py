"""From a folder of class folders to one zip: the same bytes for the same files, every time.

May import the standard library and this package's errors.
"""

import os
import shutil
import unicodedata
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from regraft.client.errors import InvalidInput

MANIFESTS = frozenset({"manifest.csv", "manifest.jsonl"})
_JUNK = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "icon\r"})
_ALREADY_SMALL = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".avif", ".heic", ".zip"})
_EPOCH = (1980, 1, 1, 0, 0, 0)
_PLAIN_FILE = 0o100644 << 16
_ZIP64_FROM = 2**31 - 1


def pack(folder: Path, target: IO[bytes], least_classes: int = 2) -> int:
    """Write `folder` as a zip into `target`, streamed; return the number of files.

    Left out: hidden files, and what Windows and macOS leave behind. Photos are stored, the rest
    is deflated. Names, order, dates and modes depend on nothing but the files.

    Raises:
        InvalidInput: a link, a device, a name that is not Unicode, or too few classes.
    """
    files = sorted(_named(folder), key=lambda entry: entry[0])
    _check_layout(folder, [name for name, _ in files], least_classes)
    with zipfile.ZipFile(target, "w") as archive:
        for name, path in files:
            _add(archive, name, path)
    return len(files)


def _named(folder: Path) -> Iterator[tuple[str, Path]]:
    seen: dict[str, Path] = {}
    for path in _walk(folder):
        name = unicodedata.normalize("NFC", path.relative_to(folder).as_posix())
        if not name.isascii() and any("\ud800" <= char <= "\udfff" for char in name):
            raise InvalidInput(f"rename {os.fsencode(path)!r}: its name is not valid Unicode")
        if name in seen:
            raise InvalidInput(f"{path} and {seen[name]} have the same name in Unicode's NFC form")
        seen[name] = path
        yield name, path


def _walk(folder: Path) -> Iterator[Path]:
    """Yield the plain files below `folder` that are meant to be sent."""
    with os.scandir(folder) as entries:
        for entry in entries:
            path = Path(entry.path)
            if entry.name.startswith(".") or entry.name.lower() in _JUNK:
                continue
            if entry.is_symlink():
                raise InvalidInput(f"{path} is a symbolic link: put the file itself there")
            if entry.is_dir():
                yield from _walk(path)
            elif entry.is_file():
                yield path
            else:
                raise InvalidInput(f"{path} is neither a file nor a folder")


def _check_layout(folder: Path, names: list[str], least_classes: int) -> None:
    """Refuse what the service would refuse anyway, before anything is sent."""
    if not names:
        raise InvalidInput(f"{folder} holds no files to send")
    if MANIFESTS.intersection(names):
        return
    classes = sorted({name.split("/", 1)[0] for name in names if "/" in name})
    if not classes:
        raise InvalidInput(f"{folder} holds no class folders: put each class's images in a folder")
    if len(classes) >= least_classes:
        return
    inside = sorted({name.split("/")[1] for name in names if name.count("/") > 1})
    meant = f"; did you mean {folder / classes[0]}?" if len(inside) > 1 else ""
    raise InvalidInput(f"{folder} holds one class only ({classes[0]}), give at least two{meant}")


def _add(archive: zipfile.ZipFile, name: str, path: Path) -> None:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.external_attr = _PLAIN_FILE
    entry.create_system = 3  # Unix, on every system: else the bytes would differ
    stored = path.suffix.lower() in _ALREADY_SMALL
    entry.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
    large = path.stat().st_size >= _ZIP64_FROM
    with path.open("rb") as source, archive.open(entry, "w", force_zip64=large) as sink:
        shutil.copyfileobj(source, sink, 1 << 20)
