"""Photos in, answers out: the shipped predictor's own, each merchant's alone, whatever is sent."""

from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import delete, update

from core.serving import authorization
from core.settings import Serving as ServingSettings
from core.settings import Settings
from db.models import BlobChunk, Model
from db.session import Database
from regraft.contract.errors import ErrorCode
from serve.settings import ServeSettings
from tests.serve.conftest import BLUE, GREEN, RED, Serving, photo
from tests.support.merchants import Merchant
from tests.support.served import LABELS, PREPROCESS, Shelf, colour_head, files_of, tiny_backbone
from worker.engine.shipped.predict import Predictor


def test_it_answers_as_the_shipped_predictor_does(
    serving: Serving, shelf: Shelf, acme: Merchant, tmp_path: Path
) -> None:
    """A merchant would be told one thing by the service and another by the download."""
    thresholds = (0.9, None, 0.2)
    model_id = shelf.add(acme.tenant_id, thresholds=thresholds)
    files = files_of(colour_head(), LABELS, thresholds, PREPROCESS)
    predictor = Predictor(shelf.folder(model_id, files, tmp_path), 1)
    photos = [photo(RED), photo(GREEN, "JPEG", 40), photo(BLUE, "WEBP"), photo((90, 80, 99), "PNG")]
    found = serving.ask(acme.tenant_id, model_id, photos, top=2).get_json()["results"]
    for row, expected in zip(found, predictor.answer(photos, top=2), strict=True):
        assert (row["label"], row["abstained"]) == (expected["label"], expected["abstained"])
        assert row["probability"] == pytest.approx(expected["probability"], abs=1e-6)
        assert [guess["label"] for guess in row["top"]] == [g["label"] for g in expected["top"]]
    assert [row["image"] for row in found] == ["0", "1", "2", "3"]
    assert {row["abstained"] for row in found} == {True, False}


def test_a_photo_that_cannot_be_read_costs_itself_alone(
    serving: Serving, shelf: Shelf, acme: Merchant
) -> None:
    """One bad file in a shop's folder would cost the answers to all."""
    model_id = shelf.add(acme.tenant_id)
    cut = photo(RED, "JPEG", 64)[:-40]
    photos = [b"", b"hello", photo(RED), cut, photo(GREEN), photo(RED, "GIF")]
    rows = serving.ask(acme.tenant_id, model_id, photos).get_json()["results"]
    said = [row["error"] and row["error"]["code"] for row in rows]
    assert said == [
        "not_an_image",
        "not_an_image",
        None,
        "truncated",
        None,
        "unsupported_format",
    ]
    assert [row["label"] for row in rows] == [None, None, "red", None, "green", None]


def test_photos_of_one_product_are_pooled(serving: Serving, shelf: Shelf, acme: Merchant) -> None:
    """Three photos of one shoe would get three answers that contradict each other."""
    model_id = shelf.add(acme.tenant_id)
    photos = [photo(RED), photo(GREEN), photo(RED), b"broken", photo(BLUE)]
    groups = ["shoe", None, "shoe", "shoe", "bag"]
    rows = serving.ask(acme.tenant_id, model_id, photos, groups=groups).get_json()["results"]
    assert [(row["image"], row["group"], row["num_images"]) for row in rows] == [
        (None, "shoe", 2),
        ("1", None, 1),
        ("3", "shoe", 0),
        (None, "bag", 1),
    ]
    assert [row["label"] for row in rows] == ["red", "green", None, "blue"]
    vectors = serving.ask(
        acme.tenant_id, model_id, photos[:2], route="/embed", pool=True
    ).get_json()["results"]
    alone = serving.ask(acme.tenant_id, model_id, photos[:2], route="/embed").get_json()
    mean = np.mean([row["vector"] for row in alone["results"]], axis=0)
    assert vectors[0]["vector"] == pytest.approx(mean.tolist(), abs=1e-6)
    assert alone["backbone_sha256"] == shelf.shared.blob.sha256


def test_a_product_without_a_readable_photo_says_so(
    serving: Serving, shelf: Shelf, acme: Merchant
) -> None:
    """A mean of nothing would be an answer."""
    model_id = shelf.add(acme.tenant_id)
    rows = serving.ask(acme.tenant_id, model_id, [b"x"], pool=True).get_json()["results"]
    assert [row["error"]["code"] for row in rows] == ["unreadable", "not_an_image"]


def test_one_merchants_model_is_not_there_for_another(
    serving: Serving, shelf: Shelf, acme: Merchant, zenith: Merchant
) -> None:
    """A competitor could ask what a merchant's model knows."""
    model_id = shelf.add(acme.tenant_id)
    assert serving.ask(acme.tenant_id, model_id, [photo()]).status_code == 200
    answer = serving.ask(zenith.tenant_id, model_id, [photo()])
    assert answer.status_code == 404


