"""Train the byte-level BPE of the built-in model on its own texts and write the tokenizer files.

Usage: make_tokenizer.py FOLDER
"""

import json
import os
import shutil
import sys

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

import corpus

GLM_REGEX = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPECIALS = (
    "<|endoftext|> [MASK] [gMASK] [sMASK] <sop> <eop> <|system|> <|user|> <|assistant|> <|observation|>"
    " <|begin_of_image|> <|end_of_image|> <|begin_of_video|> <|end_of_video|> <|begin_of_audio|> <|end_of_audio|>"
    " <|begin_of_transcription|> <|end_of_transcription|> <|code_prefix|> <|code_middle|> <|code_suffix|>"
    " <think> </think> <tool_call> </tool_call> <tool_response> </tool_response> <arg_key> </arg_key>"
    " <arg_value> </arg_value> /nothink <|begin_of_box|> <|end_of_box|> <|image|> <|video|>"
).split()
NOT_SPECIAL = set(SPECIALS[SPECIALS.index("<think>") :]) - {"/nothink"}
BASE_VOCAB = 4660
HERE = os.path.dirname(os.path.abspath(__file__))


def added_tokens(first):
    """Return GLM's added tokens with ids from first on, as tokenizer.json lists them."""
    rows = []
    for i, text in enumerate(SPECIALS):
        row = {"id": first + i, "content": text, "single_word": False, "lstrip": False, "rstrip": False}
        row.update(normalized=False, special=text not in NOT_SPECIAL)
        rows.append(row)
    return rows


def train_bpe(texts, size):
    """Train the base vocabulary; every byte is in it, so any text can be encoded."""
    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(GLM_REGEX), behavior="isolated")
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, bytes_])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, min_frequency=2, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return json.loads(tokenizer.to_str())


def tokenizer_config(tokens):
    """Return the contents of tokenizer_config.json."""
    decoder = {str(row["id"]): {k: v for k, v in row.items() if k != "id"} for row in tokens}
    return {
        "added_tokens_decoder": decoder,
        "additional_special_tokens": [row["content"] for row in tokens if row["special"]],
        "clean_up_tokenization_spaces": False,
        "do_lower_case": False,
        "eos_token": "<|endoftext|>",
        "extra_special_tokens": {},
        "model_max_length": 2048,
        "pad_token": "<|endoftext|>",
        "padding_side": "left",
        "remove_space": False,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }


def main():
    """Write tokenizer.json, tokenizer_config.json and chat_template.jinja into the folder."""
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    data = train_bpe(corpus.texts(), BASE_VOCAB)
    tokens = added_tokens(len(data["model"]["vocab"]))
    data["added_tokens"] = tokens
    with open(os.path.join(folder, "tokenizer.json"), "w", encoding="utf-8") as file:
        json.dump(data, file, ensure_ascii=False, indent=None, separators=(",", ":"))
        file.write("\n")
    with open(os.path.join(folder, "tokenizer_config.json"), "w", encoding="utf-8") as file:
        file.write(json.dumps(tokenizer_config(tokens), indent=2) + "\n")
    shutil.copy(os.path.join(HERE, "chat_template.jinja"), folder)
    print(f"{len(data['model']['vocab'])} base tokens, {len(tokens)} added")


if __name__ == "__main__":
    main()
