"""Feature packs in the blob store: kept by one worker, found by every other of the tenant's jobs.

A cache of bounded size, the least recently used goes first. What goes is computed again, and the
sweep takes its bytes (`db.lifecycle.unreferenced`).
"""

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, delete, func, insert, select, update
from sqlalchemy.orm import Session

from db.base import now
from db.lifecycle.claim import Claim
from db.lifecycle.guard import changed, is_held
from db.models import FeatureImage, FeaturePack, Image, Job
from regraft.contract.job import DATASETS

_AT_ONCE = 500


class NewPack(NamedTuple):
    """A pack whose blob is stored already, its size in bytes, and the hashes of its images."""

    key: str
    backbone: str
    name: str
    sha256: str
    size: int
    images: Sequence[str]


def has_new(session: Session, tenant_id: str, key: str, images: Collection[str]) -> bool:
    """Tell whether any of these images is in no stored pack of the key."""
    query = (
        select(func.count(FeatureImage.image_sha256.distinct()))
        .join(FeaturePack, FeaturePack.id == FeatureImage.pack_id)
        .where(FeatureImage.tenant_id == tenant_id, FeaturePack.key == key)
    )
    return any(
        session.scalar(query.where(FeatureImage.image_sha256.in_(part))) != len(part)
        for part in _parts(images)
    )


def keep(session: Session, claim: Claim, new: NewPack, budget: int) -> bool:
    """Keep a pack for later jobs; False, having written nothing, where it must not be.

    That is where the fence is stale, or where it holds an image that is in none of the job's
    datasets: one that is erased meanwhile would come back with it. A dataset whose job is held
    is not erased.
    """
    same = (FeaturePack.tenant_id == claim.tenant_id) & (FeaturePack.key == new.key)
    if not _hold(session, claim) or not _are_mine(session, claim, new.images):
        return False
    if session.scalar(select(FeaturePack.id).where(same, FeaturePack.name == new.name)):
        return False
    pack = FeaturePack(
        tenant_id=claim.tenant_id,
        key=new.key,
        backbone=new.backbone,
        name=new.name,
        sha256=new.sha256,
        size=new.size,
        num_images=len(new.images),
    )
    session.add(pack)
    session.flush()
    rows = [
        {"tenant_id": claim.tenant_id, "image_sha256": image, "pack_id": pack.id}
        for image in sorted(set(new.images))
    ]
    session.execute(insert(FeatureImage), rows)
    _make_room(session, claim.tenant_id, budget)
    return True


def wanted(session: Session, claim: Claim, key: str) -> list[FeaturePack]:
    """Return the packs of a key that hold an image of the job's datasets."""
    holding = (
        select(FeatureImage.pack_id)
        .join(Image, Image.sha256 == FeatureImage.image_sha256)
        .where(FeatureImage.tenant_id == claim.tenant_id, _is_mine(claim))
    )
    query = select(FeaturePack).where(
        FeaturePack.tenant_id == claim.tenant_id,
        FeaturePack.key == key,
        FeaturePack.id.in_(holding),
    )
    return list(session.scalars(query.order_by(FeaturePack.id)))


def mark_used(session: Session, tenant_id: str, key: str, names: Collection[str]) -> None:
    """Note that packs were of use, so that others go first."""
    mine = (FeaturePack.tenant_id == tenant_id) & (FeaturePack.key == key)
    for part in _parts(names):
        some = mine & FeaturePack.name.in_(part)
        changed(session, update(FeaturePack).where(some).values(used_at=now()))


def drop(session: Session, pack_ids: Collection[int]) -> None:
    """Forget packs: their images are computed again."""
    some = list(pack_ids)
    changed(session, delete(FeatureImage).where(FeatureImage.pack_id.in_(some)))
    changed(session, delete(FeaturePack).where(FeaturePack.id.in_(some)))


def _hold(session: Session, claim: Claim) -> bool:
    """Tell whether the job is still this attempt's, and keep it so until the transaction ends."""
    unchanged = update(Job).where(is_held(claim)).values(fence=Job.fence)
    return changed(session, unchanged) == 1


def _is_mine(claim: Claim) -> ColumnElement[bool]:
    """Tell of an image whether it is in one of the job's datasets."""
    named = {str(claim.spec[field]) for field in DATASETS if claim.spec.get(field) is not None}
    return (Image.tenant_id == claim.tenant_id) & Image.dataset_id.in_(sorted(named))


def _are_mine(session: Session, claim: Claim, images: Collection[str]) -> bool:
    query = select(func.count(Image.sha256.distinct())).where(_is_mine(claim))
    return bool(images) and all(
        session.scalar(query.where(Image.sha256.in_(part))) == len(part) for part in _parts(images)
    )


def _make_room(session: Session, tenant_id: str, budget: int) -> None:
    """Drop what was not used for the longest time until `budget` bytes are left at most."""
    packs = session.execute(
        select(FeaturePack.id, FeaturePack.size)
        .where(FeaturePack.tenant_id == tenant_id)
        .order_by(FeaturePack.used_at, FeaturePack.id)
    ).all()
    left = sum(pack.size for pack in packs)
    gone: list[int] = []
    for pack in packs[:-1]:
        if left <= budget:
            break
        gone.append(pack.id)
        left -= pack.size
    for start in range(0, len(gone), _AT_ONCE):
        drop(session, gone[start : start + _AT_ONCE])


def _parts(values: Collection[str]) -> Iterator[list[str]]:
    """Yield the distinct values, as many at a time as a query may hold."""
    distinct = sorted(set(values))
    for start in range(0, len(distinct), _AT_ONCE):
        yield distinct[start : start + _AT_ONCE]
