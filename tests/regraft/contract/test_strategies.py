"""What a strategy declares of the images it learns from."""

from typing import Any, get_args

import pytest
from pydantic import ValidationError

from regraft.contract.catalog import STRATEGIES
from regraft.contract.ids import new_id
from regraft.contract.job import JobSpec
from regraft.contract.strategies import AnyStrategy, Strategy
from regraft.contract.validation import details

_UNION, *_ = get_args(AnyStrategy)
CLASSES: dict[str, type[Strategy]] = {one().type: one for one in get_args(_UNION)}


def test_the_catalogue_lists_every_strategy() -> None:
    """A strategy without a record could be asked for, but not found."""
    assert CLASSES.keys() == STRATEGIES.keys()


@pytest.mark.parametrize(
    ("field", "names"),
    [
        ("needs_source", {"instance_weighting", "coral", "mmd", "dann"}),
        ("uses_source", {"auto", "instance_weighting", "coral", "mmd", "dann"}),
        ("chooses_backbone", {"auto"}),
        ("needs_shared_labels", {"instance_weighting", "dann"}),
        ("takes_unlabelled", {"auto", "coral", "mmd", "dann"}),
    ],
)
def test_what_each_learns_from(field: str, names: set[str]) -> None:
    """A job would wait for a worker only to be told there that its source is missing."""
    assert {name for name, one in CLASSES.items() if getattr(one, field)} == names


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"base": {"backbone": "resnet18"}}, "base.model"),
        ({"source_dataset": new_id("ds")}, "source_dataset"),
        ({"comparisons": ["from_scratch"]}, "comparisons"),
        ({"strategy": {"type": "prototype", "label": "mug"}}, "strategy.label"),
    ],
)
def test_only_a_finished_model_is_extended(given: dict[str, Any], field: str) -> None:
    """The job would fail on a worker, or leave out what was asked for without a word."""
    job = {
        "dataset": new_id("ds"),
        "base": {"model": new_id("md")},
        "strategy": {"type": "prototype", "extends": True},
    }
    assert JobSpec.model_validate(job).strategy.type == "prototype"
    with pytest.raises(ValidationError) as caught:
        JobSpec.model_validate({**job, **given})
    assert [one.param for one in details(caught.value)] == [field]


def test_a_source_is_needed_wherever_its_labels_are() -> None:
    """The declarations would contradict each other."""
    assert all(one.needs_source for one in CLASSES.values() if one.needs_shared_labels)
    assert all(one.uses_source for one in CLASSES.values() if one.needs_source)
    assert not any("needs_source" in one.model_fields for one in CLASSES.values())
