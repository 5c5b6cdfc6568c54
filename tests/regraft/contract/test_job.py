"""What a job may ask for, and how a refusal names the field."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from regraft.contract.catalog import BACKBONES, DEFAULT_BACKBONE, STRATEGIES
from regraft.contract.errors import ErrorDetail
from regraft.contract.ids import new_id
from regraft.contract.job import DATASETS, JobSpec, JobSubmission
from regraft.contract.resources import ShownSpec
from regraft.contract.validation import MAX_DETAILS, details, printable

DATASET = new_id("ds")
MODEL = new_id("md")


def faults(**fields: Any) -> list[ErrorDetail]:
    """Return what is wrong with a submission of these fields."""
    with pytest.raises(ValidationError) as caught:
        JobSubmission.model_validate({"dataset": DATASET, **fields})
    return details(caught.value)


def fault(**fields: Any) -> ErrorDetail:
    (one,) = faults(**fields)
    return one


def test_a_dataset_is_enough() -> None:
    """The shortest job is the one most merchants send."""
    spec = JobSubmission(dataset=DATASET).spec()
    assert set(spec.base.named) <= BACKBONES.keys()
    assert spec.strategy.type in STRATEGIES
    assert spec.exports == ["onnx"]


def test_a_spec_survives_its_row() -> None:
    """The worker would run another job than the one that was accepted."""
    sent = JobSubmission.model_validate(
        {"dataset": DATASET, "test_dataset": new_id("ds"), "hyperparameters": {"epochs": 20}}
    )
    assert JobSpec.model_validate_json(sent.spec().model_dump_json()) == sent.spec()


def test_what_is_shown_has_every_field() -> None:
    """A field added to the spec alone would be invisible to whoever reads the job."""
    assert ShownSpec.model_fields.keys() == JobSpec.model_fields.keys()
    spec = JobSubmission(dataset=DATASET).spec().model_dump(mode="json")
    assert ShownSpec.model_validate(spec).model_dump(mode="json") == spec


@pytest.mark.parametrize(
    "base", [{"backbone": "resnet18"}, {"model": MODEL}, {"backbones": ["resnet18"]}]
)
def test_a_base_is_shown_as_it_was_given(base: dict[str, object]) -> None:
    """Whoever sends the shown spec again would be refused for fields that are null."""
    shown = ShownSpec.model_validate(
        {**JobSubmission(dataset=DATASET).spec().model_dump(mode="json"), "base": base}
    )
    assert shown.model_dump(mode="json")["base"] == base


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("learning_rate", -0.1),
        ("learning_rate", 0),
        ("learning_rate", math.nan),
        ("learning_rate", math.inf),
        ("learning_rate", 10**400),
        ("learning_rate", "0.1"),
        ("weight_decay", -1),
        ("epochs", 0),
        ("epochs", 10**400),
        ("epochs", True),
        ("epochs", 1.5),
        ("epochs", "many"),
        ("epochs", None),
        ("batch_size", [32]),
        ("label_smoothing", 0.6),
        ("mixup", -0.1),
        ("class_balanced", 1),
        ("early_stopping_patience", 0),
    ],
)
def test_a_bad_number_is_named_by_its_path(field: str, value: object) -> None:
    """A training with it would fail after minutes, or never end; `auto` must not blur the path."""
    found = fault(hyperparameters={field: value})
    assert found.param == f"hyperparameters.{field}"
    assert "auto" not in found.message


@pytest.mark.parametrize("value", [0.49, 1.01, math.nan, "0.9", None, True])
def test_a_wanted_precision_is_a_share_that_beats_a_coin(value: object) -> None:
    """No threshold could ever reach it, or every one would."""
    assert fault(evaluation={"precision": value}).param == "evaluation.precision"
    assert JobSubmission(dataset=DATASET).spec().evaluation.precision == 0.95


def test_the_message_is_about_the_branch_that_was_meant() -> None:
    """`must be 'auto'` would mislead whoever sent a number."""
    assert fault(hyperparameters={"epochs": -1}).code == "greater_than_equal"
    assert fault(hyperparameters={"epochs": "AUTO"}).param == "hyperparameters.epochs"
    assert fault(hyperparameters={"augmentation": "wild"}).param == "hyperparameters.augmentation"


def test_every_fault_is_reported_at_once() -> None:
    """Correcting a body one error at a time costs a merchant's afternoon."""
    found = faults(seed=-1, hyperparameters={"epochs": 0, "learning_rate": -1}, speed=9)
    assert {one.param for one in found} == {
        "seed",
        "hyperparameters.epochs",
        "hyperparameters.learning_rate",
        "speed",
    }


