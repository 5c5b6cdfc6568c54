"""docs/security.md names proofs: each of them is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "security.md").read_text()


def test_every_proof_exists() -> None:
    """A promise whose proof was renamed is a promise of nothing."""
    commands = re.findall(r"`T ([^`]+)`", TEXT)
    assert len(commands) >= 15
    for command in commands:
        paths, _, words = command.partition(" -k ")
        sources = []
        for name in paths.split():
            path = ROOT / name
            assert path.exists(), name
            files = path.rglob("test_*.py") if path.is_dir() else [path]
            sources.append("\n".join(file.read_text() for file in files))
        for word in re.findall(r"\w+", words):
            if word != "or":
                assert re.search(rf"def test_\w*{word}", "\n".join(sources)), (command, word)


def test_every_row_of_the_ten_is_there() -> None:
    """A risk that is left out looks like one that is answered."""
    rows = re.findall(r"^\| API(\d+) .*\| `T tests/.*\|$", TEXT, re.MULTILINE)
    assert rows == [str(number) for number in range(1, 11)]


def test_every_setting_is_read() -> None:
    """An operator would set a name that nobody reads."""
    settings = (ROOT / "api" / "settings.py").read_text()
    for names in re.findall(r"^\| (`REGRAFT_API_[^|]+)\|", TEXT, re.MULTILINE):
        for name in re.findall(r"`(?:REGRAFT_API)?_?([A-Z_]+)`", names):
            assert re.search(rf"^    {name.lower()}: ", settings, re.MULTILINE), name
