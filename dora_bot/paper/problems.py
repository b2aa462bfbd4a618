"""The four shapes of an error reply, as an exception the HTTP layer turns into bytes.

The venue is not consistent: most refusals are nested under ``error``, decoding errors are flat, parameter
validation has only ``msg``, and a 429 carries a string. Clients meet all four, so the paper exchange
speaks all four.
"""

from typing import Any, NamedTuple

from dora_bot.paper.specs import Refused


class Raw(NamedTuple):
    """A body that is not JSON of ours: a proxy's error page, or nothing at all."""

    data: bytes
    content_type: str


class Problem(Exception):  # noqa: N818  (an HTTP reply, not a failure of ours)
    """An HTTP reply other than success: ``status`` and the JSON (or `Raw`) ``body``."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(f"{status} {body}")
        self.status = status
        self.body = body


def nested(status: int, code: str, message: str = "", details: str | None = None) -> Problem:
    """``{"error":{"code","message","details"?}}``; the message defaults to the code in words."""
    error = {"code": code, "message": message or code.replace("_", " ")}
    if details is not None:
        error["details"] = details
    return Problem(status, {"error": error})


def refused(refusal: Refused) -> Problem:
    """The engine's refusal as the nested body."""
    return nested(refusal.status, refusal.code, refusal.message, refusal.details)


def flat(details: str) -> Problem:
    """``{"code","message","details"}``: the body could not be decoded into the operation's request."""
    return Problem(400, {"code": "bad_request", "message": "bad request", "details": details})


def invalid_parameter(operation: str, field: str, tag: str) -> Problem:
    """``{"msg":…}``: a query parameter failed a validation tag, e.g. ``("GetMarkets", "Limit", "lte")``."""
    return Problem(
        400,
        {
            "msg": f"Parameter validation failed for {operation}: Key: '{operation}Params.{field}' "
            f"Error:Field validation for '{field}' failed on the '{tag}' tag"
        },
    )


def too_many_requests() -> Problem:
    """A token bucket is empty. No ``Retry-After``, no object under ``error``."""
    return Problem(429, {"error": "too many requests"})


def not_found() -> Problem:
    return nested(404, "not_found")


def item_error(problem: Problem) -> dict[str, Any]:
    """The flat object that batch replies carry per item, from whichever shape the problem has."""
    error = problem.body.get("error")
    source = error if isinstance(error, dict) else problem.body
    return {name: source[name] for name in ("code", "message", "details") if name in source}
