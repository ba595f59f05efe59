#!/usr/bin/env python3
"""What quantising costs beside llama.cpp: for each type the size of the file, and the mean KL
divergence from the original, of minke's file and of llama.cpp's, without and with the same importance
matrix. All files are judged by `minke compare`.

    compare_quantize.py MINKE MODEL.gguf TEXT [--calibrate TEXT] [--types Q4_0,Q4_K_M] [--folder DIR]
                        [--windows N]

MODEL is made F16 first and then counts as the truth. TEXT should not be one that was calibrated on. An
importance.gguf that is in --folder is used as it is. Needs llama-cpp-python, gguf and numpy, and half a
gigabyte of disk a file. Prints a table in Markdown.
"""

import argparse
import ctypes
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

import gguf
import llama_cpp
import numpy

TYPES = {"Q8_0": 7, "Q6_K": 18, "Q5_K_M": 17, "Q5_K_S": 16, "Q5_1": 9, "Q5_0": 8, "Q4_K_M": 15,
         "Q4_K_S": 14, "Q4_1": 3, "Q4_0": 2, "IQ4_NL": 25, "IQ4_XS": 30, "MXFP4": None, "Q3_K_L": 13,
         "Q3_K_M": 12, "Q3_K_S": 11, "Q2_K": 10}


def quiet():
    """llama.cpp's log, which says a line a tensor, goes nowhere."""
    @llama_cpp.llama_log_callback
    def nothing(_level, _text, _data):
        pass
    llama_cpp.llama_log_set(nothing, ctypes.c_void_p(0))
    return nothing


class Importance:
    """An importance matrix as llama.cpp's quantiser takes it: means, by the names of tensors."""

    def __init__(self, path):
        tensors = {tensor.name: tensor.data for tensor in gguf.GGUFReader(path).tensors}
        self.kept = []
        for name, sums in tensors.items():
            if not name.endswith(".in_sum2"):
                continue
            name = name.removesuffix(".in_sum2")
            counts = numpy.asarray(tensors[name + ".counts"]).reshape(-1, 1)
            means = numpy.asarray(sums).reshape(counts.shape[0], -1) / numpy.maximum(counts, 1)
            means[counts[:, 0] == 0] = 1
            self.kept.append((name.encode(), numpy.ascontiguousarray(means, numpy.float32)))
        entry = llama_cpp.llama_model_imatrix_data
        self.entries = (entry * (len(self.kept) + 1))()
        for at, (name, means) in enumerate(self.kept):
            self.entries[at] = entry(name, means.ctypes.data_as(ctypes.POINTER(ctypes.c_float)),
                                     means.size)
        self.entries[len(self.kept)] = entry(None, None, 0)


    def of(self, name):
        """The means for a tensor's columns, or null."""
        for known, means in self.kept:
            if known == name.encode():
                return means.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        return None


def llama_encode(truth, like, target, importance):
    """A copy of minke's file `like` whose blocks are written by llama.cpp's encoders: for types that
    llama.cpp has, but gives to no model of this kind as a whole."""
    library = next((pathlib.Path(llama_cpp.__file__).parent / "lib").glob("libggml-base.so"))
    encode = ctypes.CDLL(str(library)).ggml_quantize_chunk
    encode.restype = ctypes.c_size_t
    encode.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64,
                       ctypes.c_int64, ctypes.c_void_p]
    shutil.copyfile(like, target)
    originals = {tensor.name: tensor for tensor in gguf.GGUFReader(truth).tensors}
    written = numpy.memmap(target, numpy.uint8, "r+")
    for tensor in gguf.GGUFReader(like).tensors:
        if tensor.tensor_type in (gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.F16):
            continue
        values = numpy.ascontiguousarray(originals[tensor.name].data, numpy.float32)
        rows = values.reshape(-1, values.shape[-1])
        blocks = numpy.empty(tensor.n_bytes, numpy.uint8)
        encode(int(tensor.tensor_type), rows.ctypes.data, blocks.ctypes.data, 0, *rows.shape,
               importance.of(tensor.name) if importance else None)
        written[tensor.data_offset:tensor.data_offset + tensor.n_bytes] = blocks
    written.flush()


