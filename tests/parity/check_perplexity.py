"""Compares the perplexity that minke measures with the one llama.cpp measured on the same file.

    check_perplexity.py MINKE MODEL.gguf

MODEL's name is a key of tests/golden/perplexity/expected.json. Prints one line, and fails when the
two differ by more than LIMIT or did not score as many tokens.
"""

import json
import pathlib
import subprocess
import sys

LIMIT = 0.005
GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "golden/perplexity"


def main():
    minke, model = sys.argv[1:]
    expected = json.loads((GOLDEN / "expected.json").read_text())
    golden = expected["models"][pathlib.Path(model).name]
    command = [minke, "perplexity", model, "--file", str(GOLDEN / "text.txt"), "--json"]
    command += ["--ctx", str(expected["ctx"])]
    got = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    ratios = {name: got["perplexity"] / golden[name]["perplexity"] - 1
              for name in ("llama_cpp", "transformers_fp32")}
    line = f"{got['perplexity']:.4f}: llama.cpp {ratios['llama_cpp']:+.2%}, "
    line += f"fp32 {ratios['transformers_fp32']:+.2%}"
    if got["tokens"] != golden["tokens_scored"]:
        sys.exit(f"{line}; {got['tokens']} tokens scored, expected {golden['tokens_scored']}")
    if abs(ratios["llama_cpp"]) > LIMIT:
        sys.exit(f"{line}; at most {LIMIT:.1%} from llama.cpp expected")
    print(line, file=sys.stderr)
    print(f"within {LIMIT:.1%} of llama.cpp")


if __name__ == "__main__":
    main()
