"""Give the compiled kernel payloads that nobody wrote: `python tools/fuzz_kernel.py --mutations 10000 [--seed N]`.

Where gcc has its sanitizers at hand, the kernel is compiled with them for this: then any read or write beside its room
ends the process, and so does arithmetic that C does not define. Every case is read with its wide and its narrow
loops, every tenth by tiles_slowly too, and all must say the same. `--only N` runs one case again.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import subprocess
import sys
from pathlib import Path

from lepton_ai.store.codecs import native
from lepton_ai.testing.payloads import examine, lie, samples

ROOT = Path(__file__).parent.parent
SOURCE = Path(native.__file__).with_name("tiles.c")
SANITIZERS = (
    "-O1",
    "-g",
    "-fwrapv",
    "-ffp-contract=off",
    "-fPIC",
    "-shared",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
)
COMPARED = 10


def main() -> int:
    """Fuzz; 1 when a promise was broken."""
    options = arguments()
    if options.library:
        return work(options)
    options.out.mkdir(parents=True, exist_ok=True)
    library, environment = sanitized(options.out)
    say(f"The kernel's decoder, {'with' if environment else 'without'} sanitizers:")
    command = [sys.executable, __file__, *sys.argv[1:], "--library", str(library)]
    done = subprocess.run(command, env=os.environ | environment, check=False)
    if done.returncode not in (0, 1):
        say(f"ended with {done.returncode} in case {(options.out / 'kernel-case').read_text()}")
    return int(done.returncode != 0)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mutations", type=int, default=10_000, help="cases (10000)")
    parser.add_argument("--seed", type=int, default=1, help="other seeds give other cases (1)")
    parser.add_argument("--only", type=int, help="this case alone")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "fuzz", help="(build/fuzz)")
    parser.add_argument("--library", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def sanitized(out: Path) -> tuple[Path, dict[str, str]]:
    """A kernel with sanitizers and the environment that it needs; the usual one where there is none."""
    target = out / "tiles-sanitized.so"
    try:
        compiled = (
            subprocess.run(["gcc", *SANITIZERS, str(SOURCE), "-o", str(target)], check=False).returncode == 0
        )
        runtime = subprocess.check_output(["gcc", "-print-file-name=libasan.so"], text=True).strip()
    except FileNotFoundError:
        compiled, runtime = False, ""
    if not compiled or not Path(runtime).is_absolute():
        return native.LIBRARY, {}
    # Python's own allocator hides the ends of small objects, and its leaks at exit are not ours.
    return target, {"LD_PRELOAD": runtime, "ASAN_OPTIONS": "detect_leaks=0", "PYTHONMALLOC": "malloc"}


def work(options: argparse.Namespace) -> int:
    """Run the cases in this process."""
    library = ctypes.CDLL(str(options.library))
    kernels = [native.Kernel(library), native.Kernel(library, narrow=True)]
    if not kernels[0].wide:
        say("    (this processor has no AVX-512: the wide loops are not tried)")
    payloads = samples(kernels)
    for payload in payloads:
        if not examine(kernels, payload, slowly=True):
            raise AssertionError("the kernel does not read what it wrote")
    cases = range(options.mutations) if options.only is None else [options.only]
    taken = broken = 0
    note = os.open(options.out / "kernel-case", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    for number in cases:
        os.pwrite(note, f"{number:<12}".encode(), 0)
        try:
            slowly = number % COMPARED == 0 or options.only is not None
            taken += examine(kernels, lie(payloads, options.seed, number), slowly=slowly)
        except AssertionError as error:
            broken += 1
            say(f"    {number}: {error}")
    say(f"{len(payloads)} payloads, {len(cases)} cases: {taken} understood, {broken} problems")
    return int(broken > 0)


def say(text: str) -> None:
    """A line for people, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
