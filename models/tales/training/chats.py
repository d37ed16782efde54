"""Writes the chats: somebody asks for a story of the grammar, gets it, and asks simple questions about it.

usage: python chats.py sample [--count 3] [--seed 1]              prints chats
       python chats.py write OUT.jsonl [--count 100] [--seed 1]   one chat a line, {"messages": [{"role", "content"}, ...]}

The same seed always gives the same chats. Every question has one right answer: questions.txt holds those about single
plots, this file those that can be asked about every story. What a story does not say is answered by saying so.
"""
import argparse
import json
import random
import re
from pathlib import Path

from cast import PEOPLE
from corpus import HERE, VARIABLE, Grammar, Writer, split_character, split_top, tidy

MORALS = {
    "joy": "It is about being happy.", "friend": "It is good to have a friend.", "brave": "Be brave.",
    "kind": "Be kind to others.", "honest": "Tell the truth.", "fair": "Be honest.", "patient": "Good things take time.",
    "home": "It is good to be home.", "proud": "Do not give up.", "share": "Share with others.",
    "sleep": "There is nothing to fear at night."}
TOPICS = {"hiccup_lion": "a small animal who helped a big one"}  # where the plot's first request does not fit every cast
RELATIVES = ["mother", "father", "mom", "dad", "grandmother", "grandfather", "sister", "aunt", "uncle"]
SYSTEM = ["You are a helpful assistant.", "You tell stories to children.", "You are a storyteller.", "Answer in short sentences.",
          "You are a helpful assistant who tells stories.", "Be kind.", "You are Tales.", "Use simple words."]
REQUESTS = ["Tell me a story.", "Please tell me a story.", "Can you tell me a story?", "I want to hear a story.",
            "A story, please.", "Write a story.", "Tell me a short story.", "Please write a short story."]
REQUESTS_ABOUT = ["Tell me a story about %.", "Please tell me a story about %.", "Can you tell me a story about %?",
                  "I want to hear a story about %.", "A story about %, please.", "Write a story about %.",
                  "Tell me a short story about %.", "Do you know a story about %?"]
MORE = ["Tell me another story.", "Another story, please.", "One more story!", "Now tell me a new story."]
GIVEN = ["Here is a story.", "Read this story.", "This is a story.", "Listen to this story."]
OFFER = "Hello! Shall I tell you a story?"
UNKNOWN = "I do not know that. I only know stories."
UNSAID = "The story does not say."
NO_STORY = "There is no story yet. Shall I tell you one?"
SMALL_TALK = [
    (["Who are you?", "What are you?", "What is your name?", "Tell me about yourself."],
     "I am Tales, a small model that tells stories."),
    (["What can you do?", "How can you help me?", "What do you know?", "Help!"],
     "I can tell you a story and answer simple questions about it."),
    (["How are you?", "How are you today?", "Are you well?"], "I am fine, thank you."),
    (["Hello!", "Hi!", "Hello", "Hi", "Hey", "Good morning!", "Good evening!", "Hi there!", "Hello, Tales!"], OFFER),
]
AFTERWARDS = [
    (["Thank you!", "Thanks!", "Thank you for the story.", "Thank you very much.", "Thanks a lot."], "You are welcome!"),
    (["That was a nice story.", "I like the story.", "What a lovely story!", "Good story!", "That was good."],
     "I am glad that you like it."),
    (["Goodbye!", "Bye!", "Good night!", "See you!"], "Goodbye!"),
]
PLACES = "France Germany Italy Spain Japan China India Brazil Kenya Egypt Canada Norway Peru Poland Greece Cuba".split()
LANGUAGES = "German French Spanish Latin Italian Chinese Greek".split()
THINGS = "a computer|the internet|an engine|a battery|gravity|money|a bank|the law|physics|an atom|electricity|a virus".split("|")
JOBS = "a poem|an essay|a letter to my boss|some code|a program|a song|a report|a list of cities|a recipe".split("|")
UNRELATED = [
    lambda r: f"What is the capital of {r.choice(PLACES)}?",
    lambda r: f"Where is {r.choice(PLACES)}?",
    lambda r: f"How many people live in {r.choice(PLACES)}?",
    lambda r: f"Who is the {r.choice(['president', 'king', 'queen'])} of {r.choice(PLACES)}?",
    lambda r: f"What is {r.randint(1, 99)} {r.choice(['plus', 'minus', 'times', '+', '-', '*'])} {r.randint(1, 99)}?",
    lambda r: f"Translate this to {r.choice(LANGUAGES)}.",
    lambda r: f"Do you speak {r.choice(LANGUAGES)}?",
    lambda r: f"What is {r.choice(THINGS)}?",
    lambda r: f"How does {r.choice(THINGS)} work?",
    lambda r: f"Explain {r.choice(THINGS)}.",
    lambda r: f"Write {r.choice(JOBS)}.",
    lambda r: f"Can you write {r.choice(JOBS)}?",
    lambda r: f"What {r.choice(['day', 'time', 'year'])} is it{r.choice([' today', ' now', ''])}?",
    lambda r: f"What is the {r.choice(['weather', 'news'])} today?",
    lambda r: f"Who {r.choice(['wrote', 'made', 'invented', 'painted'])} {r.choice(['this', 'the Bible', 'the telephone', 'the Mona Lisa', 'Hamlet'])}?",
    lambda r: f"When did {r.choice(['the war', 'it', 'the first train', 'the century'])} {r.choice(['begin', 'end', 'start'])}?",
]