def test_an_unknown_backbone_lists_the_known() -> None:
    """The user should not have to look for the catalogue."""
    found = fault(base={"backbone": "resnet_9000"})
    assert found.param == "base.backbone"
    assert all(name in found.message for name in BACKBONES)


@pytest.mark.parametrize("strategy", [{"type": "magic"}, {"type": None}, "linear_probe", []])
def test_an_unknown_strategy_is_refused(strategy: object) -> None:
    """A default strategy would run in its place."""
    assert str(fault(strategy=strategy).param).startswith("strategy")


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_of_the_catalogue_is_a_type_alone(name: str) -> None:
    """The catalogue would promise what no job may ask for."""
    named = {"dataset": DATASET, "source_dataset": new_id("ds")}
    spec = JobSubmission.model_validate({**named, "strategy": {"type": name}}).spec()
    assert spec.strategy.type == name
    assert JobSpec.model_validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize(
    ("strategy", "path"),
    [
        ({"type": "l2_sp", "alpha": -1}, "strategy.alpha"),
        ({"type": "l2_sp", "alpha": "much"}, "strategy.alpha"),
        ({"type": "l2_sp", "freeze_until": "layer9"}, "strategy.freeze_until"),
        ({"type": "partial_finetune", "freeze_until": 3}, "strategy.freeze_until"),
        ({"type": "lp_ft", "backbone_lr_factor": 1.5}, "strategy.backbone_lr_factor"),
        ({"type": "lp_ft", "lp_ft": 1}, "strategy.lp_ft"),
        ({"alpha": 1}, "strategy.type"),
    ],
)
def test_a_strategys_own_field_is_named_by_its_path(strategy: object, path: str) -> None:
    """The branch of a union is ours, not the body's: no such path stands in what was sent."""
    assert fault(strategy=strategy).param == path


def test_a_stage_is_one_of_the_backbones() -> None:
    """A misspelt stage would fail after minutes of waiting; the message lists the right ones."""
    found = fault(strategy={"type": "l2_sp", "freeze_until": "layer9"})
    assert all(stage in found.message for stage in BACKBONES["efficientnet_lite0"].stages)
    right = {"type": "l2_sp", "alpha": 0.1, "freeze_until": "stage2"}
    JobSubmission.model_validate({"dataset": DATASET, "strategy": right})


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"learning_rate": 0.1}, "learning_rate"),
        ({"strategy": {"type": "linear_probe", "alpha": 1}}, "strategy.alpha"),
        ({"int": 1}, "int"),
        ({"hyperparameters": {"nullable": 1}}, "hyperparameters.nullable"),
    ],
)
def test_an_unknown_field_is_refused(fields: dict[str, Any], path: str) -> None:
    """A misspelt field would be ignored, and the job would be another than meant."""
    assert fault(**fields).param == path


@pytest.mark.parametrize("param", DATASETS[1:])
def test_a_jobs_datasets_are_distinct(param: str) -> None:
    """A model tested on what it learnt from would look perfect."""
    assert fault(**{param: DATASET}).param == param
    other = new_id("ds")
    named = dict.fromkeys(DATASETS[1:], other)
    assert {one.param for one in faults(**named)} == set(DATASETS[2:])
    assert "`test_dataset`" in faults(**named)[0].message


@pytest.mark.parametrize("base", [{"backbone": "resnet18"}, {"model": MODEL}, {}])
def test_where_training_starts(base: dict[str, str]) -> None:
    """The row would hold another start than the merchant asked for."""
    spec = JobSubmission.model_validate({"dataset": DATASET, "base": base}).spec()
    again = JobSpec.model_validate_json(spec.model_dump_json())
    assert again == spec
    assert spec.base.model_dump() == (base or {"backbone": DEFAULT_BACKBONE})


