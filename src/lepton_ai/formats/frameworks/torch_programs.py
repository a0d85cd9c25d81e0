"""A PyTorch module → a program that runs without its source: torch.export, TorchScript, ONNX."""

from __future__ import annotations

import importlib.util
import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lepton_ai.errors import LeptonError, Unsupported
from lepton_ai.formats.frameworks.contract import first_line

if TYPE_CHECKING:
    from pathlib import Path

Inputs = tuple[tuple[Any, ...], dict[str, Any]]

ONE_FILE = 1_900_000_000
"""Bytes of weights up to which an ONNX model is one file: protobuf holds 2 GB, the graph needs some of it."""

GIVE = "give example_inputs=… (what one call of the model takes), or set model.example_input_array"


def example_of(model: Any, given: object) -> Inputs | None:
    """Positional and named inputs of one call, or None when nobody gave any.

    From the caller, else from the model's ``example_input_array`` (as Lightning has it). One array, a tuple
    or list of positional ones, or a dict of named ones; numpy arrays become tensors.
    """
    inputs = getattr(model, "example_input_array", None) if given is None else given
    if inputs is None:
        return None
    if isinstance(inputs, Mapping):
        return (), {name: _tensors(value) for name, value in inputs.items()}
    args = inputs if isinstance(inputs, tuple | list) else (inputs,)
    return tuple(_tensors(value) for value in args), {}


def export(model: Any, inputs: Inputs, path: Path) -> str:
    """Write a torch.export program (.pt2) of the model in evaluation mode; return a note, "" if none.

    The first dimension of every input is taken for the batch: it may differ in size later where the model
    allows that. An example of one row is doubled for the export, because torch.export takes a dimension of 1
    for fixed. The example itself and the source lines of the author's machine are left out of the file.
    """
    import torch

    note = ""
    with _evaluating(model):
        try:
            program = _exported(model, _map(_doubled, inputs))
        except Exception:  # noqa: BLE001  (torch.export raises anything; the plain export below tells what is wrong)
            program = torch.export.export(model, *inputs, strict=False)
            note = "the program takes inputs of exactly the example's shapes"
    program.example_inputs = None
    for module in program.graph_module.modules():
        for node in module.graph.nodes if hasattr(module, "graph") else ():
            node.meta.pop("stack_trace", None)
    torch.export.save(program, path)
    return note


def script(model: Any, inputs: Inputs | None, path: Path) -> None:
    """Write TorchScript: compiled from the source, or traced with the example when that cannot be.

    A ``ScriptModule`` is written as it is.
    """
    import torch

    with _deprecated():
        if isinstance(model, torch.jit.ScriptModule):
            model.save(str(path))
            return
        with _evaluating(model):
            _scripted(model, inputs).save(str(path))


def to_onnx(model: Any, inputs: Inputs, path: Path) -> None:
    """Write ONNX: by torch's new exporter where ``onnxscript`` is installed, else by the old one."""
    import torch

    with _evaluating(model), _deprecated():
        if importlib.util.find_spec("onnxscript"):
            args, kwargs = _map(_doubled, inputs)
            size = sum(
                tensor.nbytes for tensor in model.state_dict().values() if isinstance(tensor, torch.Tensor)
            )
            options: dict[str, Any] = {"dynamic_shapes": _batch(inputs), "external_data": size > ONE_FILE}
            torch.onnx.export(model, args, path, kwargs=kwargs, dynamo=True, verbose=False, **options)
            return
        args, kwargs = inputs
        names = [*list(inspect.signature(model.forward).parameters)[: len(args)], *kwargs]
        plain = [isinstance(value, torch.Tensor) for value in (*args, *kwargs.values())]
        options = {}
        if all(plain) and len(names) == len(plain):
            options = {"input_names": names, "dynamic_axes": {name: {0: "batch"} for name in names}}
        torch.onnx.export(model, args, path, kwargs=kwargs, dynamo=False, **options)


def program(model: Any, inputs: Inputs | None, folder: Path, stem: str) -> tuple[list[Path], str]:
    """Write the best program that can be made, or none, and say in a note what was not possible and why.

    With an example a .pt2; without one, or when that fails, TorchScript compiled from the source. Tracing is left
    to who asks for it: a trace is wrong for other inputs when the model branches on them.
    """
    reasons = []
    if inputs is None:
        reasons.append(f"no .pt2 program, for want of an example: {GIVE}")
    else:
        made, note = _attempt(lambda: export(model, inputs, folder / f"{stem}.pt2"))
        if made:
            return [folder / f"{stem}.pt2"], note
        reasons.append(f"no .pt2 program: {note}")
    made, note = _attempt(lambda: script(model, None, folder / f"{stem}.pt"))
    if made:
        return [folder / f"{stem}.pt"], f"{reasons[0]}; saved as TorchScript"
    return [], "; ".join([*reasons, note, "only the tensors are saved"])


def _attempt(write: Callable[[], str | None]) -> tuple[bool, str]:
    try:
        return True, write() or ""
    except Unsupported as refused:
        return False, refused.message
    except (OSError, MemoryError, LeptonError):
        raise
    except Exception as error:  # noqa: BLE001  (exporters raise anything; the tensors are saved, the note tells why)
        return False, first_line(error)


def _exported(model: Any, inputs: Inputs) -> Any:
    import torch

    return torch.export.export(model, *inputs, dynamic_shapes=_batch(inputs), strict=False)


def _batch(inputs: Inputs) -> Any:
    """What tells torch.export that every tensor's first dimension may differ, shaped like the inputs."""
    import torch

    def first(value: Any) -> Any:
        return {0: torch.export.Dim.AUTO} if isinstance(value, torch.Tensor) and value.ndim else None

    args, kwargs = _map(first, inputs)
    return kwargs or args


def _doubled(value: Any) -> Any:
    import torch

    one = isinstance(value, torch.Tensor) and value.ndim and value.shape[0] == 1
    return torch.cat([value, value]) if one else value


def _map(change: Callable[[Any], Any], value: Any) -> Any:
    """Change every leaf of nested tuples, lists and dicts."""
    if isinstance(value, dict):
        return {key: _map(change, each) for key, each in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(_map(change, each) for each in value)
    return change(value)


def _tensors(value: Any) -> Any:
    import torch

    def tensor(leaf: Any) -> Any:
        return torch.as_tensor(leaf) if type(leaf).__module__ == "numpy" else leaf

    return _map(tensor, value)


def _scripted(model: Any, inputs: Inputs | None) -> Any:
    import torch

    try:
        return torch.jit.script(model)
    except Exception as failed:
        if inputs is None:
            raise Unsupported(
                f"it cannot be compiled to TorchScript: {first_line(failed)}", hint=GIVE
            ) from failed
    args, kwargs = inputs
    if kwargs:
        return torch.jit.trace(model, example_kwarg_inputs=kwargs)
    return torch.jit.trace(model, args)


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """In evaluation mode: a program for use must not drop units out. Every module's own mode comes back."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def _deprecated() -> Iterator[None]:
    """Without the warning that TorchScript is deprecated: whoever reads it did not choose it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)  # of models whose every attribute TorchScript looks at
        yield
