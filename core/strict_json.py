"""JSON that means one thing only: whatever two readers could take for two things is refused.

May import the standard library.
"""

import json
import math
from typing import Any, NoReturn


class InvalidJsonError(ValueError):
    """Not JSON, or not only one thing; the message completes "The body …"."""


def parse(data: bytes | str) -> Any:
    """Return the value of a JSON text in UTF-8.

    Raises `InvalidJsonError` for broken UTF-8 or syntax, repeated names, NaN, numbers beyond a
    double, and nesting beyond what can be read.
    """
    try:
        return json.loads(
            data.decode("utf-8") if isinstance(data, bytes) else data,
            object_pairs_hook=_object,
            parse_constant=_refuse_constant,
            parse_float=_float,
        )
    except InvalidJsonError:
        raise
    except UnicodeDecodeError as error:
        raise InvalidJsonError("is not UTF-8") from error
    except RecursionError as error:
        raise InvalidJsonError("is nested too deeply") from error
    except json.JSONDecodeError as error:
        raise InvalidJsonError(f"is not JSON: {error.msg} at byte {error.pos}") from error
    except ValueError as error:
        raise InvalidJsonError("holds a number that is too long") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise InvalidJsonError("holds the same name twice in one object")
    return found


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise InvalidJsonError("holds a number that is too large")
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidJsonError(f"holds {name}, which is not JSON")
