"""Writes the small sources that the tests import, each with the real tool, and packs them.

    python write_sources.py FOLDER [--only dvc,git-lfs,mlflow,huggingface]

Needs git, git-lfs, dvc, mlflow-skinny with sqlalchemy and alembic, and huggingface_hub: no dependency of the package.
What lies in this folder was written by the versions named in ``versions.txt`` beside the archives.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from typing import Any

ANNA = ("Anna Müller", "anna@example.com")
BO = ("Bo Li", "bo@example.com")


def weights(seed: int, size: int = 512) -> bytes:
    """A safetensors file with one tensor of ``size`` numbers that look like weights."""
    header = json.dumps({"w": {"dtype": "F32", "shape": [size], "data_offsets": [0, 4 * size]}}).encode()
    numbers = [((i * 2654435761 + seed * 40503) % 65536) / 65536 - 0.5 for i in range(size)]
    return struct.pack("<Q", len(header)) + header + struct.pack(f"<{size}f", *numbers)


class Checkout:
    """A git repository in which people commit at times that are written down."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = 1_700_000_000
        folder.mkdir(parents=True)
        self.git("init", "-q", "-b", "main")
        self.git("config", "user.name", "nobody")
        self.git("config", "user.email", "nobody@example.com")

    def run(self, *command: str) -> None:
        subprocess.run(
            command, cwd=self.folder, check=True, stdout=subprocess.DEVNULL, env=self._environment(ANNA)
        )

    def git(self, *arguments: str, who: tuple[str, str] = ANNA) -> None:
        subprocess.run(["git", *arguments], cwd=self.folder, check=True, stdout=subprocess.DEVNULL,
                       env=self._environment(who))  # fmt: skip

    def commit(self, message: str, who: tuple[str, str] = ANNA) -> None:
        self.clock += 3600
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message, who=who)

    def merge(self, branch: str, message: str, who: tuple[str, str] = ANNA) -> None:
        self.clock += 3600
        self.git("merge", "-q", "--no-ff", "-s", "ours", "--no-commit", branch, who=who)
        self.git("checkout", "-q", branch, "--", ".", who=who)
        self.git("commit", "-q", "-m", message, who=who)

    def write(self, path: str, data: bytes | str) -> None:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_symlink() or target.exists():
            target.unlink()
        target.write_bytes(data.encode() if isinstance(data, str) else data)

    def _environment(self, who: tuple[str, str]) -> dict[str, str]:
        at = f"{self.clock} +0100"
        return os.environ | {
            "GIT_AUTHOR_NAME": who[0], "GIT_AUTHOR_EMAIL": who[1], "GIT_AUTHOR_DATE": at,
            "GIT_COMMITTER_NAME": who[0], "GIT_COMMITTER_EMAIL": who[1], "GIT_COMMITTER_DATE": at,
            "DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(self.folder.parent / "site"),
        }  # fmt: skip


DVC_YAML = """\
stages:
  train:
    cmd: python train.py
    deps:
    - data
    - train.py
    params:
    - train.lr
    - train.epochs
    outs:
    - models/model.safetensors
    metrics:
    - metrics.json:
        cache: false
"""
TRAIN = """\
import json, pathlib, struct
lr, epochs = [float(line.split(":")[1]) for line in open("params.yaml") if ":" in line and line.startswith("  ")]
seed, size = int(lr * 1000 + epochs), 512
header = json.dumps({"w": {"dtype": "F32", "shape": [size], "data_offsets": [0, 4 * size]}}).encode()
numbers = [((i * 2654435761 + seed * 40503) % 65536) / 65536 - 0.5 for i in range(size)]
pathlib.Path("models").mkdir(exist_ok=True)
pathlib.Path("models/model.safetensors").write_bytes(
    struct.pack("<Q", len(header)) + header + struct.pack(f"<{size}f", *numbers))
json.dump({"accuracy": 0.5 + lr, "loss": {"train": 1 / epochs, "worst": float("nan")}}, open("metrics.json", "w"))
"""


