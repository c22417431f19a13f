"""Train the built-in model on a CPU.

Usage: train.py --tokenizer FOLDER --out FOLDER [--words FILE] [--steps N] [--init FOLDER] [--seed N]

FOLDER of --tokenizer holds what make_tokenizer.py wrote; --out receives the complete checkpoint after every
evaluation, each time by renaming a finished folder.
"""

import argparse
import math
import os
import random
import shutil
import time

import torch
import torch.distributed as dist
import torch.nn.functional as F
from safetensors.torch import load_file
from tokenizers import Tokenizer

import corpus
import glm4
from augment import Conversations

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
SHORT_TOKENS = (5, 12)  # of the answer in samples that are cut short, since choosing the answer is the hard part
SUBWORD_DROPOUT = 0.1
TOKENS_LOST = (0.1, 0.2, 0.35)  # of a question, so that no single word decides
MEETING = 8  # steps between two meetings of the workers
ANSWER, OTHER = -1, -2


class Encoder:
    """Turns conversations into ids and weights, as the chat template would write them."""

    def __init__(self, folder, short=0.0):
        self.short = short
        path = os.path.join(folder, "tokenizer.json")
        self.plain, self.noisy = Tokenizer.from_file(path), Tokenizer.from_file(path)
        self.noisy.model.dropout = SUBWORD_DROPOUT
        self.ids = {name: self.plain.token_to_id(name) for name in
                    ("<|endoftext|>", "[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>")}
        self.line = self.text("\n")[0]
        answers = [topic.answer for lang in corpus.LANGUAGES for topic in corpus.topics(lang)]
        self.kinds = {answer: number for number, answer in enumerate(answers)}
        self.vocab = -(-self.plain.get_vocab_size() // 32) * 32

    def text(self, text, noisy=False):
        """Return the ids of ordinary text."""
        return (self.noisy if noisy else self.plain).encode(text, add_special_tokens=False).ids

    def sample(self, system, pairs, rng=None):
        """Return ids and marks; with rng the text is cut into subwords at random now and then.

        A mark is ANSWER for tokens to learn, the number of the answer for tokens of its question, otherwise OTHER.
        """
        ids = [self.ids["[gMASK]"], self.ids["<sop>"]]
        if system:
            ids += [self.ids["<|system|>"], self.line] + self.text(system)
        mask = [OTHER] * len(ids)
        for question, answer in pairs:
            noisy = rng is not None and rng.random() < 0.35
            words = self.text(question, noisy)
            if rng is not None and rng.random() < 0.6:
                lost = rng.choice(TOKENS_LOST)
                words = [token for token in words if rng.random() > lost] or words
            asked = [self.ids["<|user|>"], self.line] + words + [self.ids["<|assistant|>"]]
            told = [self.line] + self.text(answer)
            kind = self.kinds.get(answer, OTHER)
            ids, mask = ids + asked + told, mask + [OTHER] * 2 + [kind] * (len(asked) - 2) + [ANSWER] * len(told)
        ids.append(self.ids["<|user|>"])
        mask.append(ANSWER)
        if rng is not None and rng.random() < self.short:
            last = len(told) - rng.randint(*SHORT_TOKENS)
            if last > 0:
                ids, mask = ids[: -1 - last], mask[: -1 - last]
        return ids, mask


def pad(samples, pad_id):
    """Return right-padded ids and marks as tensors."""
    width = max(len(ids) for ids, _ in samples)
    ids = torch.full((len(samples), width), pad_id)
    mask = torch.full((len(samples), width), OTHER)
    for row, (one, told) in enumerate(samples):
        ids[row, : len(one)] = torch.tensor(one)
        mask[row, : len(one)] = torch.tensor(told)
    return ids, mask


def batches(encoder, seed, tokens):
    """Yield batches of about so many tokens, each of samples of similar length."""
    talks, rng = Conversations(seed), random.Random(seed + 1)
    while True:
        pool = sorted((encoder.sample(*talks.next(), rng=rng) for _ in range(1024)), key=lambda s: len(s[0]))
        groups, start = [], 0
        while start < len(pool):
            end = start + 1
            while end < len(pool) and (end - start + 1) * len(pool[end][0]) <= tokens:
                end += 1
            groups.append(pool[start:end])
            start = end
        rng.shuffle(groups)
        for group in groups:
            yield pad(group, encoder.ids["<|endoftext|>"])


def losses(model, guide, ids, mask):
    """Return the mean cross-entropy of the answer tokens, and that of guessing the answer at every question token.

    The guess is made by a linear layer on the states before the last layer. It teaches the words what they are about
    and is thrown away after training.
    """
    hidden, middle = model.hidden(ids[:, :-1], middle=True)
    target = mask[:, 1:] == ANSWER
    answer = F.cross_entropy(model.head(hidden[target]), ids[:, 1:][target])
    asked = mask[:, :-1] >= 0
    return answer, F.cross_entropy(guide(middle[asked]), mask[:, :-1][asked])


@torch.no_grad()
def exact(model, encoder, pairs):
    """Return how large a part of the (question, answer) pairs is answered token by token as written."""
    samples = sorted((encoder.sample(None, [pair]) for pair in pairs), key=lambda s: len(s[0]))
    good = 0
    for start in range(0, len(samples), 48):
        ids, mask = pad(samples[start : start + 48], encoder.ids["<|endoftext|>"])
        best = model(ids[:, :-1]).argmax(-1)
        good += int(((best == ids[:, 1:]) | (mask[:, 1:] != ANSWER)).all(1).sum())
    return good / max(1, len(pairs))


def report(model, encoder):
    """Return a line with exact answers to training and held-out questions per language."""
    parts, model = [], model.eval()
    for lang in corpus.LANGUAGES:
        every = corpus.topics(lang)
        known = exact(model, encoder, [(t.question, t.answer) for t in every])
        held = exact(model, encoder, [(v, t.answer) for t in every for v in t.held_out])
        parts.append(f"{lang} known {known:.1%} held-out {held:.1%}")
    model.train()
    return "; ".join(parts)


def write(model, encoder, tokenizer, out):
    """Write the complete checkpoint beside out and rename it into place."""
    fresh = out.rstrip("/") + ".new"
    shutil.rmtree(fresh, ignore_errors=True)
    os.makedirs(fresh)
    for name in TOKENIZER_FILES:
        shutil.copy(os.path.join(tokenizer, name), fresh)
    eos = [encoder.ids[name] for name in ("<|endoftext|>", "<|user|>", "<|observation|>")]
    glm4.save(model, fresh, eos, eos[0])
    shutil.rmtree(out, ignore_errors=True)
    os.rename(fresh, out)


def optimizers(model, guide, rate):
    """Return Muon for the matrices of the layers and AdamW for the rest."""
    inner = [p for n, p in model.named_parameters() if p.dim() == 2 and n.startswith("layers")]
    outer = [p for n, p in model.named_parameters() if not (p.dim() == 2 and n.startswith("layers"))]
    outer += list(guide.parameters())
    muon = torch.optim.Muon(inner, lr=rate, weight_decay=0.05, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    adam = torch.optim.AdamW(outer, lr=rate, betas=(0.9, 0.95), weight_decay=0.02, fused=True)
    return [muon, adam]


def start_from_words(model, guide, path):
    """Take embeddings and guide from a classifier of word bags; the embeddings are scaled to unit mean square."""
    words = load_file(path)
    embed = words["embed"]
    scale = embed.pow(2).mean().rsqrt()
    with torch.no_grad():
        model.embed.weight.copy_(embed * scale)
        guide[1].weight.copy_(words["weight"] * embed.pow(2).mean().sqrt() / 3)
        guide[1].bias.copy_(words["bias"])


def set_dropout(model, value):
    """Change the dropout of all layers."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = value


def arguments():
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--words", help="start from word vectors that words.py wrote")
    parser.add_argument("--init", help="continue from this checkpoint")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--minutes", type=float, default=55, help="end the schedule by then even if steps are missing")
    parser.add_argument("--tokens", type=int, default=2048, help="tokens per batch")
    parser.add_argument("--rate", type=float, default=2.5e-3)
    parser.add_argument("--dropout", type=float, default=0.05)
    parser.add_argument("--every", type=int, default=300, help="steps between evaluations")
    parser.add_argument("--short", type=float, default=0.9, help="share of samples with a cut answer")
    parser.add_argument("--guide", type=float, default=0.5, help="weight of guessing the answer, falls to 0")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--workers", type=int, default=1, help="processes of one thread each, of which this is one")
    parser.add_argument("--worker", type=int, default=0)
    return parser.parse_args()


def join(args):
    """Meet the other workers; each trains on its own samples and they average their weights every few steps."""
    if args.workers > 1:
        dist.init_process_group("gloo", "tcp://127.0.0.1:29511", rank=args.worker, world_size=args.workers)


def average(model, guide, done, workers):
    """Average the weights of all workers; return the first worker's progress, so that all end together."""
    if workers == 1:
        return done
    with torch.no_grad():
        flat = torch.nn.utils.parameters_to_vector([*model.parameters(), *guide.parameters()])
        dist.all_reduce(flat)
        torch.nn.utils.vector_to_parameters(flat / workers, [*model.parameters(), *guide.parameters()])
    progress = torch.tensor(done)
    dist.broadcast(progress, 0)
    return float(progress)


def factor(step, done):
    """Return the learning rate's factor: it warms up over 100 steps, then falls along a cosine."""
    return min(1.0, step / 100) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))


