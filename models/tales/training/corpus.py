"""Writes the corpus: children's stories drawn from the story grammar in plots.txt.

usage: python corpus.py sample [--count 5] [--seed 1]          print stories
       python corpus.py write OUT.txt [--count 1000] [--seed 1]  one story a block, blocks parted by a blank line
       python corpus.py stats [--count 2000]                   words a story, distinct sentences, plots

The same seed always gives the same stories. The notation of plots.txt is explained at its top.
"""
import argparse
import random
import re
from collections import Counter
from pathlib import Path

from cast import make_cast

HERE = Path(__file__).parent
VARIABLE = re.compile(r"\$(\w+)")
NEW = "\x01"  # after a speech: what follows is a new sentence
TOKEN = re.compile(r"\{(\w+)(?:/([\w $]+))?: ([^{}]*)\}|\$([a-z]\w*)")
INNER_CHOICE = re.compile(r"\[([^\[\]]*)\]")

SAY = {
    ".": ["said"],
    "?": ["asked"] * 12 + ["said"],
    "!": ["said"] * 4 + ["cried"] * 3 + ["called", "shouted", "exclaimed"],
}
REPLY = ["said"] * 3 + ["answered", "replied"]
MANNER = {"e": ["softly", "with a smile", "kindly", "gently"], "h": ["softly", "quietly"], "f": ["softly", "quietly"]}


class Plot:
    """One plot skeleton: bindings of its variables and a list of beats, each with several wordings."""

    def __init__(self, name):
        self.name = name
        self.about = []
        self.cast = "any"
        self.friend = "any"
        self.theme = "joy"
        self.bindings = []
        self.beats = []  # (mark, wordings)


class Grammar:
    """Everything that plots.txt holds."""

    def __init__(self, path=HERE / "plots.txt"):
        self.macros, self.plots, self.minis = {}, [], []
        self.openings, self.closings = [], {}
        self._read(path)

    def _read(self, path):
        block, plot = None, None
        for raw in path.read_text().splitlines():
            line = raw.strip()
            if not line or line.startswith("#"):
                continue
            word, _, rest = line.partition(" ")
            if word == "macro":
                name, _, values = rest.partition(" = ")
                self.macros[name] = split_top(values)
            elif word == "macroblock":
                block = self.macros.setdefault(rest, [])
            elif word == "openings":
                block = self.openings
            elif word == "closings":
                block = self.closings.setdefault(rest, [])
            elif word in ("plot", "mini"):
                plot = Plot(rest)
                (self.plots if word == "plot" else self.minis).append(plot)
                block = None
            elif word in ("about", "cast", "theme", "friend") and plot and not plot.beats:
                value = rest.strip()
                setattr(plot, word, split_top(value) if word == "about" else value)
            elif word == "let":
                names, _, values = rest.partition(" = ")
                plot.bindings.append(([n.strip() for n in names.split(",")], split_top(values)))
            elif line in ("==", "--", "-?"):
                block = []
                plot.beats.append((line, block))
            else:
                block.append(line)


def split_top(text):
    """Splits at the bars that stand outside of all brackets."""
    parts, depth, start = [], 0, 0
    for i, c in enumerate(text):
        depth += (c == "[") - (c == "]")
        if c == "|" and depth == 0:
            parts.append(text[start:i].strip())
            start = i + 1
    return parts + [text[start:].strip()]