def write_dvc(folder: Path) -> None:
    """A pipeline with data, parameters and metrics; a side branch that is merged, one that is not, a local remote."""
    work = Checkout(folder / "project")
    work.run("dvc", "init", "-q")
    work.run("dvc", "config", "core.analytics", "false")
    work.run("dvc", "remote", "add", "-q", "-d", "store", "../remote")
    work.write("data/a.csv", "x,y\n1,2\n")
    work.write("data/b.csv", "x,y\n3,4\n")
    work.run("dvc", "add", "-q", "data")
    work.write("train.py", TRAIN)
    work.write("dvc.yaml", DVC_YAML)
    _train(work, "0.1", 3, "First model")
    work.git("tag", "v1.0")
    work.write("README.md", "nothing about weights\n")
    work.commit("Only words", BO)
    _train(work, "0.2", 3, "A larger step", BO)
    work.git("checkout", "-q", "-b", "longer")
    _train(work, "0.2", 9, "Train longer")
    work.git("checkout", "-q", "main")
    work.run("dvc", "checkout", "-q")
    work.write("data/c.csv", "x,y\n5,6\n")
    work.run("dvc", "add", "-q", "data")
    work.commit("More data", BO)
    work.clock += 3600
    work.git("merge", "-q", "--no-ff", "-m", "Merge longer training", "longer")
    work.git("branch", "-q", "-D", "longer")
    work.git("checkout", "-q", "-b", "experiment/small")
    _train(work, "0.05", 1, "An experiment", BO)
    work.git("checkout", "-q", "main")
    work.run("dvc", "checkout", "-q")
    work.git("tag", "-a", "v2", "-m", "the merged one")
    work.run("dvc", "push", "-q", "-A")
    shutil.rmtree(folder / "site")


def _train(work: Checkout, lr: str, epochs: int, message: str, who: tuple[str, str] = ANNA) -> None:
    work.write("params.yaml", f"train:\n  lr: {lr}\n  epochs: {epochs}\nother: [1, 2]\n")
    work.run("dvc", "repro", "-q")
    work.commit(message, who)


def write_lfs(folder: Path) -> None:
    """A model with its weights in LFS; two branches, an octopus of nothing, a tag that is no version here."""
    work = Checkout(folder / "model")
    work.git("lfs", "install", "--local")
    work.git("lfs", "track", "*.safetensors")
    work.write("config.json", json.dumps({"model_type": "tiny", "hidden_size": 8}))
    work.write("README.md", "---\nlicense: mit\ndatasets:\n- iris\ntags: [tiny]\n---\n# Tiny\n")
    work.write("model.safetensors", weights(1))
    work.commit("First weights")
    work.git("tag", "v1")
    work.write("model.safetensors", weights(2))
    work.write("training/notes.txt", "not beside the weights\n")
    work.commit("Better weights", BO)
    work.git("checkout", "-q", "-b", "fp16")
    work.write("half/model.safetensors", weights(3, 256))
    work.commit("A smaller one", BO)
    work.git("checkout", "-q", "main")
    work.write("config.json", json.dumps({"model_type": "tiny", "hidden_size": 16}))
    work.commit("Say the right size")


def write_mlflow(folder: Path) -> None:
    """A registered model in a database and in a file store: metrics with steps, aliases, stages, descriptions."""
    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    folder.mkdir(parents=True)
    os.environ |= {"GIT_PYTHON_REFRESH": "quiet", "LOGNAME": "anna"}
    for name, uri in (("database", f"sqlite:///{folder / 'database' / 'mlflow.db'}"),
                      ("files", (folder / "files" / "mlruns").as_uri())):  # fmt: skip
        (folder / name).mkdir()
        os.chdir(folder / name)
        _register(uri, (folder / name / "artifacts").as_uri())


