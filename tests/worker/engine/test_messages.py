"""What crosses the pipe is JSON that any reader takes, and costs the supervisor no torch."""

import json
import subprocess
import sys
from math import inf, nan

import pytest
from pydantic import ValidationError

from worker.engine.messages import EventReport, MetricsReport, from_trainer


@pytest.mark.parametrize("value", [nan, inf, -inf])
def test_a_number_that_json_lacks_never_reaches_the_pipe(value: float) -> None:
    """The supervisor's parser would stop in the middle of a job."""
    with pytest.raises(ValidationError):
        MetricsReport(step=0, values={"loss": value})
    line = EventReport(message="x", data={"loss": value}).line()
    assert json.loads(line, parse_constant=pytest.fail)["data"] == {"loss": None}


def test_a_line_is_one_line() -> None:
    """A message with a line break would be read as two."""
    message = EventReport(message="one\ntwo", level="warn")
    assert message.line().count("\n") == 1
    assert from_trainer.validate_json(message.line()) == message


def test_the_supervisor_reads_messages_without_torch() -> None:
    """Every worker child would take two seconds and 300 MB for nothing."""
    code = (
        "import sys, worker.engine.messages, worker.engine.packs, worker.engine.serve;"
        "assert not {'torch', 'timm', 'onnx', 'onnxruntime'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
