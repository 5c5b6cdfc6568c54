"""Every error a user can meet: code, HTTP status, class and remedy, and the envelope they share.

One enum for the API's answers, a job's `error` and the client's exceptions.
"""

from enum import StrEnum
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

ErrorClass = Literal["user_data", "quota", "out_of_memory", "infrastructure", "internal"]


class ErrorRecord(NamedTuple):
    """What one code means: its HTTP status, whose fault it is, and what to do about it."""

    http_status: int
    error_class: ErrorClass
    retryable: bool
    remedy: str


class ErrorCode(StrEnum):
    """The closed list of codes; `RECORDS` says what each means."""

    # The request.
    INVALID_REQUEST = "invalid_request"
    INVALID_JSON = "invalid_json"
    INVALID_MULTIPART = "invalid_multipart"
    INCOMPLETE_BODY = "incomplete_body"
    UNAUTHENTICATED = "unauthenticated"
    INSUFFICIENT_SCOPE = "insufficient_scope"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    REQUEST_TIMEOUT = "request_timeout"
    CONFLICT = "conflict"
    IN_USE = "in_use"
    WORSE_MODEL = "worse_model"
    DATASET_NOT_READY = "dataset_not_ready"
    DATASET_NOT_INDEXED = "dataset_not_indexed"
    NOT_SERVABLE = "not_servable"
    PAYLOAD_TOO_LARGE = "payload_too_large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    RANGE_NOT_SATISFIABLE = "range_not_satisfiable"
    VALIDATION_FAILED = "validation_failed"
    IDEMPOTENCY_MISMATCH = "idempotency_mismatch"
    RATE_LIMITED = "rate_limited"
    QUOTA_EXCEEDED = "quota_exceeded"
    WEBHOOK_URL_INVALID = "webhook_url_invalid"
    WEBHOOK_URL_FORBIDDEN = "webhook_url_forbidden"
    # The upload, before a row exists.
    DATASET_INVALID = "dataset_invalid"
    UNSAFE_PATH = "unsafe_path"
    UNSAFE_ENTRY = "unsafe_entry"
    TOO_MANY_ENTRIES = "too_many_entries"
    TOO_MANY_CLASSES = "too_many_classes"
    TOO_FEW_CLASSES = "too_few_classes"
    TOO_LARGE_UNCOMPRESSED = "too_large_uncompressed"
    # The service.
    INTERNAL = "internal"
    UNAVAILABLE = "unavailable"
    STORAGE_FULL = "storage_full"
    ARTIFACT_CORRUPT = "artifact_corrupt"
    # A job.
    WORKER_LOST = "worker_lost"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    STALLED = "stalled"
    OUT_OF_MEMORY = "out_of_memory"
    DIVERGED = "diverged"
    TOO_FEW_IMAGES = "too_few_images"
    LABEL_SPACES_DISJOINT = "label_spaces_disjoint"
    LABEL_EXISTS = "label_exists"
    HARMFUL_EXTENSION = "harmful_extension"
    WEIGHTS_MISSING = "weights_missing"
    PARITY_FAILED = "parity_failed"
    TRAINER_FAILED = "trainer_failed"
    TRANSIENT = "transient"


