#!/usr/bin/env python3
"""Make small random glm4 checkpoints of many shapes with Hugging Face transformers, with what
transformers computes on them, and compare `kontor eval` with that.  Outside the test run: needs
PyTorch.

    python3 -m venv VENV && VENV/bin/pip install torch transformers safetensors numpy
    VENV/bin/python tools/make_checkpoints.py OUT_DIR [--kontor build/kontor] [--only NAME]

Each OUT_DIR/NAME holds config.json, model.safetensors, ids.txt, logits_f32.npy, logits_bf16.npy
(the model loaded in bfloat16) and greedy.txt.  With --kontor every kernel level the machine has is
checked:

    float32   largest logit error <= 1e-4 and greedy ids equal
    bfloat16  largest error <= 1.5 x the error of transformers' own bfloat16 run
    chunks    of 7 tokens give the same bytes

Exit code 1 when a check fails.  Tried with torch 2.13.0, transformers 5.24.0.
"""
import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import AutoConfig, Glm4ForCausalLM

GREEDY_STEPS = 24
MARGIN_MIN = 5e-3  # top-1 minus top-2 on the greedy path: below it a correct engine may differ
LEVELS = ("ref", "avx2", "avx512", "avx512bf16", "neon")


def shape(hidden, layers, heads, kv, dim, ffn, tokens, dtype="bfloat16", vocab=512, **more):
    """A variant: configuration keys and the length of its prompt."""
    config = {
        "architectures": ["Glm4ForCausalLM"], "model_type": "glm4", "hidden_size": hidden,
        "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": kv,
        "head_dim": dim, "intermediate_size": ffn, "vocab_size": vocab, "attention_bias": False,
        "hidden_act": "silu", "max_position_embeddings": 4096, "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0, "partial_rotary_factor": 0.5, "tie_word_embeddings": False,
        "eos_token_id": [1, 2, 3], "pad_token_id": 1, "torch_dtype": dtype}
    config.update(more)
    return config, tokens


VARIANTS = {
    "odd-heads": shape(128, 2, 5, 1, 32, 200, 90, attention_bias=True, rms_norm_eps=1e-6,
                       rope_theta=1e6, partial_rotary_factor=1.0),
    "all-kv": shape(84, 3, 7, 7, 12, 66, 70, "float32", rope_theta=500.0, rms_norm_eps=1e-3),
    "quarter-rope": shape(64, 2, 2, 1, 64, 96, 80, "float16", partial_rotary_factor=0.25),
    "glm-like": shape(256, 3, 8, 2, 128, 856, 600, vocab=1536, attention_bias=True,
                      rms_norm_eps=1.5625e-07, rope_theta=5e6),
    "tied": shape(96, 2, 4, 2, 24, 128, 60, tie_word_embeddings=True),
    "uneven-k": shape(130, 2, 3, 3, 22, 194, 50, "float32", partial_rotary_factor=1.0),
    "tiny": shape(6, 1, 1, 1, 4, 10, 20, "float32", vocab=67),
    "wide-heads": shape(192, 2, 2, 1, 256, 320, 300, attention_bias=True),
    "many-groups": shape(128, 2, 16, 1, 16, 192, 260),
    "deep": shape(64, 12, 4, 2, 16, 96, 100, rms_norm_eps=1e-6),
    "yarn": shape(96, 2, 4, 2, 48, 144, 700, rope_scaling={
        "rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 128},
        max_position_embeddings=1024),
    "yarn-knobs": shape(96, 2, 4, 2, 48, 144, 300, "float32", rope_theta=2e5, rope_scaling={
        "type": "yarn", "factor": 2.0, "original_max_position_embeddings": 256, "beta_fast": 20.0,
        "beta_slow": 2.0, "attention_factor": 1.25, "truncate": False},
        max_position_embeddings=512),
    "yarn-mscale": shape(64, 2, 4, 1, 32, 96, 150, rope_scaling={
        "type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64, "mscale": 0.7,
        "mscale_all_dim": 0.3}, max_position_embeddings=256),
}


def randomise(model, gen):
    """Draw every parameter: norms away from 1, biases away from 0, logits of deviation about 3."""
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape, generator=gen)
        if "norm" in name:
            p.data = 1.0 + 0.2 * noise
        elif name.endswith("bias"):
            p.data = 0.3 * noise
        elif "embed_tokens" in name:
            p.data = noise
        else:
            gain = 3.0 if "lm_head" in name else 1.0
            p.data = noise * gain / p.shape[1] ** 0.5