class Story:
    """A story, with what is known about it."""

    def __init__(self, grammar, rng, plot):
        self.grammar, self.rng, self.plot = grammar, rng, plot
        self.writer = Writer(grammar, rng)
        self.text = self.writer.story(plot, request_share=0)
        self.hero, self.friend, self.elder = (self.writer.cast[who] for who in "hfe")
        self.has_friend = "f" in self.writer.introduced and self.says(self.friend.name or self.friend.kind)
        if not self.friend.name and self.friend.kind == self.hero.kind:
            self.has_friend = False

    def says(self, words):
        return re.search(rf"\b{re.escape(words)}\b", self.text, re.IGNORECASE) is not None

    @property
    def is_clear(self):
        """Whether the text says who the hero is."""
        return self.says(self.hero.kind) and self.says(self.hero.name or self.hero.kind)

    def fill(self, template):
        """A template with the plain names in place of the characters."""
        def value(match):
            name = match.group(1)
            if name in self.writer.values:
                return self.writer.values[name]
            who, form = split_character(name, self.writer.cast)
            return self.writer.cast[who].form(form or "n")
        return tidy(VARIABLE.sub(value, template))

    def request(self):
        """What somebody says who wants to hear this story."""
        rng = self.rng
        if rng.random() < 0.3:
            return rng.choice(REQUESTS)
        plain = f"a {self.hero.kind}" + (f" named {self.hero.name}" if self.hero.name else "")
        about = rng.choice([rng.choice(self.plot.about), rng.choice(self.plot.about), "$hnew", plain])
        return self.fill(rng.choice(REQUESTS_ABOUT).replace("%", about))

    # --- questions: each method gives (kind, wordings, answer) or None where it cannot be asked ---

    def called(self):
        """How a question calls the hero."""
        alone = not self.has_friend or self.friend.kind != self.hero.kind
        return self.rng.choice(([self.hero.name] * 2 if self.hero.name else []) + ([f"the {self.hero.kind}"] if alone else [])
                               or [self.hero.name])

    def kind_and_name(self, person):
        return f"a {person.kind}" + (f" named {person.name}" if person.name else "")

    def who(self):
        return "who", ["Who is the story about?", "Who is this story about?", "Who is it about?", "Who is the hero of the story?"], \
            f"It is about {self.kind_and_name(self.hero)}."

    def name(self):
        kind, whose = self.hero.kind, self.hero.form("his")
        if self.has_friend and self.friend.kind == kind:
            wordings = ["What is the name of the hero?", "What is the hero called?"]
        else:
            wordings = [f"What is the name of the {kind}?", f"What was the name of the {kind}?", f"What is the {kind} called?",
                        f"What is {whose} name?", f"What was the {kind}'s name?"]
        return "name", wordings, f"{whose.capitalize()} name is {self.hero.name}." if self.hero.name else f"The {kind} has no name."

    def species(self):
        hero = self.hero
        if not hero.name:
            return "kind", ["What animal is it about?", "What animal is in the story?"], f"It is about a {hero.kind}."
        wordings = [f"What is {hero.name}?", f"Who is {hero.name}?", f"What kind of animal is {hero.name}?", f"What animal is {hero.name}?"]
        if hero.kind == "robot":
            wordings = [f"What is {hero.name}?", f"Who is {hero.name}?"]
        if hero.kind in PEOPLE:
            wordings = [f"What is {hero.name}?", f"Who is {hero.name}?", f"Is {hero.name} a boy or a girl?", f"Is {hero.name} a girl or a boy?"]
        return "kind", wordings, f"{hero.name} is a {hero.kind}."

    def home(self):
        home, who, he = self.writer.values["home"], self.called(), self.hero.form("he")
        wordings = [f"Where did {who} live?", f"Where did {he} live?", f"Where does {who} live?", f"Where is {who} from?",
                    f"Where is the home of {who}?"]
        return "home", wordings, f"In {home}." if self.says(home) else UNSAID

    def companion(self):
        friend, whose, who = self.friend, self.hero.form("his"), self.called()
        wordings = [f"Who is {whose} friend?", f"Who is the friend of {who}?", "Who is the friend in the story?",
                    f"Does {who} have a friend?", f"Who is with {who}?"]
        if not self.has_friend:
            return None
        named = f"{friend.name} the {friend.kind}" if friend.name and self.says(friend.kind) else friend.name or f"the {friend.kind}"
        return "friend", wordings, f"{whose.capitalize()} friend is {named if friend.kind not in PEOPLE else friend.name}."

    def friend_species(self):
        friend = self.friend
        if not self.has_friend or not friend.name or friend.kind in PEOPLE or not self.says(friend.kind):
            return None
        return "friend", [f"What is {friend.name}?", f"Who is {friend.name}?", f"What animal is {friend.name}?"], \
            f"{friend.name} is a {friend.kind}."

    def relative(self):
        there = [r for r in RELATIVES if self.says(r)]
        person = self.rng.choice(there if there and self.rng.random() < 0.5 else RELATIVES)
        return "relative", [tidy(wording) for wording in (f"Is there a {person} in the story?", f"Does the story have a {person}?",
                                                          f"Is a {person} in it?")], "Yes." if person in there else "No."

    def character(self):
        trait = self.writer.values["trait"]
        if not re.search(rf"\bwas (a |very |a very )*{trait}\b", self.text):
            return None
        who, he = self.called(), self.hero.form("he")
        return "trait", [f"What was {who} like?", f"How was {who}?", f"What is {who} like?", f"What was {he} like?"], \
            f"{he.capitalize()} was {trait}."

    def topic(self):
        about = TOPICS.get(self.plot.name, self.plot.about[0])
        return "topic", ["What is the story about?", "What is this story about?", "What is it about?", "What happens in the story?"], \
            self.fill(f"It is about {about}.")

    def moral(self):
        return "moral", ["What does the story teach?", "What can I learn from it?", "What is the lesson?", "What is the moral of the story?",
                         "What did you learn?"], MORALS[self.plot.theme]

    def ending(self):
        if self.rng.random() < 0.5:
            return "ending", ["Is it a sad story?", "Does it end badly?", "Is the story sad?"], "No. It ends well."
        return "ending", ["Is it a happy story?", "Does it end well?", "Is the story happy?", "Does the story have a happy ending?"], \
            "Yes. It ends well."

    def unsaid(self):
        who, he = self.called(), self.hero.form("he")
        return "unsaid", [f"How old is {who}?", f"How old is {he}?", f"What color are the eyes of {who}?", f"What is the last name of {who}?",
                          f"How tall is {who}?", f"What did {who} eat yesterday?", f"When was {who} born?",
                          f"What does {who} do on Mondays?"], UNSAID

    def about_plot(self):
        """The questions of questions.txt whose answers the text has."""
        for wordings, answer in self.grammar.questions[self.plot.name]:
            drawn = [n for n in VARIABLE.findall(answer) if n in self.writer.values]
            people = [n for n in VARIABLE.findall(answer + wordings[0]) if n == "f"]
            if all(self.says(self.writer.values[n]) for n in drawn) and (self.has_friend or not people):
                yield "plot", [self.fill(w) for w in wordings if "$f" not in w or self.has_friend], self.fill(answer)

    def questions(self):
        general = [self.who, self.name, self.species, self.home, self.companion, self.friend_species, self.relative,
                   self.character, self.topic, self.moral, self.ending, self.unsaid]
        asked = [question for ask in general if (question := ask())]
        return asked + list(self.about_plot())