RECORDS: dict[ErrorCode, ErrorRecord] = {
    ErrorCode.INVALID_REQUEST: ErrorRecord(
        400, "user_data", False, "Send well-formed HTTP requests, to the service's own host name."
    ),
    ErrorCode.INVALID_JSON: ErrorRecord(
        400, "user_data", False, "Send one JSON object, encoded as UTF-8, without NaN or repeats."
    ),
    ErrorCode.INVALID_MULTIPART: ErrorRecord(
        400, "user_data", False, "Send multipart/form-data with the parts that the route takes."
    ),
    ErrorCode.INCOMPLETE_BODY: ErrorRecord(
        400, "infrastructure", True, "The connection ended before the body did: send it again."
    ),
    ErrorCode.UNAUTHENTICATED: ErrorRecord(
        401, "user_data", False, "Send `Authorization: Bearer rg_…` with a key that is still valid."
    ),
    ErrorCode.INSUFFICIENT_SCOPE: ErrorRecord(
        403, "user_data", False, "Use a key whose scopes allow this, or ask your administrator."
    ),
    ErrorCode.NOT_FOUND: ErrorRecord(
        404, "user_data", False, "Check the id; ids of other merchants are answered the same way."
    ),
    ErrorCode.METHOD_NOT_ALLOWED: ErrorRecord(
        405, "user_data", False, "Use one of the methods in the `Allow` header."
    ),
    ErrorCode.REQUEST_TIMEOUT: ErrorRecord(
        408, "infrastructure", True, "Send the request again, without pauses, on a faster line."
    ),
    ErrorCode.CONFLICT: ErrorRecord(
        409, "user_data", False, "Read the resource again: its status no longer allows this."
    ),
    ErrorCode.IN_USE: ErrorRecord(
        409, "user_data", True, "Take away the alias, or wait for the jobs, that use it."
    ),
    ErrorCode.WORSE_MODEL: ErrorRecord(
        409, "user_data", False, "Keep the model that is there, or send `force: true`."
    ),
    ErrorCode.DATASET_NOT_READY: ErrorRecord(
        409,
        "user_data",
        True,
        "Wait until it is `ready`; one that is `invalid` must be uploaded again.",
    ),
    ErrorCode.DATASET_NOT_INDEXED: ErrorRecord(
        409,
        "user_data",
        False,
        "Let the model answer about the dataset (`POST /v1/batches`), or train one on it: either "
        "leaves the features that a search compares.",
    ),
    ErrorCode.NOT_SERVABLE: ErrorRecord(
        409,
        "user_data",
        False,
        'Train it with `exports: ["onnx"]` and on a smaller backbone, or use its files yourself.',
    ),
    ErrorCode.PAYLOAD_TOO_LARGE: ErrorRecord(
        413, "quota", False, "Send less in one request, or ask for a higher limit."
    ),
    ErrorCode.UNSUPPORTED_MEDIA_TYPE: ErrorRecord(
        415, "user_data", False, "Set `Content-Type` to what this route takes."
    ),
    ErrorCode.RANGE_NOT_SATISFIABLE: ErrorRecord(
        416, "user_data", False, "Ask for a range inside the file; its size is in `Content-Range`."
    ),
    ErrorCode.VALIDATION_FAILED: ErrorRecord(
        422, "user_data", False, "Correct the fields listed in `details`."
    ),
    ErrorCode.IDEMPOTENCY_MISMATCH: ErrorRecord(
        422, "user_data", False, "Use a new Idempotency-Key for a different request."
    ),
    ErrorCode.RATE_LIMITED: ErrorRecord(
        429, "quota", True, "Send fewer requests; wait the seconds in `Retry-After`."
    ),
    ErrorCode.QUOTA_EXCEEDED: ErrorRecord(
        429, "quota", True, "Free what you no longer need, wait, or ask for a higher quota."
    ),
    ErrorCode.WEBHOOK_URL_INVALID: ErrorRecord(
        422,
        "user_data",
        False,
        "Give an address such as https://hooks.example.com/regraft, on port 443 or 8443.",
    ),
    ErrorCode.WEBHOOK_URL_FORBIDDEN: ErrorRecord(
        422, "user_data", False, "Give the address of a server on the public Internet."
    ),
    ErrorCode.DATASET_INVALID: ErrorRecord(
        422, "user_data", False, "Upload a zip with one folder of images for each class."
    ),
    ErrorCode.UNSAFE_PATH: ErrorRecord(
        422,
        "user_data",
        False,
        "Use relative names without `..`, backslashes or control characters.",
    ),
    ErrorCode.UNSAFE_ENTRY: ErrorRecord(
        422, "user_data", False, "Pack plain files only: no links, devices or encrypted entries."
    ),
    ErrorCode.TOO_MANY_ENTRIES: ErrorRecord(
        422, "quota", False, "Split the set into several datasets."
    ),
    ErrorCode.TOO_MANY_CLASSES: ErrorRecord(
        422, "quota", False, "Merge classes, or split the set into several datasets."
    ),
    ErrorCode.TOO_FEW_CLASSES: ErrorRecord(
        422, "user_data", False, "Give at least two classes: one folder of images for each."
    ),
    ErrorCode.TOO_LARGE_UNCOMPRESSED: ErrorRecord(
        413, "quota", False, "Send fewer or smaller images in one zip."
    ),
    ErrorCode.INTERNAL: ErrorRecord(
        500,
        "internal",
        True,
        "Try again; if it stays, report the request id to your administrator.",
    ),
    ErrorCode.UNAVAILABLE: ErrorRecord(
        503, "infrastructure", True, "Try again after the seconds in `Retry-After`."
    ),
    ErrorCode.STORAGE_FULL: ErrorRecord(
        507, "infrastructure", True, "Ask your administrator to free or add storage."
    ),
    ErrorCode.ARTIFACT_CORRUPT: ErrorRecord(
        500, "internal", False, "The stored bytes do not match their hash: run the job again."
    ),
    ErrorCode.WORKER_LOST: ErrorRecord(
        500, "infrastructure", True, "The job's worker died three times: retry, or lower its size."
    ),
    ErrorCode.DEADLINE_EXCEEDED: ErrorRecord(
        422, "quota", True, "Raise `limits.max_minutes`, or give fewer images or epochs."
    ),
    ErrorCode.STALLED: ErrorRecord(
        500, "infrastructure", True, "The trainer stopped making progress: retry the job."
    ),
    ErrorCode.OUT_OF_MEMORY: ErrorRecord(
        500, "out_of_memory", True, "Choose a smaller backbone or a smaller batch size."
    ),
    ErrorCode.DIVERGED: ErrorRecord(
        422, "user_data", False, "Lower the learning rate, and check the images of the set."
    ),
    ErrorCode.TOO_FEW_IMAGES: ErrorRecord(
        422, "user_data", False, "Give at least one usable labelled image for two classes."
    ),
    ErrorCode.LABEL_SPACES_DISJOINT: ErrorRecord(
        422,
        "user_data",
        False,
        "Name a source that shares labels with the dataset, or use `coral` or `mmd`.",
    ),
    ErrorCode.LABEL_EXISTS: ErrorRecord(
        409, "user_data", False, "Name a label that the model does not know, or train it anew."
    ),
    ErrorCode.HARMFUL_EXTENSION: ErrorRecord(
        422,
        "user_data",
        False,
        "Give more and clearer images, train anew with all labels, or send `guard: off`.",
    ),
    ErrorCode.WEIGHTS_MISSING: ErrorRecord(
        500, "infrastructure", False, "Ask your administrator to install the backbone's weights."
    ),
    ErrorCode.PARITY_FAILED: ErrorRecord(
        500, "internal", True, "The exported model disagreed with the trained one: report the job."
    ),
    ErrorCode.TRAINER_FAILED: ErrorRecord(
        500, "internal", True, "Retry the job; if it stays, report the job id."
    ),
    ErrorCode.TRANSIENT: ErrorRecord(
        503, "infrastructure", True, "The job is tried again by itself; nothing to do."
    ),
}


