"""Read the question-and-answer texts in data/.

A data file is a list of blocks separated by blank lines. The first letter of a line says what it is:
  = name of the topic                Q canonical question        A answer
  K key facts, `;` between facts, `|` between alternatives       N names of the thing, `;` between them
  H what one may want to do (infinitive), `;` between them       P more questions, ` / ` between them
  V questions held out of training (validation), ` / ` between them
A later block of the same name adds to the topic. Lines starting with # are comments. The topic `other` is the answer to
everything out of scope.
"""

import glob
import os
from dataclasses import dataclass, field

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data")
LANGUAGES = ("en", "de", "zh")


@dataclass
class Topic:
    """One answer with everything that may be asked for it."""

    lang: str
    name: str
    question: str = ""
    answer: str = ""
    facts: list = field(default_factory=list)
    nouns: list = field(default_factory=list)
    verbs: list = field(default_factory=list)
    phrases: list = field(default_factory=list)
    held_out: list = field(default_factory=list)

    def has_facts(self, text):
        """Tell whether every key fact (one of its alternatives) stands in the text."""
        low = text.lower()
        return all(any(option in low for option in fact) for fact in self.facts)


def add_line(topic, key, rest):
    """Store one line of a block."""
    parts = [part.strip() for part in rest.split(" / " if key in "PV" else ";") if part.strip()]
    if key == "Q":
        topic.question = rest
    elif key == "A":
        topic.answer = rest
    elif key == "K":
        topic.facts = [[alt.strip() for alt in part.lower().split("|")] for part in parts]
    else:
        getattr(topic, {"N": "nouns", "H": "verbs", "P": "phrases", "V": "held_out"}[key]).extend(parts)


def topics(lang):
    """Return the topics of one language."""
    found, current = {}, None
    for path in sorted(glob.glob(os.path.join(DATA, f"topics_{lang}*.txt"))):
        with open(path, encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                line = line.strip()
                if not line or line.startswith("#"):
                    continue
                key, _, rest = line.partition(" ")
                if key == "=":
                    current = found.setdefault(rest, Topic(lang, rest))
                elif key in ("Q", "A", "K", "N", "H", "P", "V"):
                    add_line(current, key, rest.strip())
                else:
                    raise ValueError(f"{path}:{number}: unknown line {line!r}")
    for topic in found.values():
        if not topic.question or not topic.answer or not topic.facts or not topic.has_facts(topic.answer):
            raise ValueError(f"{lang} {topic.name}: incomplete, or a key fact is not in the answer")
    return list(found.values())


def lists(lang):
    """Return the word and sentence lists of one language: {section: [line, ...]}."""
    sections, name = {}, None
    with open(os.path.join(DATA, f"lists_{lang}.txt"), encoding="utf-8") as file:
        for line in file:
            line = line.strip()
            if line.startswith("["):
                name = line.strip("[]")
                sections[name] = []
            elif line and not line.startswith("#"):
                sections[name].extend(part.strip() for part in line.split(" / ") if part.strip())
    return sections


def texts():
    """Yield all texts for training the tokenizer, as written and in lower case; answers and names count more."""
    for lang in LANGUAGES:
        for topic in topics(lang):
            yield from [topic.answer] * 3
            for part in [topic.question] + topic.phrases + topic.nouns + topic.verbs:
                yield from (part, " " + part, " " + part.lower())
        for lines in lists(lang).values():
            for line in lines:
                line = line.replace("=", " ")
                yield from (line, " " + line.lower())