def _register(uri: str, artifacts: str) -> None:
    import mlflow
    from mlflow import MlflowClient

    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    client = MlflowClient()
    experiment = client.create_experiment("digits", artifact_location=artifacts)
    client.create_registered_model("digits", description="Which digit it is")
    for number in (1, 2, 3):
        with mlflow.start_run(experiment_id=experiment, run_name=f"run {number}") as run:
            mlflow.log_params({"lr": 0.1 * number, "layers": "[8, 4]"})
            mlflow.set_tags({"mlflow.source.git.commit": f"{number}" * 40, "owner": "vision"})
            for step in range(3):
                mlflow.log_metric("loss", 1 / (number + step), step=step)
            mlflow.log_metric("accuracy", 0.9 + number / 100)
            mlflow.log_metric("worst", float("nan") if number == 2 else float("inf"))
            model = Path("model")
            model.mkdir(exist_ok=True)
            (model / "model.safetensors").write_bytes(weights(number))
            (model / "MLmodel").write_text(f"flavors: {{}}\nrun_id: {run.info.run_id}\n")
            mlflow.log_artifacts(str(model), "model")
            shutil.rmtree(model)
            source, logged = f"{run.info.artifact_uri}/model", None
            if number == 3:
                logged = _logged(client, experiment, run.info.run_id)
                source = f"models:/{logged}"
            made = client.create_model_version(
                "digits", source, run.info.run_id, description=f"Number {number}", model_id=logged
            )
            client.set_model_version_tag("digits", made.version, "checked", "yes")
    client.transition_model_version_stage("digits", "1", "Production")
    client.set_registered_model_alias("digits", "champion", "3")
    client.set_registered_model_alias("digits", "abc1234", "2")
    client.create_registered_model("empty")


def _logged(client: Any, experiment: str, run: str) -> str:
    """A model of MLflow 3, which has params, metrics and artifacts of its own."""
    made = client.create_logged_model(experiment, "tiny", run, params={"depth": "2"})
    folder = Path("logged")
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(weights(33))
    client.log_model_artifacts(made.model_id, str(folder))
    shutil.rmtree(folder)
    client.log_metric(run, "own", 0.5, model_id=made.model_id)
    client.finalize_logged_model(made.model_id, "READY")
    return str(made.model_id)


class Hub:
    """As much of the Hugging Face Hub as its own library needs to fill a cache."""

    def __init__(self, repo: str) -> None:
        self.repo, self.revisions, self.refs = repo, dict[str, dict[str, bytes]](), dict[str, str]()
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                hub.answer(self, body=False)

            def do_GET(self) -> None:
                hub.answer(self, body=True)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    def push(self, ref: str, files: dict[str, bytes]) -> str:
        commit = hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()
        self.revisions[commit] = files
        self.refs[ref] = commit
        return commit

    def answer(self, request: BaseHTTPRequestHandler, *, body: bool) -> None:
        path = request.path.partition("?")[0]
        kind, data, headers = 404, b"{}", {"Content-Type": "application/json"}
        if path.startswith(f"/api/models/{self.repo}"):
            rest = path.removeprefix(f"/api/models/{self.repo}").strip("/")
            revision = rest.split("/")[1].replace("%2F", "/") if rest else "main"
            commit = self.refs.get(revision, revision)
            files = self.revisions[commit]
            if rest.startswith("tree/"):
                told: object = [self._told(name, content) for name, content in files.items()]
            else:
                told = {"id": self.repo, "sha": commit, "siblings": [{"rfilename": name} for name in files]}
            kind, data = 200, json.dumps(told).encode()
        elif path.startswith(f"/{self.repo}/resolve/"):
            revision, _, name = path.removeprefix(f"/{self.repo}/resolve/").partition("/")
            commit = self.refs.get(revision.replace("%2F", "/"), revision)
            found = self.revisions.get(commit, {}).get(name)
            headers = {"X-Repo-Commit": commit}
            if found is None:
                headers["X-Error-Code"] = "EntryNotFound"
            else:
                kind, data, headers["ETag"] = 200, found, f'"{self._etag(name, found)}"'
        request.send_response(kind)
        for name, value in (headers | {"Content-Length": str(len(data))}).items():
            request.send_header(name, value)
        request.end_headers()
        if body:
            request.wfile.write(data)

    def _told(self, name: str, content: bytes) -> dict[str, object]:
        told: dict[str, object] = {
            "type": "file",
            "path": name,
            "size": len(content),
            "oid": self._git(content),
        }
        if name.endswith(".safetensors"):
            told["lfs"] = {"oid": self._etag(name, content), "size": len(content), "pointerSize": 130}
        return told

    def _etag(self, name: str, content: bytes) -> str:
        return hashlib.sha256(content).hexdigest() if name.endswith(".safetensors") else self._git(content)

    def _git(self, content: bytes) -> str:
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


