"""People of a server, from its folder: for whoever administers the machine, also when nobody can log in any more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lepton_ai import wire
from lepton_ai.catalog import people
from lepton_ai.catalog.database import Catalog
from lepton_ai.server import settings

PAGE = 500


@contextmanager
def opened(folder: Path) -> Iterator[LocalPeople]:
    """The people of the server in ``folder``.

    Raises:
        LeptonError: its database cannot be reached, or needs ``lepton server migrate``.
    """
    catalog = Catalog(settings.read(folder).database_url)
    try:
        catalog.check()
        yield LocalPeople(catalog)
    finally:
        catalog.close()


class LocalPeople:
    """What the routes under ``/users`` do, without a server."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def all(self) -> list[wire.User]:
        """Everybody, by name."""
        found: list[wire.User] = []
        while page := people.page(self._catalog, after=found[-1].name if found else "", limit=PAGE):
            found += map(told, page)
        return found

    def add(self, new: wire.NewUser) -> wire.User:
        """Add one.

        Raises:
            AlreadyExists, InvalidName, UsageError.
        """
        return told(people.add_user(self._catalog, new.name, new.password, new.admin))

    def change(self, name: str, change: wire.UserChange) -> wire.User:
        """Change one.

        Raises:
            NotFound. InUse: it is the last administrator.
        """
        return told(changed(self._catalog, name, change))

    def set_password(self, name: str, new: str) -> None:
        """Set a password.

        Raises:
            NotFound, UsageError.
        """
        people.set_password(self._catalog, name, new)

    def unlock(self, name: str) -> None:
        """Forget failed logins.

        Raises:
            NotFound.
        """
        people.unlock(self._catalog, name)


def changed(
    catalog: Catalog, name: str, change: wire.UserChange, *, edition: int | None = None
) -> people.User:
    """The user after ``change``; ``edition`` is the one that was read, None: whatever it is.

    Raises:
        NotFound. InUse: it is the last administrator. LostRace: it is another edition.
    """
    user = people.find(catalog, name)
    if change.admin is not None:
        return people.set_admin(catalog, name, change.admin, edition=edition)
    if change.active is not None:
        act = people.reactivate if change.active else people.deactivate
        return act(catalog, name, edition=edition)
    return user


def told(user: people.User) -> wire.User:
    """A user as the API tells it."""
    return wire.User(user.name, user.admin, user.active, user.created_at, user.created_by, user.etag)
