"""One person at the server, until it is time to go: ``python -m tests.server.load.visitor`` with an :class:`Errand`
on standard input; what came of it is printed as JSON."""

from __future__ import annotations

import os
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec

from lepton_ai import ModelRepository
from lepton_ai.errors import AlreadyExists, Diverged, InUse, LeptonError, LostRace
from tests.server.load.models import model

RACES = (409, 412)
"""Somebody else was faster: no error."""
AT_ONCE = 24
"""Requests of a page that asks for everything at the same time."""


class Errand(msgspec.Struct, frozen=True):
    """Who goes where, for how long."""

    address: str
    token: str
    number: int
    repositories: tuple[str, ...]
    folder: Path
    seconds: float


class Kept(msgspec.Struct, frozen=True):
    """A version that the server said it has."""

    repository: str
    id: str
    seed: int


class Came(msgspec.Struct):
    """What came of a visit: versions that were confirmed, what went wrong, seconds of each act, bytes that came."""

    kept: list[Kept] = []
    wrong: list[str] = []
    acts: dict[str, list[float]] = {}
    counted: dict[str, int] = {}


class Visitor:
    """Does one thing after another, chosen by chance that ``number`` seeds."""

    def __init__(self, errand: Errand) -> None:
        self.errand, self.came = errand, Came()
        self.chance = random.Random(errand.number)
        self.counted: Counter[str] = Counter()
        self._known: dict[str, list[tuple[str, int]]] = {}
        self._clones: dict[str, ModelRepository] = {}
        self._made = 0
        self.http = self._client()

    def _client(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.errand.token}"}
        return httpx.Client(base_url=f"{self.errand.address}/api/v1", headers=headers, timeout=120)

    def stay(self) -> Came:
        """Visit until the time is up."""
        acts: dict[Callable[[str], None], int] = {
            self.look_around: 20, self.search: 10, self.show: 16, self.read_log: 8, self.compare: 3,
            self.read_range: 12, self.read_pack: 4, self.save_there: 4, self.save_by_request: 3,
            self.push_and_pull: 3, self.leave_an_upload: 1, self.label: 6, self.branch_off: 3, self.listen: 3,
            self.all_at_once: 1, self.come_again: 4,
        }  # fmt: skip
        end = time.monotonic() + self.errand.seconds
        while time.monotonic() < end:
            (act,) = self.chance.choices(list(acts), list(acts.values()))
            with self._timed(act.__name__):
                act(self.chance.choice(self.errand.repositories))
        for clone in self._clones.values():
            clone.close()
        self.http.close()
        self.came.counted = dict(self.counted)
        return self.came

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        start = time.monotonic()
        try:
            yield
        except (LostRace, Diverged, AlreadyExists, InUse):
            self.counted[f"{name}: lost a race"] += 1
        except (LeptonError, httpx.HTTPError, AssertionError) as problem:
            self.came.wrong.append(f"{name}: {type(problem).__name__}: {problem}")
        finally:
            self.came.acts.setdefault(name, []).append(time.monotonic() - start)

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """A request that is to succeed, or to lose a race."""
        answer = self.http.request(method, path, **more)
        assert answer.status_code < 400 or answer.status_code in RACES, f"{method} {path}: {answer.text}"
        if answer.status_code in RACES:
            self.counted[f"{method}: lost a race"] += 1
        return answer

    def _new_model(self, repository: str) -> tuple[int, bytes]:
        self._made += 1
        seed = self.errand.number * 1_000_000 + self._made
        return seed, model(repository, seed)

    def _any(self, repository: str) -> tuple[str, int]:
        """A version's id and seed."""
        if repository not in self._known:
            self.look_around(repository)
        return self.chance.choice(self._known[repository])

    # What people do, each with a repository.

    def look_around(self, repository: str) -> None:
        """The page of a repository: itself, versions, branches, tags, aliases."""
        told = self.ask("GET", f"/repositories/{repository}/versions", params={"limit": 50}).json()
        self._known[repository] = [
            (one["id"], int(one["metrics"]["seed"])) for one in told["versions"] if "seed" in one["metrics"]
        ]
        what = self.chance.choice(["", "/branches", "/tags", "/aliases", "/graph"])
        self.ask("GET", f"/repositories/{repository}{what}")

    def search(self, repository: str) -> None:
        """Versions by a filter."""
        loss = round(self.chance.random(), 3)
        query = {"where": f"metrics.loss < {loss} AND NOT tag = 'none'", "order_by": "metrics.loss DESC"}
        told = self.ask("GET", f"/repositories/{repository}/versions", params=query | {"limit": "20"}).json()
        found = [one["metrics"]["loss"] for one in told["versions"]]
        assert all(each < loss for each in found), "the filter lets others through"
        assert found == sorted(found, reverse=True), "not in order"

    def show(self, repository: str) -> None:
        """One version, its files and tensors."""
        known, seed = self._any(repository)
        what = self.chance.choice(["", "/files", "/tensors", "/revisions"])
        told = self.ask("GET", f"/repositories/{repository}/versions/{known}{what}").json()
        if not what:
            assert told["metrics"]["seed"] == seed

    def read_log(self, repository: str) -> None:
        """Two pages of what moved."""
        page = self.ask("GET", f"/repositories/{repository}/log", params={"limit": 30}).json()
        if page.get("next"):
            self.ask("GET", f"/repositories/{repository}/log", params={"limit": 30, "after": page["next"]})

    def compare(self, repository: str) -> None:
        """Two versions."""
        (before, one), (after, other) = self._any(repository), self._any(repository)
        query = {"before": before, "after": after}
        told = self.ask("GET", f"/repositories/{repository}/diff", params=query).json()
        changed = [each for each in told["tensors"] if each["status"] == "changed"]
        assert bool(changed) == (one != other)

    def read_range(self, repository: str) -> None:
        """A part of a model; every byte is known."""
        known, seed = self._any(repository)
        whole = model(repository, seed)
        first = self.chance.randrange(len(whole))
        last = min(len(whole), first + self.chance.randrange(1, 60_000)) - 1
        place = f"/repositories/{repository}/versions/{known}/files/model.safetensors"
        answer = self.ask("GET", place, headers={"Range": f"bytes={first}-{last}"})
        assert answer.status_code == 206
        assert answer.content == whole[first : last + 1], "other bytes than those that were saved"

    def read_pack(self, repository: str) -> None:
        """The end of a pack, as a clone reads it."""
        packs = self.ask("GET", f"/repositories/{repository}/packs", params={"limit": 100}).json()["packs"]
        pack = self.chance.choice(packs)
        answer = self.ask(
            "GET", f"/repositories/{repository}/packs/{pack['name']}", headers={"Range": "bytes=-4096"}
        )
        assert len(answer.content) == min(4096, pack["size"])

    def save_there(self, repository: str) -> None:
        """Some versions by the verbs of Python at the address; on main, where others save too."""
        with ModelRepository(
            f"{self.errand.address}/{repository}", author=f"user{self.errand.number}"
        ) as there:
            for _ in range(self.chance.randrange(1, 3)):
                self._save(there, repository)

    def _save(self, repo: ModelRepository, repository: str) -> None:
        seed, data = self._new_model(repository)
        file = self.errand.folder / "model.safetensors"
        file.write_bytes(data)
        made = repo.save_files([file], "main", metrics={"seed": seed, "loss": self.chance.random()})
        self.came.kept.append(Kept(repository, made.id, seed))

    def save_by_request(self, repository: str) -> None:
        """A version by one request, as a program without our package makes it."""
        seed, data = self._new_model(repository)
        file = {"path": "model.safetensors", "content": msgspec.json.decode(msgspec.json.encode(data))}
        body = {"files": [file], "metrics": {"seed": seed, "loss": self.chance.random()}}
        answer = self.ask("POST", f"/repositories/{repository}/versions", json=body)
        if answer.status_code == 201:
            self.came.kept.append(Kept(repository, answer.json()["id"], seed))

    def push_and_pull(self, repository: str) -> None:
        """Work in a clone: take what others did, save, bring it; who is overtaken does it again."""
        clone = self._clones.get(repository)
        if clone is None:
            folder = self.errand.folder / repository.replace("/", "-")
            clone = ModelRepository.clone(
                f"{self.errand.address}/{repository}",
                folder,
                content=False,
                author=f"user{self.errand.number}",
            )
            self._clones[repository] = clone
        clone.pull(how="merge", on_conflict="theirs")
        self._save(clone, repository)
        made = self.came.kept.pop()  # not before it is there
        for _ in range(5):
            try:
                clone.push()
            except (Diverged, LostRace):
                self.counted["push: lost a race"] += 1
                clone.pull(how="merge", on_conflict="theirs")
            else:
                self.came.kept.append(made)
                return

    def leave_an_upload(self, repository: str) -> None:
        """Begin to bring something, and never come back."""
        name = f"{self.chance.getrandbits(256):064x}"
        told = self.ask(
            "POST", f"/repositories/{repository}/uploads", json={"pack": name, "size": 100_000}
        ).json()
        data = self.chance.randbytes(5_000)
        headers = {"Content-Range": f"bytes 0-{len(data) - 1}/100000"}
        self.ask("PUT", f"/repositories/{repository}/uploads/{told['id']}", content=data, headers=headers)

    def label(self, repository: str) -> None:
        """Tags and aliases, which others move at the same time."""
        known, _ = self._any(repository)
        place, number = f"/repositories/{repository}", self.chance.randrange(1000)
        if self.chance.random() < 0.3:
            self.ask("PUT", f"{place}/tags/t{number}", json={"version": known})
            return
        alias = f"{place}/aliases/{self.chance.choice(['production', 'staging'])}"
        now = self.http.get(alias)
        headers = {"If-Match": now.headers["ETag"]} if now.status_code == 200 else {}
        self.ask("PUT", alias, json={"version": known}, headers=headers)

    def branch_off(self, repository: str) -> None:
        """A branch that comes, and sometimes goes."""
        known, _ = self._any(repository)
        name = f"b{self.chance.randrange(40)}"
        self.ask("POST", f"/repositories/{repository}/branches", json={"name": name, "base": known})
        if self.chance.random() < 0.5:
            answer = self.http.delete(f"/repositories/{repository}/branches/{name}")
            assert answer.status_code in {200, 204, 404, *RACES}, answer.text

    def listen(self, repository: str) -> None:
        """Follow a repository for a moment, and go without a word."""
        query = {"repository": repository}
        with self._client() as http, http.stream("GET", "/events", params=query) as answer:
            assert answer.status_code == 200, answer.read()
            end = time.monotonic() + self.chance.random() * 2
            for _ in answer.iter_raw():
                self.counted["events: pieces heard"] += 1
                if time.monotonic() > end or self.chance.random() < 0.3:
                    return

    def all_at_once(self, repository: str) -> None:
        """As a page does that many people open in the same moment."""
        wrong: list[str] = []

        def once() -> None:
            with self._client() as http:
                answer = http.get(f"/repositories/{repository}/versions", params={"limit": 10})
                if answer.status_code != 200:
                    wrong.append(f"{answer.status_code} {answer.text}")

        threads = [threading.Thread(target=once) for _ in range(AT_ONCE)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong, wrong[0]

    def come_again(self, repository: str) -> None:
        """On a new connection, which another worker may take."""
        self.http.close()
        self.http = self._client()
        self.ask("GET", "/me")
        self.ask("GET", f"/repositories/{repository}")


if __name__ == "__main__":
    given = msgspec.json.decode(sys.stdin.buffer.read(), type=Errand, dec_hook=lambda kind, text: kind(text))
    os.environ["LEPTON_AI_TOKEN"] = given.token
    given.folder.mkdir(parents=True)
    print(msgspec.json.encode(Visitor(given).stay()).decode())