CARD = """\
---
license: apache-2.0
base_model: example/base
datasets:
- iris
model-index:
- name: tiny
  results:
  - task: {type: text-classification}
    dataset: {name: Iris, type: iris}
    metrics:
    - {type: accuracy, value: 0.91}
    - {type: f1, value: .nan}
---
# Tiny
"""


def write_huggingface(folder: Path) -> None:
    """A cache with two revisions of main, a pull request and a file that is not there; a folder downloaded to."""
    folder.mkdir(parents=True)
    hub = Hub("example/tiny")
    os.environ |= {"HF_ENDPOINT": hub.address, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1",
                   "HF_HOME": str(folder / "home")}  # fmt: skip
    from huggingface_hub import hf_hub_download, snapshot_download

    def files(seed: int) -> dict[str, bytes]:
        config = json.dumps({"model_type": "tiny", "step": seed}).encode()
        state = {"log_history": [{"loss": 1 / (seed + s), "step": s} for s in range(1, 4)]}
        return {"README.md": CARD.encode(), "config.json": config, "model.safetensors": weights(seed),
                "trainer_state.json": json.dumps(state).encode()}  # fmt: skip

    cache = folder / "hub"
    hub.push("main", files(1))
    snapshot_download("example/tiny", cache_dir=cache)
    hub.push("main", files(2))
    snapshot_download("example/tiny", cache_dir=cache)
    hub.push("refs/pr/1", files(3))
    snapshot_download("example/tiny", cache_dir=cache, revision="refs/pr/1")
    try:
        hf_hub_download("example/tiny", "generation_config.json", cache_dir=cache)
    except Exception as problem:  # noqa: BLE001  (that is what leaves a note in .no_exist)
        print("as wanted:", type(problem).__name__)
    snapshot_download("example/tiny", local_dir=folder / "plain")
    hub.server.shutdown()
    shutil.rmtree(folder / "home", ignore_errors=True)
    shutil.rmtree(cache / ".locks", ignore_errors=True)


WRITERS: dict[str, Callable[[Path], None]] = {
    "dvc": write_dvc, "git-lfs": write_lfs, "mlflow": write_mlflow, "huggingface": write_huggingface,
}  # fmt: skip


def versions() -> str:
    """The tools that wrote the sources, one a line."""
    said = [subprocess.run([*c, "version"], capture_output=True, text=True, check=True).stdout.split("\n")[0]
            for c in (["git"], ["git", "lfs"])]  # fmt: skip
    return (
        "\n".join(
            [*said, *(f"{name} {version(name)}" for name in ("dvc", "mlflow-skinny", "huggingface_hub"))]
        )
        + "\n"
    )


def pack(folder: Path, archive: Path) -> None:
    """A folder as a tar file; hooks and logs of git are left out."""

    def fit(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
        parts = Path(info.name).parts
        info.uid = info.gid = 0
        info.uname = info.gname = ""
        return None if ".git" in parts and {"hooks", "logs"} & set(parts) else info

    with tarfile.open(archive, "w:xz") as tar:
        for child in sorted(folder.iterdir()):
            tar.add(child, child.name, filter=fit)


def main() -> None:
    """Write the sources, and pack them unless told otherwise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default=",".join(WRITERS))
    parser.add_argument("--pack", type=Path, help="also write archives into this folder")
    given = parser.parse_args()
    place, archives = given.folder.resolve(), given.pack.resolve() if given.pack else None
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for name in given.only.split(","):
        WRITERS[name](place / name)
        if archives:
            pack(place / name, archives / f"{name}.tar.xz")
    if archives:
        (archives / "versions.txt").write_text(versions())


if __name__ == "__main__":
    main()