def test_heads_of_all_merchants_share_one_backbone(
    serving: Serving, shelf: Shelf, acme: Merchant, zenith: Merchant
) -> None:
    """Each merchant would cost the memory of a whole model."""
    swapped = colour_head()._replace(weight=colour_head().weight.flip(0))
    ours, theirs = shelf.add(acme.tenant_id), shelf.add(zenith.tenant_id, swapped)
    rows = [
        serving.ask(who.tenant_id, model_id, [photo(RED)]).get_json()["results"][0]["label"]
        for who, model_id in ((acme, ours), (zenith, theirs))
    ]
    assert rows == ["red", "blue"]
    assert len(serving.parts.residents._graphs) == 1


@pytest.mark.parametrize("name", ["head.safetensors", "labels.json", "model.onnx"])
def test_altered_bytes_are_refused_and_logged(
    serving: Serving,
    shelf: Shelf,
    acme: Merchant,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    """Whoever can write to the database could make a model say anything."""
    model_id = shelf.add(acme.tenant_id)
    shelf.alter(model_id, name)
    answer = serving.ask(acme.tenant_id, model_id, [photo()])
    assert answer.get_json()["error"]["code"] == ErrorCode.ARTIFACT_CORRUPT
    assert "do not match their hash" in capsys.readouterr().out


def test_a_model_without_its_graph_cannot_be_served(
    serving: Serving, shelf: Shelf, acme: Merchant
) -> None:
    """A merchant who asked for no export must be told, not shown a fault of ours."""
    model_id = shelf.add(acme.tenant_id, without="model.onnx")
    answer = serving.ask(acme.tenant_id, model_id, [photo()])
    assert (answer.status_code, answer.get_json()["error"]["param"]) == (409, "ref")
    assert answer.get_json()["error"]["code"] == "not_servable"


def test_what_does_not_fit_together_is_not_run(
    serving: Serving, shelf: Shelf, acme: Merchant
) -> None:
    """A batch of one size would be stacked with another's, and all of it lost."""
    other_size = shelf.add(acme.tenant_id, preprocess={**PREPROCESS, "input_size": 9, "resize": 9})
    fewer = shelf.add(acme.tenant_id, labels=LABELS[:2])
    nonsense = shelf.add(acme.tenant_id, own_backbone=b"no graph")
    for model_id in (other_size, fewer, nonsense):
        answer = serving.ask(acme.tenant_id, model_id, [photo()])
        assert answer.get_json()["error"]["code"] == "artifact_corrupt"


def test_a_deleted_model_answers_no_more(
    serving: Serving, shelf: Shelf, acme: Merchant, database: Database
) -> None:
    """The files of a deleted model must not be loaded."""
    model_id = shelf.add(acme.tenant_id)
    with database.write() as session:
        session.execute(update(Model).values(deleted_at=1.0))
    assert serving.ask(acme.tenant_id, model_id, [photo()]).status_code == 404


def test_a_wrong_secret_is_refused(settings: Settings, database: Database, shelf: Shelf) -> None:
    """Anybody on the network of the containers could ask any merchant's model."""
    guarded = settings.model_copy(update={"serving": ServingSettings(secret="s3cret")})
    serving = Serving(guarded, database, ServeSettings(decoders=1))
    assert serving.ask("mer", "md", [photo()], secret="other").status_code == 401
    assert serving.ask("mer", "md", [photo()], secret="s3cret").status_code == 404


def test_nonsense_is_refused(serving: Serving) -> None:
    """A broken proxy between the two processes must be seen as that."""
    headers = {"Authorization": authorization("")}
    for body in (b"", b"{}\n", b"x" * 100, b"\xff\n"):
        answer = serving.client.post("/predict", data=body, headers=headers)
        assert answer.get_json()["error"]["code"] == "invalid_request"
    assert serving.client.get("/nothing").status_code == 400


def test_probes(serving: Serving, database: Database) -> None:
    """An orchestrator would send requests to a process that cannot answer."""
    assert serving.client.get("/healthz").status_code == 204
    assert serving.client.get("/readyz").status_code == 204


def test_missing_chunks_are_refused(
    serving: Serving, shelf: Shelf, acme: Merchant, database: Database
) -> None:
    """A swept blob must be an alarm, not a crash."""
    model_id = shelf.add(acme.tenant_id, own_backbone=tiny_backbone())
    with database.write() as session:
        session.execute(delete(BlobChunk).where(BlobChunk.scope == acme.tenant_id))
    answer = serving.ask(acme.tenant_id, model_id, [photo()])
    assert answer.get_json()["error"]["code"] == "artifact_corrupt"
