"""What all verdicts together say of a dataset."""

from regraft.contract.verdict import Verdict
from worker.ingest.messages import Checked
from worker.ingest.summary import summarise


def _checked(content: str | None, label: str | None, index: int = 0) -> Checked:
    return Checked(
        index=index,
        path=f"{label}/{index}.png",
        label=label,
        group=None,
        split=None,
        verdict=Verdict.OK if content else Verdict.CORRUPT,
        message=None if content else "The PNG is damaged.",
        sha256=content,
        content=content,
    )


def _verdicts(*checked: Checked) -> list[Verdict]:
    return [image.verdict for image in summarise(checked).images]


def test_a_repeat_is_kept_and_marked() -> None:
    """A photo that was sent twice would count twice, or not at all."""
    found = _verdicts(_checked("a", "mug"), _checked("a", "mug"), _checked("a", None))
    assert found == [Verdict.OK, Verdict.OK_DUPLICATE, Verdict.OK_DUPLICATE]


def test_a_picture_in_two_classes_is_left_out_of_both() -> None:
    """Training on it would teach a coin toss, whichever copy were kept."""
    summary = summarise([_checked("a", "mug"), _checked("b", "mug"), _checked("a", "plate")])
    assert [image.verdict for image in summary.images] == [
        Verdict.CONFLICTING_LABEL,
        Verdict.OK,
        Verdict.CONFLICTING_LABEL,
    ]
    assert summary.images[0].sha256 is None
    assert "mug, plate" in str(summary.images[0].message)
    assert (summary.num_images, summary.num_rejected) == (1, 2)


def test_two_classes_are_enough() -> None:
    """One-shot learning is legal: a merchant with one photo a product would be turned away."""
    summary = summarise([_checked("a", "mug"), _checked("b", "plate"), _checked(None, "plate")])
    assert (summary.status, summary.reason) == ("ready", None)
    assert [(found.name, found.num_images) for found in summary.classes] == [
        ("mug", 1),
        ("plate", 1),
    ]
    assert [warning.code for warning in summary.warnings] == ["class_with_one_image"]


def test_one_class_is_not() -> None:
    """A job on it would fail only after it had waited for its turn."""
    summary = summarise([_checked("a", "mug"), _checked(None, "plate")])
    assert summary.status == "invalid"
    assert "at least two" in str(summary.reason)
    assert "class_without_images" in {warning.code for warning in summary.warnings}


def test_unlabelled_images_alone_are_enough() -> None:
    """Images to be classified later could not be stored."""
    summary = summarise([_checked("a", None), _checked("b", None)])
    assert (summary.status, summary.num_images, summary.num_unlabelled) == ("ready", 2, 2)
    assert summary.classes == []


def test_nothing_usable_is_invalid() -> None:
    """An empty dataset would look as if it could be trained on."""
    assert summarise([_checked(None, None)]).status == "invalid"
    assert summarise([]).status == "invalid"


def test_imbalance_is_warned_of() -> None:
    """A merchant would wonder why rare products are never recognised."""
    crowd = [_checked(f"m{n}", "mug") for n in range(22)]
    summary = summarise([*crowd, _checked("a", "plate"), _checked("b", "plate")])
    assert [warning.code for warning in summary.warnings] == ["imbalanced"]
