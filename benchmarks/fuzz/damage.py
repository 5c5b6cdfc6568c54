"""Seeded damage: valid zips, images, JSON and requests with bytes flipped, cut and spliced."""

import io
import json
import random
import zipfile

from PIL import Image

from benchmarks.fuzz.target import by_chance
from tests.support.parquet import rows, written

_KINDS = ("JPEG", "PNG", "WEBP")
_ODD_HEADERS = (
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: xchunked",
    b"Content-Length: +5",
    b"Content-Length: 99999999999999999999",
    b"Host: evil",
    b"Expect: 100-continue",
    b"Connection: Upgrade, HTTP2-Settings",
    b"Content-Encoding: gzip",
    b"Idempotency-Key: \xff\xfe",
    b"X-Request-Id: a\tb",
    b"Range: bytes=9-1,-0,",
    b"Cookie: " + b"a" * 9000,
)


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Return the bytes with one to five of them flipped, cut out, repeated or cut off."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 5)):
        at = rng.randrange(len(changed) + 1)
        match rng.randrange(6):
            case 0 | 1:
                changed[at : at + 1] = bytes([rng.randrange(256)])
            case 2:
                del changed[at : at + rng.randint(1, 40)]
            case 3:
                start = rng.randrange(len(changed) + 1)
                changed[at:at] = changed[start : start + rng.randint(1, 200)]
            case 4:
                changed[at:at] = rng.randbytes(rng.randint(1, 8))
            case _ if by_chance(rng, 30):
                del changed[at:]
    return bytes(changed)


def picture(rng: random.Random) -> bytes:
    """Return a small photo-like image in one of the formats that are taken."""
    size = (rng.randint(16, 80), rng.randint(16, 80))
    pixels = rng.randbytes(size[0] * size[1] * 3)
    out = io.BytesIO()
    kind = rng.choice(_KINDS)
    options = {"progressive": by_chance(rng, 50)} if kind == "JPEG" else {}
    Image.frombytes("RGB", size, pixels).save(out, kind, **options)
    return out.getvalue()


def pictures(rng: random.Random) -> bytes:
    """Return a sound zip of images, most of which are damaged."""
    files = {}
    for number in range(rng.randint(2, 8)):
        data = picture(rng)
        label = rng.choice(("mug", "cup", "t\u00e9"))
        files[f"{label}/{number}.jpg"] = damaged(data, rng) if by_chance(rng, 70) else data
    return _zip(files, rng)


def archive(rng: random.Random) -> bytes:
    """Return a damaged zip, with a damaged manifest now and then."""
    files = {f"{rng.choice('ab')}/{number}.png": picture(rng) for number in range(3)}
    if by_chance(rng, 30):
        rows = "".join(json.dumps({"path": path, "label": path[0]}) + "\n" for path in files)
        files["manifest.jsonl"] = damaged(rows.encode(), rng)
        return _zip(files, rng)
    return damaged(_zip(files, rng), rng)


def columns(rng: random.Random) -> bytes:
    """Return a parquet file of images, most of which or the file itself is damaged."""
    images = [picture(rng) for _ in range(rng.randint(2, 6))]
    if by_chance(rng, 50):
        images = [damaged(image, rng) for image in images]
    table = rows(images, [rng.randrange(-1, 3) for _ in images])
    data = written(table, row_group_size=2, compression=rng.choice(("none", "snappy", "zstd")))
    return damaged(data, rng) if by_chance(rng, 60) else data


def form(data: bytes, rng: random.Random) -> bytes:
    """Return a multipart body with the file, the form itself damaged now and then."""
    head = b'--x\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n'
    file = head % (b"file", b'; filename="a.zip"') + data + b"\r\n"
    whole = head % (b"name", b"") + b"fuzz\r\n" + file + b"--x--\r\n"
    return damaged(whole, rng) if by_chance(rng, 20) else whole


def submission(dataset: str, rng: random.Random) -> bytes:
    """Return a damaged job."""
    body = {
        "dataset": dataset,
        "name": "t\u00e9",
        "base": {"backbone": "efficientnet_lite0"},
        "strategy": {"type": "linear_probe"},
        "hyperparameters": {"epochs": 5, "learning_rate": 0.1},
        "metadata": {"a": "b"},
    }
    return damaged(json.dumps(body).encode(), rng)


def request(key: str, rng: random.Random) -> bytes:
    """Return the bytes of a whole request, with odd headers and damage."""
    method = rng.choice((b"GET", b"POST", b"HEAD", b"DELETE", b"PUT", b"OPTIONS", b"TRACE"))
    path = rng.choice((b"/v1/jobs", b"/v1/datasets", b"/v1/models", b"/healthz", b"/", b"*", b"//"))
    lines = [
        method + b" " + path + rng.choice((b"", b"?limit=%ff", b"?cursor=" + b"A" * 300)),
        b"Host: x",
        b"Authorization: Bearer " + key.encode(),
        b"Content-Type: application/json",
        *rng.sample(_ODD_HEADERS, rng.randint(0, 3)),
    ]
    lines[0] += b" HTTP/1.1"
    body = rng.choice((b"", b"{}", b"2\r\n{}\r\n0\r\n\r\n"))
    if by_chance(rng, 60):
        lines.append(b"Content-Length: %d" % len(body))
    whole = b"\r\n".join(lines) + b"\r\n\r\n" + body
    return damaged(whole, rng) if by_chance(rng, 50) else whole


def _zip(files: dict[str, bytes], rng: random.Random) -> bytes:
    out = io.BytesIO()
    method = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(out, "w", method) as target:
        for name, data in files.items():
            target.writestr(name, data)
    return out.getvalue()
