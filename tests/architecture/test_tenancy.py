"""Tenant scope has one helper; a query on a tenant's table that goes round it is refused here."""

import ast
from pathlib import Path

import db.models
from db.base import Base

ROOT = Path(__file__).parents[2]
_OWNED = {
    mapper.class_.__name__
    for mapper in Base.registry.mappers
    if "tenant_id" in mapper.local_table.c
}


def _bare_selects(source: str) -> list[int]:
    """Return the lines of `select(…)` on a tenant's table outside `scoped(…)`.

    A line may opt out with the words `any tenant:` and the reason.
    """
    lines = source.splitlines()
    found = []
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
            continue
        names = {
            part.id for arg in node.args for part in ast.walk(arg) if isinstance(part, ast.Name)
        }
        marked = "any tenant:" in lines[node.lineno - 1] + lines[max(node.lineno - 2, 0)]
        if node.func.id == "select" and names & _OWNED and not marked:
            found.append(node.lineno)
    return found


def test_the_rule_can_fail() -> None:
    """A linter that accepts everything protects nobody."""
    assert _bare_selects("x = select(Job).where(Job.id == 1)") == [1]
    assert _bare_selects("x = scoped(Job, tenant_id)") == []
    assert _bare_selects("# any tenant: key look-up\nx = select(ApiKey)") == []


def test_repositories_read_through_the_helper() -> None:
    """One forgotten condition shows a merchant another merchant's products."""
    assert db.models.Job.__name__ in _OWNED
    bare = {
        str(path.relative_to(ROOT)): lines
        for folder in ("db/repositories", "api")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if (lines := _bare_selects(path.read_text()))
    }
    assert bare == {}


def test_the_api_writes_no_queries() -> None:
    """Queries outside the repositories are where tenant scope is forgotten first."""
    offenders = [
        str(path.relative_to(ROOT))
        for path in sorted((ROOT / "api").rglob("*.py"))
        if "sqlalchemy" in path.read_text() and "import select" in path.read_text()
    ]
    assert offenders == []
