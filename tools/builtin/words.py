"""Train word vectors for the built-in model: a classifier that guesses the answer from the bag of a question's tokens.

Usage: words.py --tokenizer FOLDER --out FILE [--steps N] [--seed N]

It costs a few hundred times less than the model itself and shows in minutes how far the texts carry: the held-out
questions it gets right are printed as it goes. train.py --words FILE starts from its vectors.
"""

import argparse
import random
import time

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

import corpus
import glm4
from augment import Conversations
from train import Encoder

BATCH = 256
RATE = 1e-2


def bags(encoder, questions, rng=None):
    """Return all token ids of the questions behind each other, and where each question begins."""
    ids, starts = [], []
    for question in questions:
        starts.append(len(ids))
        ids += encoder.text(question, rng is not None and rng.random() < 0.35) or [encoder.line]
    return torch.tensor(ids), torch.tensor(starts)


@torch.no_grad()
def held_out(encoder, bag, guess):
    """Return the share of held-out questions guessed right, per language."""
    shares = []
    for lang in corpus.LANGUAGES:
        pairs = [(question, encoder.kinds[t.answer]) for t in corpus.topics(lang) for question in t.held_out]
        best = guess(bag(*bags(encoder, [question for question, _ in pairs]))).argmax(1)
        right = (best == torch.tensor([kind for _, kind in pairs])).float().mean()
        shares.append(f"{lang} {right:.1%}")
    return ", ".join(shares)


def main():
    """Train and write embed, weight and bias."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=11)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(1)
    encoder, talks, rng = Encoder(args.tokenizer), Conversations(args.seed), random.Random(args.seed + 1)
    bag = torch.nn.EmbeddingBag(encoder.vocab, glm4.SHAPE["hidden_size"], mode="mean")
    torch.nn.init.normal_(bag.weight, std=0.3)
    guess = torch.nn.Linear(glm4.SHAPE["hidden_size"], len(encoder.kinds))
    stepper, began = torch.optim.Adam([*bag.parameters(), *guess.parameters()], lr=RATE), time.time()
    for step in range(1, args.steps + 1):
        stepper.param_groups[0]["lr"] = RATE * (1.01 - step / args.steps)
        asked = [talks.next()[1][0] for _ in range(BATCH)]
        kinds = torch.tensor([encoder.kinds[answer] for _, answer in asked])
        loss = F.cross_entropy(guess(bag(*bags(encoder, [question for question, _ in asked], rng))), kinds)
        stepper.zero_grad()
        loss.backward()
        stepper.step()
        if step % 250 == 0 or step == args.steps:
            shares, minutes = held_out(encoder, bag, guess), (time.time() - began) / 60
            print(f"step {step} loss {loss.item():.3f} held-out {shares} minutes {minutes:.1f}", flush=True)
    save_file({"embed": bag.weight.data, "weight": guess.weight.data, "bias": guess.bias.data}, args.out)


if __name__ == "__main__":
    main()
