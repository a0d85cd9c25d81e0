"""MLflow: each version is a run with the file as its artifact, in a local folder."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from peers.peer import Step, program, size

SETUP = """
import sys, mlflow
mlflow.set_tracking_uri(sys.argv[1])
mlflow.search_experiments()
"""
SAVE = """
import sys, mlflow
uri, file, note = sys.argv[1:]
mlflow.set_tracking_uri(uri)
with mlflow.start_run() as run:
    mlflow.log_artifact(file)
open(note, "w").write(run.info.run_id)
"""
RESTORE = """
import sys, mlflow
uri, note, file, target = sys.argv[1:]
mlflow.set_tracking_uri(uri)
mlflow.artifacts.download_artifacts(run_id=open(note).read(), artifact_path=file, dst_path=target)
"""


class MLflow:
    """mlflow-skinny with what its database needs. The database is MLflow's default; the folder is faster, but MLflow
    wants to be asked for it (MLFLOW_ALLOW_FILE_STORE)."""

    variables: ClassVar = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "MLFLOW_ALLOW_FILE_STORE": "true",
    }

    def __init__(self, name: str, tools: Path, *, database: bool = True) -> None:
        self.name = name
        self.note = f"mlflow-skinny, log_artifact; runs in {'SQLite (its default)' if database else 'files'}"
        self.database = database
        self.python = program(tools / "mlflow/bin/python")

    def missing(self) -> str | None:
        return None if self.python else "not installed (PyPI: mlflow-skinny; install-peers.sh failed?)"

    def version(self) -> Step:
        code = "import importlib.metadata as m; print('mlflow-skinny', m.version('mlflow-skinny'))"
        return Step(((self.python or "python3", "-c", code),), Path())

    def setup(self, folder: Path) -> Step:
        (folder / "notes").mkdir()
        (folder / "store").mkdir()
        self.folder = folder
        self.uri = (
            f"sqlite:///{folder / 'store' / 'mlflow.db'}"
            if self.database
            else (folder / "store/runs").as_uri()
        )
        return self._step(SETUP, self.uri)

    def save(self, file: Path, number: int, parent: int) -> Step:  # noqa: ARG002 (it knows no lineage)
        self.file = file.name
        return self._step(SAVE, self.uri, str(file), self._note(number))

    def restore(self, number: int, target: Path) -> Step:
        return self._step(RESTORE, self.uri, self._note(number), self.file, str(target))

    def stored(self) -> int:
        return size([self.folder / "store", self.folder / "notes"])

    def _note(self, number: int) -> str:
        return str(self.folder / f"notes/{number}")

    def _step(self, code: str, *arguments: str) -> Step:
        # With a database the artifacts go to ./mlruns.
        command = (self.python or "python3", "-c", code, *arguments)
        return Step((command,), self.folder / "store", self.variables)