class Writer:
    """Renders one story. Keeps track of who was named last, so that a pronoun never points at the wrong one."""

    def __init__(self, grammar, rng):
        self.grammar, self.rng = grammar, rng
        self.values, self.cast = {}, {}
        self.last = self.before = self.turn = None
        self.introduced = set()
        self.said_when = False
        self.used = set()

    # --- the text of a template ---

    def choose(self, wordings):
        fresh = [w for w in wordings if w not in self.used] or wordings
        wording = self.rng.choice(fresh)
        self.used.add(wording)
        return wording

    def expand(self, template):
        """Resolves macros and bracketed choices until only variables and speeches are left."""
        def macro(match):
            name = match.group(1)
            if name == "ONE":
                name = "NEXT" if self.said_when else "ONE"
                self.said_when = True
            return self.choose(self.grammar.macros[name]) if name in self.grammar.macros else match.group(0)

        while True:
            before = template
            template = INNER_CHOICE.sub(lambda m: self.rng.choice(m.group(1).split("|")), template)
            if template == before:
                template = re.sub(r"\$([A-Z][A-Z0-9]+)\b", macro, template)
            if template == before:
                return template

    def render(self, template):
        template = self.expand(template)
        out, at = [], 0
        self.turn = None
        for match in TOKEN.finditer(template):
            out.append(template[at:match.start()])
            at = match.end()
            starts = sentence_starts("".join(out))
            if match.group(4):
                out.append(self.variable(match.group(4), starts))
            else:
                out.append(self.speech(*match.groups()[:3]) + NEW)
        out.append(template[at:])
        return tidy("".join(out))

    def spoken(self, who, template):
        """Renders the text inside of a speech: "my mother" where the hero speaks, "your mother" where the friend does."""
        def value(match):
            name = match.group(1)
            text = self.variable(name, False)
            if name == "e" and who != "e":
                text = re.sub(r"^(his|her) ", "my " if who == "h" else "your ", text)
            return text
        return VARIABLE.sub(value, template)

    def variable(self, name, starts):
        if name in self.values:
            return self.values[name]
        who, form = split_character(name, self.cast)
        person = self.cast[who]
        if form == "he" and starts and self.confusable(person):
            form = ""
        if form == "" or (form == "known" and who in self.introduced):
            return self.refer(who)
        if form in ("new", "known", "n"):
            self.mention(person)
            self.introduced.add(who)
        return person.form(form)

    def refer(self, who):
        """How the text calls a character; a friend who comes in unannounced is introduced on the spot."""
        person = self.cast[who]
        self.mention(person)
        if who == "f" and "f" not in self.introduced:
            self.introduced.add("f")
            return person.form("known")
        return person.refer(self.rng, self.cast.values())

    def mention(self, person):
        if self.last is not person:
            self.last, self.before = person, self.last

    def confusable(self, person):
        return self.last not in (None, person) and self.last.gender == person.gender

    def speech(self, who, verb, text):
        person = self.cast[who]
        clear = self.last is person and not (self.before and self.before.gender == person.gender)
        pronoun = clear and self.rng.random() < 0.6
        text = tidy(self.spoken(who, text), capital=True)
        first, rest = split_sentence(text)
        name = person.form("he") if pronoun else self.refer(who)
        mark, answers = first[-1], self.turn not in (None, who)
        self.mention(person)
        self.turn = who
        verb = verb or self.rng.choice(REPLY if mark == "." and answers else SAY[mark])
        tail = ""
        if mark == "." and verb == "said" and self.rng.random() < 0.12:
            tail = " " + self.rng.choice(MANNER[who])
        if self.rng.random() < 0.3:
            return f'^{name} {verb}{tail}, "{text}"'
        head = first[:-1] + "," if mark == "." else first
        told = f"{name} {verb}" if pronoun or self.rng.random() < 0.25 else f"{verb} {name}"
        return f'"{head}" {told}{tail}.' + (f' "{rest}"' if rest else "")

    # --- the story ---

    def bind(self, plot):
        for names, options in plot.bindings:
            parts = [self.render_value(p.strip()) for p in self.rng.choice(options).split(";")]
            self.values.update(zip(names, parts, strict=True))

    def render_value(self, template):
        return VARIABLE.sub(lambda m: self.variable(m.group(1), False), self.expand(template))

    def beats(self, plot):
        """The paragraphs of a plot."""
        paragraphs = [[]]
        for mark, wordings in plot.beats:
            if mark == "-?" and self.rng.random() < 0.5:
                continue
            if mark == "==" and paragraphs[-1] and self.rng.random() < 0.85:
                paragraphs.append([])
            paragraphs[-1].append(self.render(self.choose(wordings)))
        return paragraphs

    def story(self, plot, request_share=0.1):
        rng, grammar = self.rng, self.grammar
        self.cast, setting = make_cast(rng, plot.cast, plot.friend)
        self.values.update(setting)
        head = self.render(self.choose(self.openings(plot)))
        paragraphs = [[head]]
        if rng.random() < 0.22 and len(plot.beats) < 12:
            mini = rng.choice([m for m in grammar.minis if fits(m, self.cast["h"])])
            self.bind(mini)
            paragraphs += self.beats(mini)
        self.bind(plot)
        self.mention(self.cast["h"])
        body = self.beats(plot)
        if len(paragraphs) == 1 and rng.random() < 0.3:
            paragraphs[0] += body.pop(0)
        paragraphs += body
        close = self.render(self.choose(grammar.closings[plot.theme]))
        if rng.random() < 0.5:
            paragraphs.append([close])
        else:
            paragraphs[-1].append(close)
        if rng.random() < 0.12:
            paragraphs[-1].append(rng.choice(["The end.", "The End."]))
        text = "\n".join(" ".join(p) for p in paragraphs if p)
        if plot.about and rng.random() < request_share:
            text = self.request(plot) + "\n" + text
        return text

    def openings(self, plot):
        """A hero without a name can only be introduced as "a little fox", and a new friend comes later."""
        named, meets = self.cast["h"].name, "$fnew" in str(plot.beats)
        return [o for o in self.grammar.openings if (named or "$hnew" in o) and not (meets and "$fn" in o)]

    def request(self, plot):
        return self.render(self.choose(self.grammar.macros["REQUEST"]).replace("%", self.rng.choice(plot.about)))