def train(args, encoder, model, guide):
    """Run the training loop; every few steps the workers meet, every args.every steps the checkpoint is written."""
    steppers = optimizers(model, guide, args.rate)
    source, began = batches(encoder, args.seed + 1000 * args.worker, args.tokens), time.time()
    step, done, total, guessed = 0, 0.0, 0.0, 0.0
    while done < 1:
        step += 1
        for group in (group for stepper in steppers for group in stepper.param_groups):
            group["lr"] = args.rate * factor(step, done)
        if done > 0.6:
            set_dropout(model, 0.0)
        loss, guess = losses(model, guide, *next(source))
        (loss + args.guide * (1 - done) * guess).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for stepper in steppers:
            stepper.step()
            stepper.zero_grad(set_to_none=True)
        total, guessed = total + loss.item(), guessed + guess.item()
        spent = (time.time() - began) / 60
        if step % MEETING == 0:
            done = average(model, guide, min(1.0, max(step / args.steps, spent / args.minutes)), args.workers)
        if step % 50 == 0:
            print(f"step {step} loss {total / 50:.4f} guess {guessed / 50:.3f} minutes {spent:.1f}", flush=True)
            total = guessed = 0.0
        if args.worker == 0 and (step % args.every == 0 or done >= 1):
            write(model, encoder, args.tokenizer, args.out)
            print(report(model, encoder), flush=True)


def main():
    """Train until all steps are done or the minutes are over; dropout ends after 60 percent."""
    args = arguments()
    torch.manual_seed(args.seed)
    torch.set_num_threads(1)
    join(args)
    encoder = Encoder(args.tokenizer, args.short)
    model = glm4.load(args.init) if args.init else glm4.Glm4(encoder.vocab)
    set_dropout(model.train(), args.dropout)
    size = model.shape["hidden_size"]
    guide = torch.nn.Sequential(glm4.Norm(size, 1e-5), torch.nn.Linear(size, len(encoder.kinds)))
    torch.nn.init.zeros_(guide[1].weight)
    if args.words:
        start_from_words(model, guide, args.words)
    train(args, encoder, model, guide)


if __name__ == "__main__":
    main()
