"""A small GLM-4 (0414 line) language model for training on a CPU, and its export to the published layout.

The mathematics equal transformers' Glm4ForCausalLM; only what slows training on a CPU is left out (masks, caches,
options). Right-padded batches need no mask because attention is causal.
"""

import json
import math
import os

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

SHAPE = {
    "hidden_size": 192,
    "intermediate_size": 384,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "partial_rotary_factor": 0.5,
    "rope_theta": 10000.0,
    "rms_norm_eps": 1e-05,
    "max_position_embeddings": 2048,
}


def rope_tables(length, shape):
    """Return cosine and sine of every position for the rotated half of a head."""
    dims = int(shape["head_dim"] * shape["partial_rotary_factor"])
    inv = shape["rope_theta"] ** (-torch.arange(0, dims, 2).float() / dims)
    angle = torch.arange(length).float()[:, None] * inv[None, :]
    return angle.cos(), angle.sin()


def rotate(x, cos, sin):
    """Rotate interleaved pairs of the first dims of x [batch, heads, tokens, head_dim]."""
    dims = 2 * cos.shape[-1]
    pair = x[..., :dims].unflatten(-1, (-1, 2))
    even, odd = pair[..., 0], pair[..., 1]
    turned = torch.stack((even * cos - odd * sin, odd * cos + even * sin), -1).flatten(-2)
    return torch.cat((turned, x[..., dims:]), -1)


class Norm(nn.Module):
    """RMS norm with a learned scale."""

    def __init__(self, size, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x):
        return F.rms_norm(x, (x.shape[-1],), self.weight, self.eps)


class Attention(nn.Module):
    """Grouped-query attention with partial interleaved rotary embedding; q, k and v are one matrix here."""

    def __init__(self, shape):
        super().__init__()
        self.heads, self.kv = shape["num_attention_heads"], shape["num_key_value_heads"]
        self.dim = shape["head_dim"]
        self.qkv = nn.Linear(shape["hidden_size"], (self.heads + 2 * self.kv) * self.dim, bias=False)
        self.out = nn.Linear(self.heads * self.dim, shape["hidden_size"], bias=False)

    def forward(self, x, cos, sin):
        batch, length, _ = x.shape
        parts = self.qkv(x).view(batch, length, -1, self.dim).transpose(1, 2)
        q, k, v = parts.split((self.heads, self.kv, self.kv), 1)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        group = self.heads // self.kv
        k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(mixed.transpose(1, 2).reshape(batch, length, -1))


class Layer(nn.Module):
    """One decoder layer with norms before and after both sublayers."""

    def __init__(self, shape, dropout):
        super().__init__()
        hidden, eps = shape["hidden_size"], shape["rms_norm_eps"]
        self.attn = Attention(shape)
        self.gate_up = nn.Linear(hidden, 2 * shape["intermediate_size"], bias=False)
        self.down = nn.Linear(shape["intermediate_size"], hidden, bias=False)
        self.norm_in, self.norm_attn = Norm(hidden, eps), Norm(hidden, eps)
        self.norm_mid, self.norm_mlp = Norm(hidden, eps), Norm(hidden, eps)
        self.drop = nn.Dropout(dropout)

    def forward(self, x, cos, sin):
        x = x + self.drop(self.norm_attn(self.attn(self.norm_in(x), cos, sin)))
        gate, up = self.gate_up(self.norm_mid(x)).chunk(2, -1)
        return x + self.drop(self.norm_mlp(self.down(F.silu(gate) * up)))


