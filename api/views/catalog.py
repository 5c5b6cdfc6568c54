"""The catalogue: what can be trained, with each strategy's schema and defaults."""

from pydantic import TypeAdapter

from api.routing import PageQuery, Routes
from core.refusals import InvalidError
from regraft.contract.catalog import BACKBONES, STRATEGIES, StrategyRecord
from regraft.contract.resources import Backbone, Page, Strategy
from regraft.contract.strategies import AnyStrategy

routes = Routes()
_STRATEGY: TypeAdapter[AnyStrategy] = TypeAdapter(AnyStrategy)


@routes.add("GET", "/v1/catalog/backbones", Page[Backbone])
def list_backbones(query: PageQuery) -> Page[Backbone]:
    """List the backbones that training may start from."""
    _first_page(query)
    found = [Backbone.model_validate(record._asdict()) for record in BACKBONES.values()]
    return Page(data=found, has_more=False, next_cursor=None)


@routes.add("GET", "/v1/catalog/strategies", Page[Strategy])
def list_strategies(query: PageQuery) -> Page[Strategy]:
    """List the strategies with their parameters."""
    _first_page(query)
    found = [_strategy(record) for record in STRATEGIES.values()]
    return Page(data=found, has_more=False, next_cursor=None)


def _strategy(record: StrategyRecord) -> Strategy:
    """Return a record with the schema and the defaults of what a job may say of it."""
    chosen = _STRATEGY.validate_python({"type": record.type})
    return Strategy.model_validate(
        {
            **record._asdict(),
            "json_schema": type(chosen).model_json_schema(),
            "defaults": chosen.model_dump(mode="json"),
        }
    )


def _first_page(query: PageQuery) -> None:
    """Refuse cursors: the catalogue is one page, and never gave one out."""
    if query.cursor is not None:
        raise InvalidError("cursor", "must be the `next_cursor` of an earlier page")
