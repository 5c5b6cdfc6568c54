"""What an evaluation says of a model (`M` in the HTTP contract), and what transfer gained."""

from pydantic import BaseModel, ConfigDict


class Shown(BaseModel):
    """Base of what the service answers: a reader ignores fields it does not know."""

    model_config = ConfigDict(extra="ignore", ser_json_inf_nan="null", protected_namespaces=())


class ClassMetrics(Shown):
    """One label's quality; `num_images` is its support, `threshold` is null until calibrated."""

    label: str
    num_images: int
    precision: float | None
    recall: float | None
    f1: float | None
    threshold: float | None = None


class ConfusionMatrix(Shown):
    """`counts[i][j]`: images of `labels[i]` that were taken for `labels[j]`."""

    labels: list[str]
    counts: list[list[int]]


class Metrics(Shown):
    """Quality on `num_images` images; fractions in 0-1, the interval is Wilson's at 95%."""

    num_images: int
    accuracy: float
    accuracy_interval: tuple[float, float]
    top5: float | None = None
    macro_f1: float
    per_class: list[ClassMetrics]
    confusion_matrix: ConfusionMatrix
    ece: float | None = None
    ece_uncalibrated: float | None = None


class JobMetrics(Shown):
    """Metrics on held-out images, and on the test dataset where the job names one."""

    validation: Metrics | None = None
    test: Metrics | None = None


class Gain(Shown):
    """Accuracy points (0-100) over training from scratch, with a 95% interval."""

    points: float
    interval: tuple[float, float]


class Candidate(Shown):
    """One way that was tried: its cross-validated score, its cost, and why it was (not) taken."""

    strategy: str
    hyperparameters: dict[str, float | int | str]
    score: float | None
    score_interval: tuple[float, float] | None = None
    seconds: float | None = None
    chosen: bool
    reason: str


class Guard(Shown):
    """Whether the adapted model or the baseline was delivered, and why."""

    decision: str
    reason: str


class Transfer(Shown):
    """What adapting gained over the simple ways, on the same images."""

    baseline: Metrics | None = None
    from_scratch: Metrics | None = None
    live_model: Metrics | None = None
    gain: Gain | None = None
    candidates: list[Candidate] = []
    guard: Guard | None = None
    explanation: str = ""
