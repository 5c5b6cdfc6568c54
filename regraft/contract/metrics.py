"""What an evaluation says of a model (`M` in the HTTP contract), and what transfer gained."""

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Shown(BaseModel):
    """Base of what the service answers: a reader ignores fields it does not know."""

    model_config = ConfigDict(extra="ignore", ser_json_inf_nan="null", protected_namespaces=())


class ClassMetrics(Shown):
    """One label's quality; `num_images` is its support.

    `threshold` is the probability from which the model answers with this label, null where it
    never does. The model answers for `num_answered` of the images that it takes for the label.
    """

    label: str
    num_images: int
    precision: float | None
    recall: float | None
    f1: float | None
    threshold: float | None = None
    num_answered: int | None = None
    precision_answered: float | None = None


class Abstention(Shown):
    """What is left where the model abstains below the thresholds of its labels.

    `coverage` is the share of images it answers, `accuracy` that of the answers being right,
    with Wilson's interval at 95%; null where it answers none.
    """

    num_answered: int
    coverage: float
    accuracy: float | None
    accuracy_interval: tuple[float, float]


class ConfusionMatrix(Shown):
    """`counts[i][j]`: images of `labels[i]` that were taken for `labels[j]`."""

    labels: list[str]
    counts: list[list[int]]


class Metrics(Shown):
    """Quality on `num_images` images; fractions in 0-1, the interval is Wilson's at 95%.

    `ece` (expected calibration error) and `log_loss` (nats) are of calibrated probabilities; null
    where nothing was calibrated. Both `ece` are null for fewer than 20 images. Where the model
    was calibrated on these very images, each was judged by what the others gave.
    """

    num_images: int
    accuracy: float
    accuracy_interval: tuple[float, float]
    top3: float | None = None
    top5: float | None = None
    macro_f1: float
    per_class: list[ClassMetrics]
    confusion_matrix: ConfusionMatrix
    ece: float | None = None
    ece_uncalibrated: float | None = None
    log_loss: float | None = None
    log_loss_uncalibrated: float | None = None
    abstention: Abstention | None = None


class Threshold(Shown):
    """From which probability on a label's answers reach the wanted precision, and on what it rests.

    `num_images` images were taken for the label, `num_answered` of them at or above the threshold,
    and `precision` of these rightly, with Wilson's interval at 95%: few images, wide interval.
    `reason` says why there is no threshold, and is null where there is one.
    """

    label: str
    threshold: float | None
    num_images: int
    num_answered: int
    precision: float | None
    precision_interval: tuple[float, float]
    reason: Literal["too_few_images", "precision_not_reached"] | None


class Calibration(Shown):
    """What the temperature and the thresholds were fitted on: `num_images` of `source`.

    `left_out` are training images that a model of the same kind was not trained on, `validation`
    the held-out images; null where there were too few of either. Test images never serve.
    """

    source: Literal["left_out", "validation"] | None
    num_images: int
    temperature: float | None
    wanted_precision: float
    thresholds: list[Threshold]


class LeakedImage(Shown):
    """A measured image, by its name, and the one learned from that it nearly equals."""

    image: str
    learned: str


class Leaks(Shown):
    """Images of one part that nearly equal images learned from: what they prove is little.

    They are part of the metrics. `accuracy_without` is the accuracy on the `num_others` other
    images, with Wilson's interval at 95%; null where there are none. At most 10 examples.
    """

    part: Literal["validation", "test"]
    num_images: int
    examples: list[LeakedImage]
    num_others: int
    accuracy_without: float | None
    accuracy_without_interval: tuple[float, float]


class UnknownLabel(Shown):
    """A label of measured images that the model does not know.

    None of its `num_images` can be named right, so they are no part of the metrics; the model
    answers for `num_answered` of them all the same.
    """

    label: str
    num_images: int
    num_answered: int


class JobMetrics(Shown):
    """Metrics on held-out images, and on the test dataset where the job names one.

    `leaks` has an entry for each part with images that nearly equal one that was learned from.
    `unknown_labels` are those of an evaluation's images.
    """

    validation: Metrics | None = None
    test: Metrics | None = None
    calibration: Calibration | None = None
    leaks: list[Leaks] = []
    unknown_labels: list[UnknownLabel] = []


class Gain(Shown):
    """Accuracy points (0-100) over another model on the same images, with a 95% interval."""

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
    """Whether the adapted model or the baseline was delivered, and why.

    `decision` is `delivered` or `baseline_delivered`. `gain` is the adapted model's over the
    baseline on `num_images` images that neither was trained on: `left_out` of training in turn,
    or of `validation`; null where nothing was compared.
    """

    decision: str
    reason: str
    gain: Gain | None = None
    num_images: int | None = None
    compared_on: str | None = None


class Extension(Shown):
    """What adding `labels` to the model `extends` gained and cost.

    `num_new` images show the labels, `new_right` of them were recognised by a head that was made
    without them. Of `num_old` images of the labels that the model knew before, it named
    `old_right_before` right and names `old_right_after`; `compared_on` says whether these were
    `held_out` of its training or, where there were too few, are of the `training`. `before` is
    the model's quality on them without the new labels.
    """

    extends: str
    labels: list[str]
    num_new: int
    new_right: int
    num_old: int
    old_right_before: int
    old_right_after: int
    compared_on: str
    before: Metrics | None = None


class Transfer(Shown):
    """What adapting gained over the simple ways, on the same held-out images.

    `gain` is over training from scratch, `baseline_gain` over the frozen backbone with a linear
    head; `explanation` opens with the verdict in one sentence. `extension` is of a model that was
    made by adding labels to a finished one, and then is all but the explanation that says what
    that was worth.
    """

    baseline: Metrics | None = None
    from_scratch: Metrics | None = None
    live_model: Metrics | None = None
    gain: Gain | None = None
    baseline_gain: Gain | None = None
    candidates: list[Candidate] = []
    guard: Guard | None = None
    extension: Extension | None = None
    explanation: str = ""
