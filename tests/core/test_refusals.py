"""Every refusal carries a status of the contract."""

import pytest

from core.refusals import ConflictError, InvalidError, NotFoundError, RefusedError
from regraft.contract.errors import RECORDS, ErrorCode


@pytest.mark.parametrize("code", list(ErrorCode))
def test_a_code_says_its_status(code: ErrorCode) -> None:
    """A code without a status would be answered as 500."""
    assert RefusedError(code, "no").http_status == RECORDS[code].http_status


def test_the_common_ones() -> None:
    """A wrong default would tell a merchant that a missing job is a conflict."""
    assert NotFoundError("job").message == "There is no such job."
    assert NotFoundError("job").http_status == 404
    assert ConflictError("ended").http_status == 409
    (detail,) = InvalidError("name", "is required", "missing").details
    assert (detail.param, detail.code, detail.message) == ("name", "missing", "is required")
