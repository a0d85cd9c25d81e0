"""How many bytes the new elements of a tensor take."""

from __future__ import annotations

from collections.abc import Mapping

from lepton_ai.formats.contract import Source, Tensor
from lepton_ai.formats.encodings.shapes import count_of, nbytes_of
from lepton_ai.formats.splice.contract import Refused


def elements_size(tensor: Tensor) -> int:
    """Bytes of the elements of ``tensor``, each as numpy holds it; of a format's own types, as they are read."""
    if "." not in tensor.dtype:
        return nbytes_of(tensor.dtype, tensor.shape)
    args, encoding, stored = tensor.args, tensor.encoding, tensor.nbytes
    if encoding == "deflated":
        args, encoding, stored = args.get("args", {}), str(args["encoding"]), int(args["length"])
    return count_of(tensor.shape) * int(args["itemsize"]) if encoding == "strided" else stored


def check_sizes(tensors: Mapping[str, Tensor], news: Mapping[str, Source]) -> None:
    """Raise Refused when new elements are more or fewer than their tensor has."""
    reasons = {}
    for name, new in news.items():
        wanted = elements_size(tensors[name])
        if new.size != wanted:
            reasons[name] = f"takes {wanted} bytes of elements, and was given {new.size}"
    if reasons:
        raise Refused(reasons)
