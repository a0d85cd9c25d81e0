"""Azure's blob store as Microsoft emulates it: Azurite (npm), a process of its own on the loopback."""

from __future__ import annotations

import base64
import hmac
import os
import secrets
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.mortal import mortal
from tests.services_s3 import free_port, wait_for

ROOT = Path(__file__).parent.parent
INSTALLED = ROOT / "build" / "azurite" / "node_modules" / ".bin" / "azurite-blob"
"""Where ``make test-slow`` puts it."""

ACCOUNT = "tests"
KEY = base64.b64encode(b"the key of the account of the tests").decode()
VERSION = "2023-11-03"


@pytest.fixture(scope="session")
def azure_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an account's blobs, with its key in the environment."""
    program = str(INSTALLED) if INSTALLED.exists() else shutil.which("azurite-blob")
    if program is None:
        pytest.skip("azurite is not installed (npm install --prefix build/azurite azurite)")
    folder, port = tmp_path_factory.mktemp("azurite"), free_port()
    flags = ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(folder / "data")]
    environment = os.environ | {"AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"}
    log = folder / "log"
    with log.open("wb") as output, pytest.MonkeyPatch.context() as patch:
        command = mortal([program, *flags, "--silent", "--skipApiVersionCheck", "--disableTelemetry"])
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=folder, env=environment)
        try:
            wait_for(f"http://127.0.0.1:{port}/", process, log)
            for name in [name for name in os.environ if name.startswith("AZURE_")]:
                patch.delenv(name)
            patch.setenv("AZURE_STORAGE_ACCOUNT_KEY", KEY)
            yield f"http://127.0.0.1:{port}/{ACCOUNT}"
        finally:
            process.terminate()
            process.wait(30)


@pytest.fixture
def azure_url(azure_server: str) -> str:
    """The address of a new, empty place in an Azure store."""
    name = f"container-{secrets.token_hex(6)}"
    headers = {"x-ms-date": datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT"), "x-ms-version": VERSION}
    told = "".join(f"{header}:{value}\n" for header, value in sorted(headers.items()))
    # Source: https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key
    signed = "PUT" + "\n" * 12 + told + f"/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container"
    code = base64.b64encode(hmac.digest(base64.b64decode(KEY), signed.encode(), "sha256")).decode()
    headers |= {"Authorization": f"SharedKey {ACCOUNT}:{code}", "Content-Length": "0"}
    address = f"{azure_server}/{name}?restype=container"
    urllib.request.urlopen(urllib.request.Request(address, method="PUT", headers=headers), timeout=30).close()
    return f"az://{name}/deep/down?account={ACCOUNT}&endpoint={azure_server}&allow_http=true"
