#!/usr/bin/env python3
"""Makes tests/golden/bpe_merges.txt: the merges that Hugging Face's `tokenizers` learns.

The corpus is two committed files, each line of them a text: tokenizer/corpus.txt as it stands there
(the escapes too), and perplexity/text.txt. A section for each pre-tokenizer: a line "# PRE SIZE",
and then the merges, best first, in GPT-2's writing.

  pip install tokenizers==0.23.3
  tests/golden/make_bpe_golden.py
"""

import json
import pathlib

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from make_tokenizer_golden import STAGES

GOLDEN = pathlib.Path(__file__).resolve().parent
SIZES = {"deepseek-v3": 700, "qwen2": 500, "gpt-2": 1500}
CORPUS = ["tokenizer/corpus.txt", "perplexity/text.txt"]


def texts():
    for name in CORPUS:
        yield from (GOLDEN / name).read_text().split("\n")


def merges(pre, size):
    tokenizer = Tokenizer(models.BPE())
    if pre == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [*STAGES[pre], pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    trainer = trainers.BpeTrainer(vocab_size=size, min_frequency=2, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(texts(), trainer)
    return [pair if isinstance(pair, str) else " ".join(pair)
            for pair in json.loads(tokenizer.to_str())["model"]["merges"]]


def main():
    with open(GOLDEN / "bpe_merges.txt", "w") as out:
        for pre, size in SIZES.items():
            learnt = merges(pre, size)
            print(f"# {pre} {size}", *learnt, sep="\n", file=out)
            print(pre, size, len(learnt), len(set(learnt)))


if __name__ == "__main__":
    main()
