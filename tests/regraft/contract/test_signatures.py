"""Signatures of webhooks, held against vectors that others published."""

import pytest

from regraft.contract.signatures import matches, secret_of, sign

# The example of the Standard Webhooks and Svix documentation.
_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
_ID, _TIMESTAMP = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330
_BODY = b'{"test": 2432232314}'
_SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_published_vector() -> None:
    """No receiver's library would accept what we send."""
    assert sign(_SECRET, _ID, _TIMESTAMP, _BODY) == _SIGNATURE


def test_everything_that_is_signed_counts() -> None:
    """An event could be replayed under another id or time, or with another body."""
    others = [
        sign(_SECRET, "msg_other", _TIMESTAMP, _BODY),
        sign(_SECRET, _ID, _TIMESTAMP + 1, _BODY),
        sign(_SECRET, _ID, _TIMESTAMP, _BODY + b" "),
        sign(secret_of(b"another"), _ID, _TIMESTAMP, _BODY),
    ]
    assert _SIGNATURE not in others
    assert len(set(others)) == 4


def test_one_of_two_signatures_is_enough() -> None:
    """A rotation would cost every event that comes before the receiver has the new secret."""
    assert matches(f"v1,AAAA {_SIGNATURE}", [_SIGNATURE])
    assert matches(_SIGNATURE, ["v1,BBBB", _SIGNATURE])
    assert not matches("v1,AAAA v1,BBBB", [_SIGNATURE])
    assert not matches("", [_SIGNATURE])
    assert not matches("v1,é\udcff", [_SIGNATURE])


def test_a_secret_that_is_none_is_said() -> None:
    """A receiver with a mistyped secret would refuse everything without knowing why."""
    with pytest.raises(ValueError, match="whsec_"):
        sign("whsec_not base64!", _ID, _TIMESTAMP, _BODY)
