"""Whether a known vulnerability is in what is installed: `python -m deploy.audit`.

Asks pip-audit about this environment and passes its arguments on. Where no source of
vulnerabilities is reachable it says so and fails nothing.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

_COMMAND = ("pip_audit", "--local", "--skip-editable", "--progress-spinner", "off")
_SECONDS = 300
_OK, _FOUND, _BROKEN = 0, 1, 2
# What pip-audit ends with, a sentence or an exception's name, where nobody answers.
_UNREACHED = ("ConnectionError", "Timeout", "HTTPError", "Could not connect", "Connection reset")


class Verdict(NamedTuple):
    """What to print, and the exit code: 0, 1 for a vulnerability, 2 for an audit that broke."""

    code: int
    text: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Audit this environment, print one paragraph and return the exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    command = [sys.executable, "-m", *_COMMAND, "--format", "json", *given]
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=_SECONDS
        )
        verdict = judge(done.stdout, done.stderr)
    except subprocess.TimeoutExpired:
        verdict = Verdict(_OK, _not_audited(f"no answer in {_SECONDS} s"))
    sys.stdout.write(f"audit: {verdict.text}\n")
    return verdict.code


def judge(stdout: str, stderr: str) -> Verdict:
    """Return what pip-audit's report means; its own exit code tells no fault from a finding."""
    try:
        packages: list[dict[str, Any]] = json.loads(stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        last = (stderr.strip().splitlines() or ["pip-audit said nothing"])[-1]
        if any(sign in stderr for sign in _UNREACHED):
            return Verdict(_OK, _not_audited(last))
        return Verdict(_BROKEN, f"pip-audit failed: {last}")
    known = [one for one in packages if "skip_reason" not in one]
    unknown = [str(one["name"]) for one in packages if "skip_reason" in one]
    if found := [line for one in known for line in _found(one)]:
        return Verdict(_FOUND, "\n  ".join([f"{len(found)} known vulnerabilities", *found]))
    if not known:
        return Verdict(_OK, _not_audited(f"it knows none of {len(unknown)} packages"))
    left = f"; not to be found there: {', '.join(unknown)}" if unknown else ""
    return Verdict(_OK, f"no known vulnerability in {len(known)} packages{left}")


def _found(package: dict[str, Any]) -> list[str]:
    """Return a line for each vulnerability: what is installed, its name, where it is mended."""
    return [
        f"{package['name']} {package['version']}: {one['id']}, "
        f"mended in {', '.join(one['fix_versions']) or 'no version yet'}"
        for one in package["vulns"]
    ]


def _not_audited(reason: str) -> str:
    return f"not done, for no source of vulnerabilities is reachable ({reason})"


if __name__ == "__main__":
    sys.exit(main())
