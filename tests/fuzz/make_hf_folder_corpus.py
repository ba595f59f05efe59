#!/usr/bin/env python3
"""Makes tests/fuzz/hf_folder/: the JSON files of the golden folders, with a line "%%" between them
as src/models/hf_folder_fuzz.cpp reads them, and with a vocabulary cut short."""

import json
import pathlib

HERE = pathlib.Path(__file__).resolve().parent
OUT = HERE / "hf_folder"


def main():
    OUT.mkdir(exist_ok=True)
    for folder in sorted((HERE.parent / "golden" / "hf").iterdir()):
        config = json.loads((folder / "config.json").read_text())
        tokenizer = json.loads((folder / "tokenizer.json").read_text())
        # The first few tokens do; the model's size follows.
        vocabulary = tokenizer["model"]["vocab"]
        kept = dict(sorted(vocabulary.items(), key=lambda item: item[1])[:24])
        tokenizer["model"]["vocab"] = kept
        tokenizer["model"]["merges"] = tokenizer["model"]["merges"][:1]
        for token in tokenizer["added_tokens"]:
            token["id"] = len(kept) + tokenizer["added_tokens"].index(token)
        config["vocab_size"] = len(kept) + len(tokenizer["added_tokens"])
        files = [config, tokenizer]
        for name in ("tokenizer_config.json", "generation_config.json"):
            files.append(json.loads((folder / name).read_text()))
        text = "\n%%\n".join(json.dumps(file, separators=(",", ":")) for file in files)
        (OUT / folder.name).write_text(text)


main()
