"""Make endless varied training questions from the texts in data/.

Every question is a hand-written phrase, a name put into a frame or a piece of the answer; words are replaced by
synonyms, then it is wrapped (greeting, politeness, context) and disturbed (case, punctuation, typing errors, dropped
words). Conversations put one to three of them behind each other.
"""

import random
import re

import corpus

OTHER_SHARE = 0.13
ENGLISH_CHARS = "abcdefghijklmnopqrstuvwxyz"
PLAIN = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue"})


class Writer:
    """Writes questions of one language."""

    def __init__(self, lang, rng):
        self.lang, self.rng = lang, rng
        self.lists = corpus.lists(lang)
        every = corpus.topics(lang)
        self.other = next(topic for topic in every if topic.name == "other")
        self.topics = [topic for topic in every if topic.name != "other"]
        self.words = self.lists["context_words"]
        self.groups = {}
        for line in self.lists["synonyms"]:
            group = line.split("=")
            self.groups.update({word: group for word in group})

    def pick(self, section):
        """Return a random line of a list."""
        return self.rng.choice(self.lists[section])

    def base(self, topic):
        """Return an undisturbed question for the topic."""
        roll = self.rng.random()
        if roll < 0.36 and topic.nouns + topic.verbs:
            return self.framed(topic)
        if roll < 0.46:
            return topic.question
        if roll < 0.77:
            return self.rng.choice(topic.phrases)
        if roll < 0.85:
            return self.answer_span(topic)
        if roll < 0.92:
            return self.keywords(topic)
        return self.joined(topic)

    def framed(self, topic):
        """Return a name or wish of the topic in a frame."""
        rng, named, verbs = self.rng, len(topic.nouns), len(topic.verbs)
        if rng.random() * (named + 1.5 * verbs) < named:
            return self.pick("frames_noun").replace("{}", rng.choice(topic.nouns))
        return self.pick("frames_verb").replace("{}", rng.choice(topic.verbs))

    def any_text(self, topic):
        """Return some text that belongs to the topic."""
        return self.rng.choice(topic.phrases + topic.nouns + topic.verbs)

    def answer_span(self, topic):
        """Return a piece of the answer, as somebody asks who knows the matter but not its name."""
        rng = self.rng
        parts = list(topic.answer) if self.lang == "zh" else topic.answer.split()
        size = rng.randint(7, 16) if self.lang == "zh" else rng.randint(4, 9)
        start = rng.randrange(max(1, len(parts) - size + 1))
        text = ("" if self.lang == "zh" else " ").join(parts[start : start + size]).strip(".,;:!?。，；：！？")
        return self.pick("frames_span").replace("{}", text)

    def keywords(self, topic):
        """Return some words of a text of the topic, as typed into a search box."""
        rng, text = self.rng, self.any_text(topic)
        if self.lang == "zh":
            return "".join(char for char in text if rng.random() > 0.15) or text
        words = [word for word in text.split() if rng.random() > 0.35 or len(word) > 9]
        if rng.random() < 0.3:
            rng.shuffle(words)
        return " ".join(words) or text

    def joined(self, topic):
        """Return two texts of the topic in one."""
        joint = self.rng.choice("，：。；" if self.lang == "zh" else [", ", ": ", ". ", " - ", " and "])
        return self.any_text(topic).rstrip("?？.") + joint + self.any_text(topic)

    def synonyms(self, text):
        """Replace some words by others of about the same meaning."""
        rng = self.rng
        if self.lang == "zh":
            for word in self.groups:
                if word in text and rng.random() < 0.3:
                    text = text.replace(word, rng.choice(self.groups[word]), 1)
            return text
        words = text.split(" ")
        for i, word in enumerate(words):
            bare = word.strip(",.?!:").lower()
            if bare in self.groups and rng.random() < 0.35:
                words[i] = word.lower().replace(bare, rng.choice(self.groups[bare]))
        return " ".join(words)

    def gibberish(self):
        """Return letters without sense."""
        rng = self.rng
        words = ["".join(rng.choices(ENGLISH_CHARS, k=rng.randint(2, 9))) for _ in range(rng.randint(1, 4))]
        return " ".join(words)

    def sum_task(self):
        """Return a small calculation."""
        rng = self.rng
        a, b = rng.randint(1, 999), rng.randint(1, 99)
        return self.pick("sums").format(a=a, b=b, op=rng.choice("+-*/"))

    def out_of_scope(self):
        """Return a question that the model must decline."""
        rng, roll = self.rng, self.rng.random()
        if roll < 0.42:
            return self.pick("other")
        if roll < 0.75:
            return self.pick("frames_noun").replace("{}", self.pick("other_noun"))
        if roll < 0.87:
            return self.pick("frames_verb").replace("{}", self.pick("other_verb"))
        if roll < 0.94:
            return self.sum_task()
        return self.gibberish()

    def wrap(self, text):
        """Put a greeting or context in front and politeness behind."""
        rng, joint = self.rng, "" if self.lang == "zh" else " "
        if rng.random() < 0.22:
            text = self.pick("prefix") + joint + text
        if rng.random() < 0.15:
            end = text[-1] if text[-1] in "?.!？。！" else ""
            suffix = self.pick("suffix")
            gap = "" if suffix[0] in ",，" else joint
            text = text.rstrip("?.!？。！") + gap + suffix + (end if rng.random() < 0.7 else "")
        return text

    def typo(self, text):
        """Make one typing error: swap, drop, double or replace a letter."""
        rng = self.rng
        spots = [i for i in range(1, len(text) - 1) if text[i].isalpha() and text[i + 1].isalpha()]
        if not spots:
            return text
        i, kind = rng.choice(spots), rng.randrange(4)
        if kind == 0:
            return text[:i] + text[i + 1] + text[i] + text[i + 2 :]
        if kind == 1:
            return text[:i] + text[i + 1 :]
        if kind == 2:
            return text[:i] + text[i] + text[i:]
        return text[:i] + rng.choice(ENGLISH_CHARS) + text[i + 1 :]

    def drop_or_add(self, text):
        """Drop a word, or put a common word somewhere (characters in Chinese)."""
        rng = self.rng
        joint = "" if self.lang == "zh" else " "
        parts = list(text) if self.lang == "zh" else text.split(" ")
        if len(parts) < 4:
            return text
        if rng.random() < 0.6:
            del parts[rng.randrange(len(parts))]
        else:
            parts.insert(rng.randrange(len(parts) + 1), rng.choice(self.words))
        return joint.join(parts)

    def disturb(self, text):
        """Change case and punctuation and add small errors."""
        rng = self.rng
        if rng.random() < 0.15:
            text = self.drop_or_add(text)
        if self.lang != "zh" and rng.random() < 0.12:
            text = self.typo(text)
        if self.lang == "de" and rng.random() < 0.06:
            text = text.translate(PLAIN)
        roll = rng.random()
        if roll < 0.3:
            text = text.lower()
        elif roll < 0.7 and text:
            text = text[0].upper() + text[1:]
        elif roll < 0.715:
            text = text.upper()
        roll = rng.random()
        if roll < 0.3:
            text = text.rstrip("?.!？。！ ")
        elif roll < 0.35 and self.lang != "zh":
            text = re.sub(r"[,.:;?!-]", "", text)
        elif roll < 0.4:
            text = text.rstrip("?.!？。！ ") + rng.choice([" ?", "??", "!", ".", "...", "?!", "？", "?"])
        elif roll < 0.5 and text and text[-1] not in "?.!？。！":
            text += "？" if self.lang == "zh" else "?"
        return text.strip() or text

    def ask(self):
        """Return (question, answer)."""
        rng = self.rng
        if rng.random() < OTHER_SHARE:
            text, topic = self.out_of_scope(), self.other
        else:
            topic = rng.choice(self.topics)
            text = self.base(topic)
            if rng.random() < 0.12:
                return text, topic.answer
        if rng.random() < 0.4:
            text = self.synonyms(text)
        return self.disturb(self.wrap(text)), topic.answer


class Conversations:
    """Yields conversations: (system text or None, [(question, answer), ...])."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.writers = [Writer(lang, self.rng) for lang in corpus.LANGUAGES]

    def next(self):
        """Return a new conversation; now and then the language changes between turns."""
        rng = self.rng
        writer = rng.choice(self.writers)
        roll = rng.random()
        turns = 1 if roll < 0.93 else 2 if roll < 0.98 else 3
        system = None
        if rng.random() < 0.12:
            system = rng.choice(self.writers if rng.random() < 0.2 else [writer]).pick("system")
        pairs = []
        for _ in range(turns):
            speaker = rng.choice(self.writers) if rng.random() < 0.1 else writer
            pairs.append(speaker.ask())
        return system, pairs
