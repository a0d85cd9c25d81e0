"""PyTorch modules, exported programs and dicts of tensors.

Saving a module writes ``<stem>.safetensors`` (its state) and beside it a program: ``<stem>.pt2`` when there
are example inputs to export it with, else TorchScript (``<stem>.pt``), else none, and the note says why. A
program is made in evaluation mode. An ``ExportedProgram`` is saved as ``.pt2`` and a ``ScriptModule`` as
TorchScript, as they are; a dict of tensors as safetensors. ``format=`` asks for one file: "safetensors",
"pt2", "torchscript", "state_dict" (``torch.save``) or "onnx".

Loading prefers what gives back most: .pt2 (a ``GraphModule``), TorchScript, safetensors (a dict of tensors),
then .pt/.pth/.bin. The first two ask for trust:

* .pt2: its symbolic expressions are evaluated as Python, and its members may be pickles.
* TorchScript: a class's ``__setstate__`` runs while it is read, and its operations can read and write files.
* .pt: read with ``weights_only=True``; only with trust as a full pickle.

Source: https://docs.pytorch.org/docs/stable/export/pt2_archive.html,
https://github.com/huggingface/safetensors, https://docs.pytorch.org/docs/stable/notes/serialization.html
"""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from lepton_ai.errors import Unsupported
from lepton_ai.formats.frameworks import safetensors_files, torch_programs
from lepton_ai.formats.frameworks.contract import (
    TENSORS,
    WHOLE,
    Found,
    Saved,
    check_safe,
    chosen,
    is_a,
    need,
    untrusted,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

INSTALL = "lepton-ai[torch]"
ZIPPED = (".pt", ".pth", ".bin", ".ckpt")

PT2_RISK = "reading a .pt2 program evaluates its expressions as Python, and it may hold pickles"
SCRIPT_RISK = "a TorchScript program can run its own code while it is read, and can read and write files"


class Torch:
    """PyTorch ⇄ files."""

    name = "torch"

    def owns(self, model: object) -> bool:
        """Whether it is a module (not one of Keras), an exported program, or a dict with tensors in it."""
        if is_a(model, "torch.nn", "Module") or is_a(model, "torch.jit", "ScriptModule"):
            return not is_a(model, "keras", "Layer")
        return is_a(model, "torch.export", "ExportedProgram") or _holds_tensors(model)

    def formats(self) -> tuple[str, ...]:
        """The default is "safetensors", with a program beside it for a module."""
        return "safetensors", "pt2", "torchscript", "state_dict", "onnx"

    def save(
        self,
        model: object,
        folder: Path,
        stem: str,
        format: str | None = None,  # noqa: A002  (the public keyword)
        *,
        example_inputs: object = None,
    ) -> Saved:
        """Write the model; see the module's text for what None and each format mean."""
        torch = need("torch", INSTALL)
        kind = chosen(self, format, _allowed(model, self.formats()))
        live: Any = _unwrapped(model)
        if isinstance(live, torch.nn.Module):
            return _save_module(live, folder, stem, kind, format is None, example_inputs)
        if kind == "pt2":
            torch.export.save(live, folder / f"{stem}.pt2")
            return Saved((folder / f"{stem}.pt2",), kind)
        return _save_state(live if isinstance(live, dict) else live.state_dict, folder, stem, kind)

    def finds(self, folder: Path, files: Sequence[str]) -> list[Found]:
        """Programs and files of tensors; the shards of an index count as the index."""
        found = {path: Found(path, rank) for path in files if (rank := _richness(folder, path))}
        for path in files:
            if path.endswith(safetensors_files.INDEX):
                with suppress(Unsupported):  # a broken index is told when it is loaded
                    for shard in safetensors_files.shards(folder / path):
                        found.pop(shard.relative_to(folder).as_posix(), None)
        return list(found.values())

    def load(self, folder: Path, path: str, *, trust: bool) -> object:
        """A ``GraphModule``, a ``ScriptModule``, a dict of tensors, or what a .pt file holds, on the CPU."""
        if path.endswith((".safetensors", safetensors_files.INDEX)):
            return safetensors_files.read(folder / path)
        script = _is_script(folder / path)
        if not trust and (script or path.endswith(".pt2")):
            raise untrusted(path, SCRIPT_RISK if script else PT2_RISK)
        torch = need("torch", INSTALL)
        if path.endswith(".pt2"):
            return torch.export.load(folder / path).module()
        if not script:
            return _load_state(torch, folder, path, trust)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return torch.jit.load(str(folder / path), map_location="cpu")


def _allowed(model: object, every: tuple[str, ...]) -> tuple[str, ...]:
    """The formats that fit this kind of object, its default first."""
    if isinstance(model, dict):
        return "safetensors", "state_dict"
    if is_a(model, "torch.export", "ExportedProgram"):
        return "pt2", "safetensors", "state_dict"
    if is_a(model, "torch.jit", "ScriptModule"):
        return "torchscript", "safetensors", "state_dict"
    return every


def _unwrapped(model: Any) -> Any:
    """The module inside torch.compile's and the data-parallel wrappers: their names are not the model's."""
    while True:
        if is_a(model, "torch._dynamo", "OptimizedModule"):
            model = model._orig_mod  # noqa: SLF001  (torch has no public name for it)
        elif is_a(model, "torch.nn.parallel", type(model).__name__) and hasattr(model, "module"):
            model = model.module
        else:
            return model


def _save_module(model: Any, folder: Path, stem: str, kind: str, default: bool, example: object) -> Saved:
    if kind in {"safetensors", "state_dict"}:
        saved = _save_state(model.state_dict(), folder, stem, kind)
        if not default:
            return saved
        programs, note = torch_programs.program(
            model, torch_programs.example_of(model, example), folder, stem
        )
        return Saved((*saved.paths, *programs), kind, note)
    inputs = torch_programs.example_of(model, example)
    if kind == "torchscript":
        torch_programs.script(model, inputs, folder / f"{stem}.pt")
        return Saved((folder / f"{stem}.pt",), kind)
    if inputs is None:
        raise Unsupported(f"a module is exported as {kind} with an example", hint=torch_programs.GIVE)
    path = folder / f"{stem}.{kind}"
    if kind == "pt2":
        return Saved((path,), kind, torch_programs.export(model, inputs, path))
    torch_programs.to_onnx(model, inputs, path)
    return Saved(tuple(sorted({path, *folder.glob(f"{stem}.onnx.data")})), kind)


def _save_state(state: Any, folder: Path, stem: str, kind: str) -> Saved:
    if kind == "safetensors":
        path = folder / f"{stem}.safetensors"
        safetensors_files.write(state, path)
        return Saved((path,), kind)
    path = folder / f"{stem}.pt"
    need("torch", INSTALL).save(state, path)
    return Saved((path,), kind)


def _load_state(torch: Any, folder: Path, path: str, trust: bool) -> object:
    if not trust:
        check_safe(torch, (2, 6), "CVE-2025-32434", INSTALL)
    try:
        return torch.load(folder / path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as refused:
        if not trust:
            named = re.search(r"GLOBAL (\S+)", str(refused))
            what = f" ({named[1]})" if named else ""
            raise untrusted(
                path, f"it is a pickle of more than tensors{what}: reading it can run code"
            ) from refused
    return torch.load(folder / path, map_location="cpu", weights_only=False)


def _holds_tensors(value: object) -> bool:
    return isinstance(value, dict) and any(
        is_a(v, "torch", "Tensor") or _holds_tensors(v) for v in value.values()
    )


def _richness(folder: Path, path: str) -> int:
    """How much ``path`` gives back; 0 when it is not PyTorch's."""
    if path.endswith(".pt2"):
        return WHOLE
    if path.endswith((".safetensors", safetensors_files.INDEX)):
        return TENSORS + 1
    if not path.endswith(ZIPPED):
        return 0
    if _is_script(folder / path):
        return WHOLE - 1
    return TENSORS if path.endswith((".pt", ".pth")) or _members(folder / path, "/data.pkl") else 0


def _is_script(path: Path) -> bool:
    return _members(path, "/constants.pkl")


def _members(path: Path, ending: str) -> bool:
    """Whether it is a zip with such a member."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(ending) for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False


FRAMEWORK = Torch()
