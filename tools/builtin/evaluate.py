"""Evaluate a built-in model: greedy answers to training questions and to held-out ones.

Usage: evaluate.py --model FOLDER [--fixtures FILE] [--wrong] [--peer]

Prints per language how many answers are exactly as written, how many hold all key facts, and the least margin
(top-1 minus top-2 logit) along the exact answers. --fixtures writes the canonical questions that pass in float32 and,
with activations in bfloat16, give the same text. --peer compares the logits with transformers.
"""

import argparse
import json
import os

import torch

import corpus
import glm4
from train import ANSWER, OTHER, Encoder, pad

MARGIN = 0.5
LONGEST = 80


class Judge:
    """Answers questions greedily with one model in one precision."""

    def __init__(self, folder, dtype=torch.float32):
        self.encoder = Encoder(folder)
        self.model = glm4.load(folder).to(dtype)
        self.model.tables = tuple(table.to(dtype) for table in self.model.tables)
        self.eos = {self.encoder.ids[name] for name in ("<|endoftext|>", "<|user|>", "<|observation|>")}

    def logits(self, ids):
        """Return float32 logits of a batch."""
        with torch.no_grad():
            return self.model(ids).float()

    def forced(self, pairs):
        """Return for each (question, answer) the least margin of the answer's tokens; negative if greedy differs."""
        margins = []
        for start in range(0, len(pairs), 32):
            samples = [self.encoder.sample(None, [pair]) for pair in pairs[start : start + 32]]
            ids, mask = pad(samples, self.encoder.ids["<|endoftext|>"])
            logits, target = self.logits(ids[:, :-1]), ids[:, 1:]
            right = logits.gather(2, target[..., None])[..., 0]
            other = logits.scatter(2, target[..., None], float("-inf")).amax(-1)
            gap = (right - other).masked_fill(~self.judged(mask), float("inf"))
            margins += gap.amin(1).tolist()
        return margins

    @staticmethod
    def judged(mask):
        """Return the positions to judge: the answer without its leading line break, which the template writes."""
        answer = mask[:, 1:] == ANSWER
        first = answer & (answer.cumsum(1) == 1)
        return answer & ~first

    def generate(self, questions):
        """Return greedy answers; the whole sequence is computed again for every token."""
        answers = []
        for start in range(0, len(questions), 32):
            rows = [self.prompt(question) for question in questions[start : start + 32]]
            begins, open_rows = [len(row) for row in rows], list(range(len(rows)))
            for _ in range(LONGEST):
                ids, _ = pad([(rows[i], [OTHER] * len(rows[i])) for i in open_rows], self.encoder.ids["<|endoftext|>"])
                logits = self.logits(ids)
                for spot, i in enumerate(list(open_rows)):
                    rows[i].append(int(logits[spot, len(rows[i]) - 1].argmax()))
                open_rows = [i for i in open_rows if rows[i][-1] not in self.eos]
                if not open_rows:
                    break
            answers += [self.encoder.plain.decode([t for t in row[begin:] if t not in self.eos])
                        for row, begin in zip(rows, begins)]
        return answers

    def prompt(self, question):
        """Return the ids of a single user turn with the generation prompt."""
        ids, mask = self.encoder.sample(None, [(question, "")])
        return ids[: mask.index(ANSWER)] + [self.encoder.line]


def score(judge, topics, pick, show):
    """Return (questions, exact, with all key facts, least margin of exact ones)."""
    asked = [(question, topic) for topic in topics for question in pick(topic)]
    margins = judge.forced([(question, topic.answer) for question, topic in asked])
    missed = [pair for pair, margin in zip(asked, margins) if margin <= 0]
    facts = len(asked) - len(missed)
    for (question, topic), answer in zip(missed, judge.generate([question for question, _ in missed])):
        good = topic.has_facts(answer)
        facts += good
        if show and not good:
            print(f"  {topic.lang} {topic.name}: {question} -> {answer}")
    least = min((margin for margin in margins if margin > 0), default=0.0)
    return len(asked), len(asked) - len(missed), facts, least


def fixtures(folder, path):
    """Write the canonical questions whose answers are exact with enough margin and stable in bfloat16."""
    exact, coarse = Judge(folder), Judge(folder, torch.bfloat16)
    kept = total = 0
    with open(path, "w", encoding="utf-8") as file:
        for lang in corpus.LANGUAGES:
            topics = corpus.topics(lang)
            total += len(topics)
            pairs = [(topic.question, topic.answer) for topic in topics]
            for (question, answer), margin, rough in zip(pairs, exact.forced(pairs), coarse.forced(pairs)):
                if margin < MARGIN or rough <= 0:
                    print(f"  dropped {lang} {question}: margin {margin:.2f}, in bfloat16 {rough:.2f}")
                    continue
                kept += 1
                row = {"lang": lang, "question": question, "answer": answer, "min_margin": round(margin, 3)}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
    print(f"{kept} of {total} canonical questions written to {path}")


def peer(folder):
    """Compare logits and the prompt's ids with transformers."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    judge = Judge(folder)
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    tokenizer, worst = AutoTokenizer.from_pretrained(folder), 0.0
    for lang in corpus.LANGUAGES:
        for topic in corpus.topics(lang)[::10]:
            ids = judge.encoder.sample(None, [(topic.question, topic.answer)])[0]
            turn = [{"role": "user", "content": topic.question}]
            text = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
            prompt = tokenizer.encode(text, add_special_tokens=False)
            if prompt != ids[: len(prompt)]:
                raise SystemExit(f"prompt differs: {topic.question}")
            batch = torch.tensor([ids])
            with torch.no_grad():
                worst = max(worst, float((theirs(batch).logits - judge.logits(batch)).abs().max()))
    print(f"largest logit difference to transformers {worst:.2e}")


def main():
    """Print the scores; write fixtures or compare with transformers if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--fixtures")
    parser.add_argument("--wrong", action="store_true", help="print answers without the key facts")
    parser.add_argument("--peer", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    judge = Judge(args.model)
    picks = (("known", lambda t: [t.question]), ("held-out", lambda t: t.held_out))
    for lang in corpus.LANGUAGES:
        topics = corpus.topics(lang)
        for name, pick in picks:
            count, exact, facts, least = score(judge, topics, pick, args.wrong and name == "held-out")
            print(f"{lang} {name}: {count} questions, exact {exact / count:.1%}, key facts {facts / count:.1%}, "
                  f"least margin of exact answers {least:.2f}", flush=True)
    size = sum(os.path.getsize(os.path.join(args.model, name)) for name in os.listdir(args.model))
    print(f"{sum(p.numel() for p in judge.model.parameters())} parameters, {size} bytes in all files")
    if args.peer:
        peer(args.model)
    if args.fixtures:
        fixtures(args.model, args.fixtures)


if __name__ == "__main__":
    main()
