"""An application over an embedded catalog and folder, in this process."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from lepton_ai.server.app import create_app
from lepton_ai.server.settings import ServerSettings

ADDRESS = "http://127.0.0.1:8750"


@pytest.fixture
def settings(tmp_path: Path) -> ServerSettings:
    return ServerSettings(folder=tmp_path / "server")


@pytest.fixture
def closed(settings: ServerSettings) -> TestClient:
    """A client of an application whose lifespan has not begun: database and objects are not there."""
    return TestClient(create_app(settings), base_url=ADDRESS, raise_server_exceptions=False)
