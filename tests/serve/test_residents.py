"""What stays loaded: heads and fine-tuned backbones within their memory, shared ones for good."""

import pytest

from core.refusals import RefusedError
from db.repositories import models
from db.repositories.audit import OPERATOR
from db.session import Database
from regraft.contract.errors import ErrorCode
from serve.heads import Files
from serve.residents import Residents
from serve.settings import ServeSettings
from tests.support.merchants import Merchant
from tests.support.served import Shelf, tiny_backbone


def _own(number: int) -> bytes:
    """Return a backbone that no other model has: the padding is a field that parsers skip."""
    return tiny_backbone() + b"\x32\x40" + bytes([number]) * 64


def _residents(database: Database, **given: int) -> Residents:
    return Residents(Files(database), ServeSettings.model_validate({"num_threads": 1, **given}))


def _use(residents: Residents, merchant: Merchant, model_id: str) -> None:
    with residents.backbone(merchant.tenant_id, residents.head(merchant.tenant_id, model_id)):
        pass


def test_the_longest_unused_fine_tuned_model_goes_first(
    database: Database, shelf: Shelf, acme: Merchant
) -> None:
    """Memory would grow with each model that was ever asked."""
    one = 3 * len(_own(0))
    residents = _residents(database, model_bytes=2 * one)
    models = [shelf.add(acme.tenant_id, own_backbone=_own(number)) for number in range(3)]
    shared = shelf.add(acme.tenant_id)
    for model_id in (shared, models[0], models[1], models[0], models[2]):
        _use(residents, acme, model_id)
    loaded = [segment.sha256 for segment in residents._graphs]
    heads = [residents.head(acme.tenant_id, one) for one in (shared, models[0], models[2])]
    assert loaded == [head.graph.sha256 for head in heads]


def test_a_model_in_use_stays(database: Database, shelf: Shelf, acme: Merchant) -> None:
    """A request under way would lose its backbone to another's."""
    residents = _residents(database, model_bytes=3 * len(_own(0)))
    first, second = (shelf.add(acme.tenant_id, own_backbone=_own(number)) for number in (0, 1))
    with residents.backbone(acme.tenant_id, residents.head(acme.tenant_id, first)) as loaded:
        with pytest.raises(RefusedError) as refused:
            _use(residents, acme, second)
        assert refused.value.code is ErrorCode.UNAVAILABLE
        assert loaded.graph.side == 8
    _use(residents, acme, second)


def test_a_model_larger_than_all_memory_is_said(
    database: Database, shelf: Shelf, acme: Merchant
) -> None:
    """It would be tried again and again."""
    residents = _residents(database, model_bytes=10)
    with pytest.raises(RefusedError) as refused:
        _use(residents, acme, shelf.add(acme.tenant_id, own_backbone=_own(0)))
    assert (refused.value.code, refused.value.param) == (ErrorCode.NOT_SERVABLE, "ref")


def test_heads_are_bounded(database: Database, shelf: Shelf, acme: Merchant) -> None:
    """Ten thousand merchants' heads must not be more than the memory that is given to them."""
    models = [shelf.add(acme.tenant_id) for _ in range(4)]
    one = _residents(database).head(acme.tenant_id, models[0]).num_bytes
    residents = _residents(database, head_bytes=2 * one)
    for model_id in models:
        residents.head(acme.tenant_id, model_id)
    assert [key[1] for key in residents._heads] == models[2:]
    assert residents.head(acme.tenant_id, models[0]).labels == ("blue", "green", "red")


def test_a_deleted_model_leaves_the_memory(
    database: Database, shelf: Shelf, acme: Merchant, zenith: Merchant
) -> None:
    """What a merchant has deleted would lie in memory for as long as nobody else needs it."""
    residents = _residents(database)
    shared, tuned = shelf.add(acme.tenant_id), shelf.add(acme.tenant_id, own_backbone=_own(0))
    theirs = shelf.add(zenith.tenant_id)
    for merchant, model_id in ((acme, shared), (acme, tuned), (zenith, theirs)):
        _use(residents, merchant, model_id)
    assert (residents.forget_deleted(), len(residents._graphs)) == (0, 2)
    with database.write() as session:
        for model_id in (shared, tuned):
            models.remove(session, acme.tenant_id, model_id, OPERATOR)
    with residents.backbone(acme.tenant_id, residents.head(acme.tenant_id, tuned)):
        assert residents.forget_deleted() == 2
        assert len(residents._graphs) == 2
    assert [key[1] for key in residents._heads] == [theirs]
    assert residents._head_bytes == residents.head(zenith.tenant_id, theirs).num_bytes
    assert residents.forget_deleted() == 0
    assert len(residents._graphs) == 1
    with pytest.raises(RefusedError) as refused:
        residents.head(acme.tenant_id, tuned)
    assert refused.value.code is ErrorCode.NOT_FOUND
