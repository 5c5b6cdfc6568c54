"""The client and the command line show drift, and its job is submitted as it is."""

import pytest
from typer.testing import CliRunner

from core.settings import Settings
from db.lifecycle import drift
from db.lifecycle.drift import Judgement, Tally
from db.session import Database
from regraft.cli.app import app as cli
from regraft.client import Client
from regraft.contract.drift import REFERENCE_FILE, WINDOW
from tests.support.api import Api
from tests.support.merchants import Merchant


def test_a_drifted_model_and_the_job_for_it(
    *,
    ours: Client,
    url: str,
    settings: Settings,
    database: Database,
    acme: Merchant,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A merchant's engineer reads the warning and lets the service train."""
    files = {"model.safetensors": [b"weights"], REFERENCE_FILE: [b"numbers"]}
    made = Api(settings, database).trained(acme, files, name="home-goods")
    with database.write() as session:
        tally = Tally([0.0], [WINDOW])
        far = Judgement(1.5, 1e-9)
        drift.add(session, acme.tenant_id, made.model_id, tally, lambda _tally: far)
    found = ours.models.drift("home-goods:1")
    assert (found.status, found.windows[0].shift) == ("drifted", 1.5)
    assert [one.code for one in ours.models.get(made.model_id).warnings] == ["drift"]
    assert found.suggested_job is not None
    assert ours.jobs.submit(**found.suggested_job).spec.base.model == made.model_id
    monkeypatch.setenv("REGRAFT_URL", url)
    monkeypatch.setenv("REGRAFT_API_KEY", acme.key)
    ran = CliRunner().invoke(cli, ["models", "drift", made.model_id])
    assert ran.exit_code == 0
    assert "drifted" in ran.stdout
    assert "1.50" in ran.stdout
