"""Every code has a meaning, a status and a remedy."""

import pytest

from regraft.contract.errors import RECORDS, ErrorBody, ErrorCode, ErrorEnvelope, JobError


def test_every_code_has_a_record_and_no_other() -> None:
    """A code without a record is a KeyError in the middle of an error."""
    assert set(RECORDS) == set(ErrorCode)


@pytest.mark.parametrize("code", ErrorCode)
def test_a_record_helps(code: ErrorCode) -> None:
    """An error without a remedy is a support ticket."""
    record = RECORDS[code]
    assert 400 <= record.http_status <= 599
    assert record.remedy.endswith(".")
    assert record.remedy[0].isupper()
    assert code.value == code.value.lower()


@pytest.mark.parametrize("code", ErrorCode)
def test_a_jobs_error_survives_its_row(code: ErrorCode) -> None:
    """`class` is a word of Python: the field must keep its name on the wire."""
    error = JobError.of(code, "it failed", "hyperparameters.epochs")
    text = error.model_dump_json(by_alias=True)
    assert f'"class":"{RECORDS[code].error_class}"' in text
    assert JobError.model_validate_json(text) == error


def test_an_older_client_reads_a_newer_error() -> None:
    """An error that cannot be read hides the reason."""
    body = {"type": "t", "code": "of_next_year", "message": "m", "hint": {"x": 1}}
    envelope = ErrorEnvelope.model_validate({"error": body, "trace": []})
    assert envelope.error == ErrorBody(type="t", code="of_next_year", message="m")