def fits(plot, hero):
    return plot.cast == "any" or hero.kind in plot.cast.split() or hero.group in plot.cast.split()


def split_character(name, cast):
    if name in ("he", "him", "his", "self"):
        return "h", name
    if name[0] in cast:
        return name[0], name[1:]
    raise KeyError(f"no variable ${name}")


def sentence_starts(text):
    text = text.rstrip(" ^" + NEW)
    return not text or text[-1] in ".!?" or text.endswith(('."', '!"', '?"'))


def split_sentence(text):
    match = re.match(r"(.+?[.!?])\s+(.+)", text)
    if match and not re.search(r"\b(Mr|Mrs)\.$", match.group(1)):
        return match.group(1), match.group(2)
    return text, ""


def tidy(text, capital=True):
    """Articles, spaces and capital letters."""
    text = re.sub(r"\s+", " ", text).strip()
    text = re.sub(r"\b([Aa]) (?=(?:[aeiou]|hour|honest)(?!ne\b|seful|nicorn))(?!one\b|useful|unicorn)", r"\1n ", text)
    text = re.sub(r" ([,.!?])(?!\.)", r"\1", text)
    text = re.sub(r"\bso (?:so|very) ", "so ", text)
    text = re.sub(r"\b([Ii])n (?=an island|a (?:\w+ )?farm\b)", lambda m: "On " if m.group(1) == "I" else "on ", text)
    if capital:
        text = re.sub(r'^("?)([a-z])', lambda m: m.group(1) + m.group(2).upper(), text)
    text = re.sub(r'([.!?]) ("?)([a-z])', lambda m: f"{m.group(1)} {m.group(2)}{m.group(3).upper()}", text)
    text = re.sub(r'(?:\^|\x01( ))("?)(\w)', lambda m: (m.group(1) or "") + m.group(2) + m.group(3).upper(), text)
    return text.replace(NEW, "")


def stories(count, seed, grammar=None):
    """Yields (plot name, story)."""
    grammar = grammar or Grammar()
    rng = random.Random(seed)
    order = []
    for _ in range(count):
        if not order:
            order = list(grammar.plots)
            rng.shuffle(order)
        plot = order.pop()
        yield plot.name, Writer(grammar, rng).story(plot)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["sample", "write", "stats"])
    parser.add_argument("out", nargs="?")
    parser.add_argument("--count", type=int, default=None)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plot", help="only this plot")
    args = parser.parse_args()
    grammar = Grammar()
    if args.plot:
        grammar.plots = [p for p in grammar.plots if p.name == args.plot]
    if args.what == "sample":
        for name, text in stories(args.count or 5, args.seed, grammar):
            print(f"--- {name} ({len(text.split())} words)\n{text}\n")
    elif args.what == "write":
        blocks = [text for _, text in stories(args.count or 1000, args.seed, grammar)]
        Path(args.out).write_text("\n\n".join(blocks) + "\n")
    else:
        print_stats(grammar, args.count or 2000, args.seed)


def print_stats(grammar, count, seed):
    texts = [text for _, text in stories(count, seed, grammar)]
    lengths = sorted(len(t.split()) for t in texts)
    sentences = Counter(s for t in texts for s in re.split(r"(?<=[.!?])\s+", t))
    print(f"{len(grammar.plots)} plots, {len(grammar.minis)} episodes, {count} stories, {sum(map(len, texts))} bytes")
    print("words a story: min %d, 5%% %d, median %d, 95%% %d, max %d" % (
        lengths[0], lengths[count // 20], lengths[count // 2], lengths[-count // 20], lengths[-1]))
    print(f"{sum(sentences.values())} sentences, {len(sentences)} distinct; words in use: "
          f"{len(set(re.findall(r'[a-z]+', ' '.join(texts).lower())))}")
    for sentence, n in sentences.most_common(12):
        print(f"{n:6} {sentence}")


if __name__ == "__main__":
    main()