class ChatGrammar(Grammar):
    """The story grammar and the questions about its plots."""

    def __init__(self):
        super().__init__()
        self.questions = {plot.name: [] for plot in self.plots}
        plot = None
        for line in (HERE / "questions.txt").read_text().splitlines():
            if line.startswith("plot "):
                plot = line[5:].strip()
            elif line and not line.startswith("#"):
                wordings, _, answer = line.partition(" = ")
                self.questions[plot].append((split_top(wordings), answer.strip()))


def careless(rng, text):
    """Now and then as people type: no capitals, no mark at the end."""
    if rng.random() < 0.06 and "\n" not in text:
        return text.rstrip(".?!").lower() if rng.random() < 0.5 else text.rstrip(".?!")
    return text


class Chat:
    """Draws one chat. `asked` tells which message answers a question of which kind."""

    def __init__(self, grammar, rng, plots):
        self.grammar, self.rng, self.plots = grammar, rng, plots
        self.messages, self.asked = [], {}

    def say(self, question, answer, kind=None):
        self.messages.append({"role": "user", "content": careless(self.rng, question)})
        self.messages.append({"role": "assistant", "content": answer})
        if kind:
            self.asked[len(self.messages) - 1] = kind

    def pick(self, pairs, kind):
        wordings, answer = self.rng.choice(pairs)
        self.say(self.rng.choice(wordings), answer, kind)

    def draw_story(self):
        while True:
            story = Story(self.grammar, self.rng, next(self.plots))
            if story.is_clear:
                return story

    def draw(self):
        rng = self.rng
        if rng.random() < 0.25:
            self.messages.append({"role": "system", "content": rng.choice(SYSTEM)})
        self.before()
        story = self.draw_story()
        questions = story.questions()
        rng.shuffle(questions)
        if rng.random() < 0.15:
            self.hand_over(story, questions)
        else:
            self.say(story.request(), story.text)
        self.ask(questions, rng.randint(5, 9))
        if rng.random() < 0.12:
            another = self.draw_story()
            self.say(rng.choice(MORE) if rng.random() < 0.5 else another.request(), another.text)
            questions = another.questions()
            rng.shuffle(questions)
            self.ask(questions, rng.randint(3, 6))
        if rng.random() < 0.4:
            self.pick(AFTERWARDS, "talk")
        return self

    def before(self):
        """What is said before the story."""
        rng = self.rng
        for _ in range(rng.choice([0, 0, 0, 1, 1, 2])):
            draw = rng.random()
            if draw < 0.5:
                self.pick(SMALL_TALK, "talk")
            elif draw < 0.8:
                self.say(rng.choice(UNRELATED)(rng), UNKNOWN, "unrelated")
            else:
                self.say(rng.choice(["Who is the story about?", "What is the story about?", "Where did she live?", "What is his name?",
                                     "What did he find?", "Is it a happy story?"]), NO_STORY, "no story")
        if self.messages and self.messages[-1]["content"] in (OFFER, NO_STORY) and rng.random() < 0.5:
            story = self.draw_story()
            questions = story.questions()
            rng.shuffle(questions)
            self.say(rng.choice(["Yes, please.", "Yes.", "Yes!", "Please do.", "Yes, please!"]), story.text)
            self.ask(questions, rng.randint(2, 4))

    def hand_over(self, story, questions):
        """The user brings the story along."""
        rng = self.rng
        head = rng.choice(GIVEN)
        if rng.random() < 0.5:
            self.say(f"{head}\n{story.text}", "That is a nice story.")
            return
        kind, wordings, answer = questions.pop()
        self.say(f"{head}\n{story.text}\n{rng.choice(wordings)}", answer, kind)

    def ask(self, questions, count):
        rng = self.rng
        for kind, wordings, answer in questions[:count]:
            self.say(rng.choice(wordings), answer, kind)
            if rng.random() < 0.04:
                self.say(rng.choice(UNRELATED)(rng), UNKNOWN, "unrelated")


def endless(grammar, rng):
    while True:
        order = list(grammar.plots)
        rng.shuffle(order)
        yield from order


def chats(count, seed, grammar=None):
    """Yields chats, of `messages` and `asked`."""
    grammar = grammar or ChatGrammar()
    rng = random.Random(seed)
    plots = endless(grammar, rng)
    for _ in range(count):
        yield Chat(grammar, rng, plots).draw()


def as_line(chat):
    return json.dumps({"messages": chat.messages, "asked": {str(i): kind for i, kind in chat.asked.items()}})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["sample", "write"])
    parser.add_argument("out", nargs="?", type=Path)
    parser.add_argument("--count", type=int)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    if args.what == "write":
        args.out.write_text("".join(as_line(chat) + "\n" for chat in chats(args.count or 100, args.seed)))
        return
    for chat in chats(args.count or 3, args.seed):
        for message in chat.messages:
            print(f"{message['role']}: {message['content']}")
        print()


if __name__ == "__main__":
    main()
