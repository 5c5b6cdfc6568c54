"""Merchants and keys, for administrators: of every merchant, by keys with the admin scope alone."""

from flask import Response

from api import repeatable, shown
from api.routing import Call, PageQuery, Routes
from db.repositories import administration, quotas
from db.repositories.idempotency import Transaction
from db.repositories.keys import NewKey
from db.repositories.reading import Window
from regraft.contract.administration import (
    Key,
    KeyNew,
    KeyRotation,
    KeyWithText,
    Merchant,
    MerchantChange,
    MerchantNew,
)
from regraft.contract.errors import ErrorCode
from regraft.contract.ids import MerchantId
from regraft.contract.registry import Deleted
from regraft.contract.resources import MerchantUsage, Page

routes = Routes()


class KeyQuery(PageQuery):
    """Whose keys to list; those of all merchants unless one is named."""

    merchant: MerchantId | None = None


@routes.add("POST", "/v1/merchants", Merchant, scope="admin", status=201, repeatable=True)
def create_merchant(call: Call, body: MerchantNew) -> Response:
    """Add a merchant; it has no key yet."""
    repeat = repeatable.claim(body.model_dump(mode="json"))

    def create(session: Transaction) -> Merchant:
        return shown.merchant(administration.create_merchant(session, body, call.actor))

    return repeatable.once(call, repeat, 201, create, call.services.system)


@routes.add("GET", "/v1/merchants", Page[Merchant], scope="admin")
def list_merchants(call: Call, query: PageQuery) -> Page[Merchant]:
    """List merchants, newest first."""
    with call.services.system.read() as session:
        rows = administration.merchants(session, Window(query.limit, query.cursor))
    return shown.page(rows, shown.merchant)


@routes.add("GET", "/v1/merchants/{merchant_id}", Merchant, scope="admin")
def show_merchant(call: Call, merchant_id: str) -> Merchant:
    """Show one merchant."""
    with call.services.system.read() as session:
        return shown.merchant(administration.find_merchant(session, merchant_id))


@routes.add("GET", "/v1/merchants/{merchant_id}/usage", MerchantUsage, scope="admin")
def show_merchant_usage(call: Call, merchant_id: str) -> MerchantUsage:
    """Show what a merchant uses, beside its limits."""
    with call.services.system.read() as session:
        merchant = administration.find_merchant(session, merchant_id)
        return shown.usage(quotas.usage(session, merchant.id))


@routes.add("PATCH", "/v1/merchants/{merchant_id}", Merchant, scope="admin")
def change_merchant(call: Call, merchant_id: str, body: MerchantChange) -> Merchant:
    """Change a merchant's name, weight or limits; a limit of null is none."""
    with call.services.system.write() as session:
        changed = administration.change_merchant(session, merchant_id, body, call.actor)
        return shown.merchant(changed)


@routes.add(
    "POST", "/v1/keys", KeyWithText, scope="admin", status=201, errors=(ErrorCode.NOT_FOUND,)
)
def create_key(call: Call, body: KeyNew) -> KeyWithText:
    """Add a key for a merchant, with no scope that the caller lacks; its text is shown this once.

    No `Idempotency-Key` is taken, since an answer that is kept would keep the key.
    """
    with call.services.system.write() as session:
        made = administration.create_key(session, call.caller, body, call.actor)
    return _with_text(call, made)


@routes.add("GET", "/v1/keys", Page[Key], scope="admin")
def list_keys(call: Call, query: KeyQuery) -> Page[Key]:
    """List keys, newest first; never their text."""
    window = Window(query.limit, query.cursor)
    with call.services.system.read() as session:
        rows = administration.listed_keys(session, query.merchant, window)
    return shown.page(rows, shown.key)


@routes.add("GET", "/v1/keys/{key_id}", Key, scope="admin")
def show_key(call: Call, key_id: str) -> Key:
    """Show one key; never its text."""
    with call.services.system.read() as session:
        return shown.key(administration.find_key(session, key_id))


@routes.add("DELETE", "/v1/keys/{key_id}", Deleted, scope="admin", errors=(ErrorCode.CONFLICT,))
def revoke_key(call: Call, key_id: str) -> Deleted:
    """End a key at once; not the one that asks."""
    with call.services.system.write() as session:
        administration.revoke_key(session, call.caller, key_id, call.actor)
    return Deleted(id=key_id, object="key")


@routes.add(
    "POST", "/v1/keys/{key_id}/rotate", KeyWithText, scope="admin", errors=(ErrorCode.CONFLICT,)
)
def rotate_key(call: Call, key_id: str, body: KeyRotation) -> KeyWithText:
    """Make a key like this one, which then works for `overlap_hours` more; shown this once."""
    with call.services.system.write() as session:
        made = administration.rotate_key(
            session, call.caller, key_id, body.overlap_hours, call.actor
        )
    return _with_text(call, made)


def _with_text(call: Call, made: NewKey) -> KeyWithText:
    with call.services.system.read() as session:
        row = administration.find_key(session, made.id)
    return KeyWithText(**shown.key(row).model_dump(), key=made.key)
