#!/usr/bin/env python3
"""Puts a folder of files into the program: writes one C++ file with a table of them and one assembler
file that takes their bytes in (.incbin), which no compiler has to read.

    tools/embed_files.py FOLDER OUT_FOLDER

OUT_FOLDER gets embedded.cpp, embedded.S and the compressed files. Same input, same output.
"""

import gzip
import hashlib
import pathlib
import sys

MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
}


def main():
    folder, out = map(pathlib.Path, sys.argv[1:])
    out.mkdir(parents=True, exist_ok=True)
    table, assembler = [], ['.section .note.GNU-stack,"",%progbits\n.section .rodata\n']
    declarations = []

    def take_in(name, path):
        assembler.append(f'.global {name}_begin\n.global {name}_end\n{name}_begin:\n'
                         f'.incbin "{path.resolve()}"\n{name}_end:\n')
        declarations.append(f"extern const char {name}_begin[], {name}_end[];")
        return f"view({name}_begin, {name}_end)"

    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for number, path in enumerate(files):
        media_type = MEDIA_TYPES.get(path.suffix)
        if media_type is None:
            sys.exit(f"{path}: embed_files.py knows no media type of '{path.suffix}' files")
        data = path.read_bytes()
        relative = path.relative_to(folder).as_posix()
        packed = gzip.compress(data, 9, mtime=0)
        view = take_in(f"minke_app_file_{number}", path)
        packed_view = "std::string_view()"
        if len(packed) < len(data) * 0.9:
            packed_path = out / f"{number}.gz"
            packed_path.write_bytes(packed)
            packed_view = take_in(f"minke_app_gzip_{number}", packed_path)
        digest = hashlib.sha256(data).hexdigest()[:24]
        immutable = "true" if relative.startswith("assets/") else "false"
        table.append(f'      {{"/{relative}", "{media_type}",\n       {view},\n       {packed_view},\n'
                     f'       "{digest}", {immutable}}},')
    (out / "embedded.S").write_text("".join(assembler))
    (out / "embedded.cpp").write_text("\n".join([
        "// Made by tools/embed_files.py.",
        '#include "server/app_files/app_files.h"',
        "",
        'extern "C" {',
        *declarations,
        "}",
        "",
        "namespace minke::server {",
        "namespace {",
        "",
        "std::string_view view(const char* begin, const char* end) {",
        "  return {begin, static_cast<size_t>(end - begin)};",
        "}",
        "",
        "}  // namespace",
        "",
        "std::span<const AppFile> app_files() {",
        "  static const AppFile kFiles[] = {",
        *table,
        "  };",
        "  return kFiles;",
        "}",
        "",
        "}  // namespace minke::server",
        "",
    ]))


if __name__ == "__main__":
    main()