@pytest.mark.parametrize(
    ("base", "path"),
    [
        ({"model": "resnet18"}, "base.model"),
        ({"model": None}, "base.model"),
        ({"model": MODEL, "backbone": "resnet18"}, "base.backbone"),
        ({"backbone": "resnet18", "layers": 3}, "base.layers"),
        ({"backbones": []}, "base.backbones"),
        ({"backbones": ["resnet18", "resnet18"]}, "base.backbones"),
        ({"backbones": ["resnet18", "resnet_9000"]}, "base.backbones.1"),
        ({"backbones": ["resnet18", "resnet34"]}, "base.backbones"),
        ("resnet18", "base"),
        ([], "base"),
    ],
)
def test_a_wrong_start_is_named_by_its_path(base: object, path: str) -> None:
    """The names of our own union's branches stand nowhere in what was sent."""
    assert fault(base=base).param == path


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_gets_the_datasets_it_learns_from(name: str) -> None:
    """A job would wait for a worker only to be told there that its source is missing."""
    strategy = {"type": name}
    options = JobSubmission.model_validate(
        {"dataset": DATASET, "source_dataset": new_id("ds"), "strategy": strategy}
    ).strategy
    if options.needs_source:
        assert fault(strategy=strategy).param == "source_dataset"
    named = {"source_dataset": new_id("ds"), "unlabelled_dataset": new_id("ds")}
    if options.takes_unlabelled:
        JobSubmission.model_validate({"dataset": DATASET, "strategy": strategy, **named})
    else:
        assert fault(strategy=strategy, **named).param == "unlabelled_dataset"


@pytest.mark.parametrize(
    "value",
    ["job_" + DATASET[3:], DATASET.upper(), "", 7, None],
    ids=["a job's", "in capitals", "empty", "a number", "null"],
)
def test_a_dataset_must_be_an_id(value: object) -> None:
    """Anything else could only fail later, in the database."""
    assert fault(dataset=value).param == "dataset"


@pytest.mark.parametrize("seed", [-1, 2**63, 10**4000, 1.0, True, "1"])
def test_a_seed_fits_its_column(seed: object) -> None:
    """A number too large would be a 500 from the database."""
    assert fault(seed=seed).param == "seed"
    assert JobSubmission(dataset=DATASET, seed=2**63 - 1).seed == 2**63 - 1


def test_json_numbers_without_end_are_an_error_of_the_body() -> None:
    """A body made to crash the parser would be a 500."""
    body = f'{{"dataset":"{DATASET}","seed":{"9" * 5000}}}'
    with pytest.raises(ValidationError) as caught:
        JobSubmission.model_validate_json(body)
    assert len(details(caught.value)) == 1


def test_details_are_bounded_and_printable() -> None:
    """An answer must not be larger than the attack, nor carry it into a terminal."""
    found = faults(**{f"x{number}\x1b[31m" + "y" * 500: 1 for number in range(500)})
    assert len(found) == MAX_DETAILS
    assert all(len(str(one.param)) <= 64 for one in found)
    assert all(str(one.param).isprintable() for one in found)


@given(st.text(), st.integers(1, 50))
def test_printable_is_what_it_says(text: str, length: int) -> None:
    """A control character in an error would rewrite the reader's screen."""
    shown = printable(text, length)
    assert shown.isprintable()
    assert len(shown) <= length
    shown.encode()


def test_a_submission_cannot_be_changed() -> None:
    """It is validated once: a later change would never be."""
    name = "seed"
    with pytest.raises(ValidationError):
        setattr(JobSubmission(dataset=DATASET), name, 5)


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"register_as": "mugs", "name": "Other"}, "mugs"),
        ({"name": "Große Tassen, Herbst"}, "groe-tassen-herbst"),
        ({"name": "杯子"}, "model"),
        ({}, "model"),
    ],
)
def test_a_model_always_has_a_name(fields: dict[str, str], name: str) -> None:
    """A model without a name could not be found in the registry."""
    assert JobSubmission.model_validate({"dataset": DATASET, **fields}).model_name() == name


@pytest.mark.parametrize("name", ["Mugs", "a b", "", "a" * 64, "mugs\n", "../x", "ä"])
def test_a_registry_name_is_a_slug(name: str) -> None:
    """It stands in addresses and in file names."""
    assert fault(register_as=name).param == "register_as"