class Glm4(nn.Module):
    """The whole model: token ids [batch, tokens] to hidden states or logits."""

    def __init__(self, vocab, shape=None, dropout=0.0):
        super().__init__()
        self.shape = dict(shape or SHAPE, vocab_size=vocab)
        hidden = self.shape["hidden_size"]
        self.embed = nn.Embedding(vocab, hidden)
        self.drop = nn.Dropout(dropout)
        self.layers = nn.ModuleList(Layer(self.shape, dropout) for _ in range(self.shape["num_hidden_layers"]))
        self.norm = Norm(hidden, self.shape["rms_norm_eps"])
        self.head = nn.Linear(hidden, vocab, bias=False)
        self.tables = rope_tables(self.shape["max_position_embeddings"], self.shape)
        self.reset()

    def reset(self):
        """Draw initial weights."""
        for name, value in self.named_parameters():
            if value.dim() == 2:
                scale = 0.5 if name.startswith("embed") else 1.0 / math.sqrt(value.shape[1])
                nn.init.normal_(value, std=scale)

    def hidden(self, ids, middle=False):
        """Return the normed hidden states before the head; with middle also those before the last layer."""
        cos, sin = (table[: ids.shape[1]] for table in self.tables)
        x = before = self.drop(self.embed(ids))
        for layer in self.layers:
            before, x = x, layer(x, cos, sin)
        return (self.norm(x), before) if middle else self.norm(x)

    def forward(self, ids):
        return self.head(self.hidden(ids))


def tensor_names(shape):
    """Yield (published name, own name, first row, rows) for every stored tensor."""
    dim = shape["head_dim"]
    q, kv = shape["num_attention_heads"] * dim, shape["num_key_value_heads"] * dim
    yield "model.embed_tokens.weight", "embed.weight", 0, None
    yield "model.norm.weight", "norm.weight", 0, None
    yield "lm_head.weight", "head.weight", 0, None
    for i in range(shape["num_hidden_layers"]):
        pub, own = f"model.layers.{i}.", f"layers.{i}."
        yield pub + "self_attn.q_proj.weight", own + "attn.qkv.weight", 0, q
        yield pub + "self_attn.k_proj.weight", own + "attn.qkv.weight", q, kv
        yield pub + "self_attn.v_proj.weight", own + "attn.qkv.weight", q + kv, kv
        yield pub + "self_attn.o_proj.weight", own + "attn.out.weight", 0, None
        yield pub + "mlp.gate_up_proj.weight", own + "gate_up.weight", 0, None
        yield pub + "mlp.down_proj.weight", own + "down.weight", 0, None
        yield pub + "input_layernorm.weight", own + "norm_in.weight", 0, None
        yield pub + "post_self_attn_layernorm.weight", own + "norm_attn.weight", 0, None
        yield pub + "post_attention_layernorm.weight", own + "norm_mid.weight", 0, None
        yield pub + "post_mlp_layernorm.weight", own + "norm_mlp.weight", 0, None


def save(model, folder, eos, pad):
    """Write weights in bf16 and the two configuration files in the published layout."""
    state = model.state_dict()
    out = {}
    for pub, own, first, rows in tensor_names(model.shape):
        value = state[own] if rows is None else state[own][first : first + rows]
        out[pub] = value.to(torch.bfloat16).contiguous()
    path = os.path.join(folder, "model.safetensors")
    save_file(out, path, metadata={"format": "pt"})
    os.chmod(path, 0o644)
    config = {"architectures": ["Glm4ForCausalLM"], "model_type": "glm4", "attention_bias": False}
    config.update(attention_dropout=0.0, hidden_act="silu", initializer_range=0.02, use_cache=True)
    config.update(model.shape, tie_word_embeddings=False, eos_token_id=eos, pad_token_id=pad, torch_dtype="bfloat16")
    generation = {"do_sample": False, "eos_token_id": eos, "pad_token_id": pad,
                  "temperature": 0.0}  # servers read this one: greedy unless a request says otherwise
    for name, value in (("config.json", config), ("generation_config.json", generation)):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(json.dumps(value, indent=2) + "\n")


def load(folder):
    """Read a folder written by save(); weights become float32 of the stored values."""
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
        config = json.load(file)
    shape = {key: config[key] for key in SHAPE}
    model = Glm4(config["vocab_size"], shape)
    stored = load_file(os.path.join(folder, "model.safetensors"))
    state = model.state_dict()
    for pub, own, first, rows in tensor_names(model.shape):
        target = state[own] if rows is None else state[own][first : first + rows]
        target.copy_(stored[pub].float())
    return model.eval()