def check_same_types(ours, theirs):
    """Only files with the same format for each tensor say something about encoders."""
    kinds = [{tensor.name: tensor.tensor_type for tensor in gguf.GGUFReader(file).tensors}
             for file in (ours, theirs)]
    for name, kind in kinds[0].items():
        if kinds[1].get(name) != kind:
            raise SystemExit(f"{name} is {kind.name} in {ours} and {kinds[1].get(name)} in {theirs}")


def llama_quantize(source, target, kind, importance):
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = TYPES[kind]
    params.nthread = 2
    if importance is not None:
        params.imatrix = ctypes.cast(importance.entries, type(params.imatrix))
    status = llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(),
                                            ctypes.byref(params))
    if status != 0:
        raise SystemExit(f"llama.cpp could not write {target}")


def run(*command):
    return subprocess.run([str(word) for word in command], check=True, capture_output=True,
                          text=True).stdout


def cell(ours, theirs):
    """Both divergences in thousandths of a nat with their standard errors, the better one bold; neither
    where they lie within each other's error."""
    words = [f"{1000 * one['kl_mean']:.2f} ± {1000 * one['kl_stderr']:.2f}" for one in (ours, theirs)]
    apart = abs(ours["kl_mean"] - theirs["kl_mean"])
    if apart > (ours["kl_stderr"] ** 2 + theirs["kl_stderr"] ** 2) ** 0.5:
        best = 0 if ours["kl_mean"] < theirs["kl_mean"] else 1
        words[best] = f"**{words[best]}**"
    return f"{words[0]} | {words[1]}"


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("minke")
    parser.add_argument("model")
    parser.add_argument("text")
    parser.add_argument("--calibrate")
    parser.add_argument("--types", default=",".join(TYPES))
    parser.add_argument("--folder", default="/tmp")
    parser.add_argument("--windows", default="1000")
    options = parser.parse_args()
    folder = pathlib.Path(options.folder)
    log = quiet()
    truth = folder / "truth-f16.gguf"
    run(options.minke, "quantize", options.model, truth, "--type", "F16", "--force")
    matrices = [None]
    if options.calibrate:
        path = folder / "importance.gguf"
        if not path.exists():
            run(options.minke, "calibrate", truth, options.calibrate, "-o", path)
        matrices.append(path)
    files, seconds = [], {}
    for kind in options.types.split(","):
        for at, path in enumerate(matrices):
            for who in ("minke", "llama"):
                file = folder / f"{kind}-{who}-{at}.gguf"
                begin = time.monotonic()
                if who == "llama":
                    importance = Importance(path) if path else None
                    if TYPES[kind] is None:
                        llama_encode(truth, files[-1], file, importance)
                    else:
                        llama_quantize(truth, file, kind, importance)
                    check_same_types(files[-1], file)
                else:
                    extra = ["--imatrix", path] if path else []
                    run(options.minke, "quantize", truth, file, "--type", kind, "--force", *extra)
                seconds[kind, who, at] = time.monotonic() - begin
                files.append(file)
    also = [word for file in files[1:] for word in ("--also", file)]
    result = json.loads(run(options.minke, "compare", truth, files[0], options.text, "--json",
                            "--windows", options.windows, *also))
    print(f"{result['tokens']} tokens scored")
    print("| type | MB | MB there | KL | KL there |" + " KL, measured | KL there |" * bool(matrices[1:])
          + " s | s there |")
    print("|---" * (7 + 2 * bool(matrices[1:])) + "|")
    models, step = result["models"], 2 * len(matrices)
    for at, kind in enumerate(options.types.split(",")):
        mine = slice(at * step, (at + 1) * step)
        sizes = [f"{os.path.getsize(file) / 1e6:.1f}" for file in files[mine][:2]]
        pairs = [cell(*models[mine][one:one + 2]) for one in range(0, step, 2)]
        times = [f"{seconds[kind, who, 0]:.0f}" for who in ("minke", "llama")]
        print("|", " | ".join([kind, *sizes, *pairs, *times]), "|")
    for file in files:
        file.unlink()
    del log


if __name__ == "__main__":
    sys.exit(main())
