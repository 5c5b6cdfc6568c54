"""Make the drawing-and-photo sample from the pictures that objects.tsv lists.

Usage: python make_objects.py CLIPART_PNG_FOLDER STAMPS_FOLDER [OUT_FOLDER]
"""

import csv
import re
import sys
from pathlib import Path
from typing import Final

from PIL import Image

HERE: Final = Path(__file__).parent
SIDE: Final = 112


def read_rows() -> list[dict[str, str]]:
    """Read the list: part, class, collection, and path within the collection."""
    with (HERE / "objects.tsv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t"))


def shrink(path: Path) -> Image.Image:
    """Centre a cut-out picture on a white square of at most SIDE pixels; never enlarge it."""
    with Image.open(path) as opened:
        cut_out = opened.convert("RGBA")
    longest = max(cut_out.size)
    left, top = ((longest - length) // 2 for length in cut_out.size)
    square = Image.new("RGBA", (longest, longest), "white")
    square.alpha_composite(cut_out, (left, top))
    picture = square.convert("RGB")
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return picture


def slug(path: Path) -> str:
    """Name a picture by its original file name: lower-case words joined by hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-")


def main(arguments: list[str]) -> int:
    """Write every listed picture below the output folder (by default beside this script)."""
    if not arguments[1:]:
        sys.stderr.write(__doc__ or "")
        return 2
    collections = {"openclipart": Path(arguments[0]), "stamps": Path(arguments[1])}
    out = Path(arguments[2]) if arguments[2:] else HERE / "objects"
    rows = read_rows()
    for row in rows:
        original = collections[row["collection"]] / row["path"]
        folder = out / row["part"] / row["class"]
        folder.mkdir(parents=True, exist_ok=True)
        shrink(original).save(folder / f"{slug(original)}.png", optimize=True)
    sys.stdout.write(f"{len(rows)} images\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