class ErrorDetail(BaseModel):
    """One fault of a request: the field's path and what is wrong with it."""

    model_config = ConfigDict(extra="ignore")

    param: str | None
    code: str
    message: str


class ErrorBody(BaseModel):
    """What stands under `error` in every answer that is not a success."""

    model_config = ConfigDict(extra="ignore")

    type: str
    code: str
    message: str
    param: str | None = None
    remedy: str | None = None
    request_id: str | None = None
    details: list[ErrorDetail] = Field(default_factory=list, max_length=100)


class ErrorEnvelope(BaseModel):
    """The body of every error answer."""

    model_config = ConfigDict(extra="ignore")

    error: ErrorBody


class JobError(BaseModel):
    """Why a job failed, whose fault that is, and what to do."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)

    code: str
    message: str
    param: str | None = None
    error_class: ErrorClass = Field(alias="class")
    retryable: bool
    remedy: str

    @classmethod
    def of(cls, code: ErrorCode, message: str, param: str | None = None) -> "JobError":
        """Build the error of one code; class, retryability and remedy come from `RECORDS`."""
        record = RECORDS[code]
        return cls.model_validate(
            {
                "code": code.value,
                "message": message,
                "param": param,
                "class": record.error_class,
                "retryable": record.retryable,
                "remedy": record.remedy,
            }
        )
