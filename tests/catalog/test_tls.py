"""TLS to the database: what stands in its address goes to the driver, and is kept to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lepton_ai.catalog import addresses
from lepton_ai.catalog.database import Catalog
from lepton_ai.errors import StorageFailed
from tests.server.certificates import self_signed
from tests.services import Mariadb


def certificate(folder: Path, name: str) -> Path:
    """A certificate for 127.0.0.1 that is its own authority; its key is beside it."""
    return self_signed(folder, name, f"{name}.key")[0]


class Secured(Mariadb):
    """MariaDB that takes TLS alone."""

    def command(self) -> list[str]:
        file = certificate(self.folder, "server")
        given = {"ssl-cert": file, "ssl-key": file.with_suffix(".key"), "require-secure-transport": "ON"}
        return [*super().command(), *(f"--{name}={value}" for name, value in given.items())]

    def connection_options(self) -> dict[str, Any]:
        return {"ssl": {"ca": str(self.folder / "server.pem")}}


@pytest.fixture(scope="module")
def secured() -> Iterator[Secured]:
    service = Secured()
    try:
        service.start()
        yield service
    finally:
        service.end()


def test_the_server_is_known_by_its_certificate(secured: Secured, tmp_path: Path) -> None:
    url = secured.fresh()
    right, other = secured.folder / "server.pem", certificate(tmp_path, "other")
    catalog = Catalog(f"{url}?ssl_ca={right}")
    catalog.migrate()
    with catalog.reading() as connection:
        cipher = connection.exec_driver_sql("SHOW STATUS LIKE 'Ssl_cipher'").one()[1]
    assert cipher.startswith("TLS")
    catalog.close()
    for options, said in ((f"?ssl_ca={other}", "certificate"), ("?ssl_disabled=true", "refused")):
        wrong = Catalog(url + options)
        with pytest.raises(StorageFailed, match=said):
            wrong.check()
        wrong.close()


def test_options_go_to_the_driver_as_they_are() -> None:
    asked = "sslmode=verify-full&sslrootcert=/certificates/ca.pem&sslcert=c.pem&sslkey=k.pem"
    url = addresses.parse(f"postgresql://lepton:word@db.example:5433/catalog?{asked}")
    made = Catalog(url.render_as_string(hide_password=False))
    given = made.engine.dialect.create_connect_args(made.url)[1]
    assert given["sslmode"] == "verify-full"
    assert (given["sslrootcert"], given["sslcert"], given["sslkey"]) == (
        "/certificates/ca.pem",
        "c.pem",
        "k.pem",
    )
    assert (given["host"], given["port"], given["dbname"]) == ("db.example", 5433, "catalog")
    assert made.where == "postgresql://db.example:5433/catalog"
    made.close()