def load(folder, dtype):
    model = Glm4ForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager")
    return model.eval()


@torch.no_grad()
def logits_of(model, ids):
    return model(torch.tensor([ids])).logits[0].float().numpy()


@torch.no_grad()
def greedy(model, ids):
    """(continued ids, least margin), by full recompute."""
    ids, least = list(ids), np.inf
    for _ in range(GREEDY_STEPS):
        top = torch.topk(model(torch.tensor([ids])).logits[0, -1], 2)
        least = min(least, float(top.values[0] - top.values[1]))
        ids.append(int(top.indices[0]))
    return ids[-GREEDY_STEPS:], least


def make(folder, config, n_tokens, seed):
    """Write one checkpoint and its expectations."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    gen = torch.Generator().manual_seed(seed)
    model = Glm4ForCausalLM(AutoConfig.from_pretrained(folder))
    randomise(model, gen)
    dtype = getattr(torch, config["torch_dtype"])
    tensors = {k: v.to(dtype).contiguous() for k, v in model.state_dict().items()
               if not (config["tie_word_embeddings"] and k == "lm_head.weight")}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    f32 = load(folder, torch.float32)
    best = (None, None, -1.0)
    for _ in range(40):
        ids = torch.randint(4, config["vocab_size"], (n_tokens,), generator=gen).tolist()
        path, margin = greedy(f32, ids)
        if margin > best[2]:
            best = (ids, path, margin)
        if margin >= MARGIN_MIN:
            break
    ids, path, margin = best
    np.save(folder / "logits_f32.npy", logits_of(f32, ids))
    np.save(folder / "logits_bf16.npy", logits_of(load(folder, torch.bfloat16), ids))
    (folder / "ids.txt").write_text(" ".join(map(str, ids)) + "\n")
    (folder / "greedy.txt").write_text(" ".join(map(str, path)) + "\n")
    print(f"{folder.name}: made, {n_tokens} tokens, least greedy margin {margin:.3g}", flush=True)


def evaluate(kontor, folder, level, dtype, *more):
    """(logits, greedy ids), or None when this machine lacks the level."""
    out = folder / "out.npy"
    run = subprocess.run([kontor, "eval", "--model", folder, "--ids", folder / "ids.txt",
                          "--dtype", dtype, "--logits-out", out, "--cpu-level", level, *more],
                         capture_output=True, text=True)
    if run.returncode != 0 and "level" in run.stderr:
        return None
    if run.returncode != 0:
        sys.exit(f"{folder.name}: {run.stderr}")
    return np.load(out), [int(w) for w in run.stdout.split()]


def check(kontor, folder):
    """Compare all levels; returns the number of failures."""
    f32 = np.load(folder / "logits_f32.npy")
    allowed = 1.5 * np.abs(np.load(folder / "logits_bf16.npy") - f32).max()
    path = [int(w) for w in (folder / "greedy.txt").read_text().split()]
    failures = 0
    for level in LEVELS:
        whole = evaluate(kontor, folder, level, "float32", "--greedy", str(GREEDY_STEPS))
        if whole is None:
            continue
        half = evaluate(kontor, folder, level, "bfloat16")[0]
        parts = evaluate(kontor, folder, level, "bfloat16", "--chunk", "7")[0]
        error, half_error = np.abs(whole[0] - f32).max(), np.abs(half - f32).max()
        good = (error <= 1e-4 and whole[1] == path and half_error <= allowed
                and half.tobytes() == parts.tobytes())
        failures += not good
        print(f"{folder.name:13} {level:11} float32 {error:.2e} greedy {whole[1] == path}  "
              f"bfloat16 {half_error:.3f} of {allowed:.3f} allowed  chunks equal "
              f"{half.tobytes() == parts.tobytes()}  {'ok' if good else 'FAILED'}", flush=True)
    return failures


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--kontor", type=Path, help="check this binary")
    parser.add_argument("--only", choices=sorted(VARIANTS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="do not make again what is there")
    args = parser.parse_args()
    torch.set_num_threads(1)
    failures = 0
    for i, (name, (config, n_tokens)) in enumerate(VARIANTS.items()):
        folder = args.out / name
        if args.only not in (None, name):
            continue
        if not (args.keep and (folder / "greedy.txt").exists()):
            make(folder, config, n_tokens, args.seed * 100 + i)
        if args.kontor is not None:
            failures += check(args.kontor, folder)
    print(f"{failures} failed" if args.kontor else "made")
    return failures > 0


if __name__ == "__main__":
    sys.exit(main())
