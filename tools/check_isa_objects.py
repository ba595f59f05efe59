#!/usr/bin/env python3
"""No file for one instruction set may define what the whole program shares.

    tools/check_isa_objects.py [BUILD_DIRECTORY]

An inline function or a template of the standard library that a file under src/kernels/cpu/<isa>/
instantiates is compiled with that set's instructions, and the linker keeps one copy for everybody:
perhaps that one, which a lesser processor cannot run. So the objects there may define weak symbols
only inside namespace minke::<isa>; and the reference, which is compiled for AVX2 where that is to be
had, may define none. Reads the objects of an optimised build (build/release); prints
each fault.
"""

import pathlib
import platform
import subprocess
import sys

SOURCE = pathlib.Path(__file__).resolve().parent.parent
OBJECTS = "src/kernels/CMakeFiles/minke_kernels.dir/cpu"
REFERENCE = "../reference"  # from there
# AMX processors run AVX-512, and both sets are compiled with the same options.
NAMESPACES = {"avx2": ("minke::avx2::",), "avx512": ("minke::avx512::",),
              "amx": ("minke::amx::", "minke::avx512::"), REFERENCE: ()}


def shared_symbols(path, namespaces):
    """Weak and unique definitions outside the namespaces."""
    lines = subprocess.run(["nm", "--demangle", "--defined-only", path], capture_output=True,
                           text=True, check=True).stdout.splitlines()
    for line in lines:
        _, kind, name = line.split(" ", 2)
        # DW.ref.* is a pointer to the unwinder, the same bytes everywhere.
        if kind in "WVu" and not name.startswith("DW.ref."):
            # A template's instance begins with what it returns.
            if not any(namespace in name.split("(")[0] for namespace in namespaces):
                yield name


def main():
    build = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else SOURCE / "build/release"
    faults = 0
    objects = 0
    for isa, namespaces in NAMESPACES.items():
        for path in sorted((build / OBJECTS / isa).resolve().glob("*.o")):
            objects += 1
            for name in shared_symbols(path, namespaces):
                print(f"{isa}/{path.name} defines {name} for the whole program: keep it out of "
                      f"src/kernels/cpu/{isa} (kernels/cpu/scratch.h has memory)")
                faults += 1
    if objects == 0 and platform.machine() in ("x86_64", "AMD64"):
        print(f"{build / OBJECTS}: no objects; build the release preset first")
        faults += 1
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
