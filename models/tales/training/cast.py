"""The characters and places of the stories: who they are, how a text refers to them, where they live."""

BOYS = """Tom Ben Max Sam Tim Jack Leo Finn Oscar Noah Hugo Theo Milo Peter Luke Adam David Daniel Henry George
Oliver Felix Simon Paul Eric Joe Will Bob Charlie Alex Nico Omar Ravi Kenji Mateo Ali Ivan Anton Jonah Toby
Arthur Freddie Harry Jamie Eli Owen Robin Walter Martin Emil""".split()
GIRLS = """Lily Anna Mia Lucy Sara Emma Nora Ruby Ella Rosa Ivy Clara Zoe Jane Alice Sophie Maya Amy Kate Molly
Grace Hannah Julia Laura Mary Nina Olivia Penny Rose Sally Susie Tara Eva Leila Priya Yuki Elena Ada Beth Chloe
Eliza Flora Greta Heidi Ida Kira Luna Maria Stella Wendy""".split()
HE_ANIMALS = """Pip Rusty Bruno Olly Biscuit Barnaby Max Milo Teddy Oscar Bramble Patch Rocky Buddy Toby Spot
Benny Hugo Fergus Otto Jasper Rufus Monty Basil Tuck Scout Fred Nibbles Leo Sammy""".split()
SHE_ANIMALS = """Dot Hazel Willow Bella Coco Daisy Pepper Tilly Fern Poppy Nutmeg Luna Rosie Mimi Ginger Honey
Bluebell Molly Olive Pearl Maple Clover Penny Dolly Lottie Ruby Kiki Minnie Lulu Betty""".split()

PEOPLE = {"boy": "he", "girl": "she"}
FOREST = ["fox", "rabbit", "bear", "mouse", "squirrel", "hedgehog", "badger", "deer", "owl", "raccoon", "beaver"]
POND = ["duck", "frog", "turtle", "otter"]
PETS = ["cat", "dog", "kitten", "puppy"]
FARM = ["goat", "pig", "lamb", "donkey", "pony", "hen", "cow"]
JUNGLE = ["lion", "elephant", "monkey", "tiger", "parrot", "giraffe"]
ANIMALS = FOREST + POND + PETS + FARM + JUNGLE + ["penguin", "bird"]
GROUPS = {"human": list(PEOPLE), "animal": ANIMALS, "forest": FOREST, "pond": POND, "pets": PETS, "farm": FARM,
          "jungle": JUNGLE, "any": None}
WINGED = {"owl", "duck", "hen", "parrot", "penguin", "bird"}
HOOFED = {"goat", "lamb", "donkey", "pony", "cow", "deer", "giraffe", "pig"}

BIG = {"lion", "tiger", "elephant", "bear"}
SMALL = {"mouse", "frog", "rabbit", "bird", "hedgehog", "squirrel"}

SIZES = ["little"] * 6 + ["small"] * 3 + ["young"] * 2
LOOKS = ["round", "tiny", "shy", "friendly", "clever", "cheerful", "merry", "gentle", "brave", "curious"]
HUMAN_LOOKS = ["little", "little", "small", "young", "kind", "clever", "cheerful", "curious", "quiet", "brave"]

TRAITS = [
    ("kind", "always tried to help others"), ("kind", "liked to share with everyone"),
    ("curious", "asked a lot of questions"), ("curious", "wanted to know how everything worked"),
    ("shy", "did not like to talk to strangers"), ("shy", "often hid behind [a tree|a big leaf|the door]"),
    ("cheerful", "sang all day long"), ("cheerful", "smiled at everyone"),
    ("clever", "loved to solve puzzles"), ("clever", "had many good ideas"),
    ("brave", "was not afraid of many things"), ("gentle", "never hurt even a fly"),
    ("busy", "could never sit still"), ("playful", "liked to run and jump"), ("dreamy", "liked to watch the clouds"),
    ("careful", "always looked twice before a jump"), ("quiet", "liked to listen more than to talk"),
]

HUMAN_HOMES = [
    ("a small house by the river", "the village"), ("a little village near the sea", "the village"),
    ("a yellow house at the end of the street", "the town"), ("a small town at the foot of a hill", "the town"),
    ("a farm with many hens", "the farm"), ("a tall house in a busy city", "the city"),
    ("a white cottage near the woods", "the village"), ("a small village between two mountains", "the valley"),
    ("a quiet valley full of flowers", "the valley"), ("a house with a blue door", "the town"),
    ("a little red house on a hill", "the village"), ("an old mill beside a stream", "the valley"),
]
FOREST_HOMES = [
    ("a cozy den under an old oak tree", "the forest"), ("a big green forest", "the forest"),
    ("a hollow log near the stream", "the woods"), ("a warm hole at the edge of the woods", "the woods"),
    ("a quiet forest full of tall trees", "the forest"), ("a small home between the roots of a tree", "the forest"),
    ("a sunny meadow next to the forest", "the meadow"),
]
HOMES = {
    "forest": FOREST_HOMES,
    "pond": [("a quiet pond", "the pond"), ("a pond with green reeds", "the pond"), ("a slow river", "the river"),
             ("a blue lake in the hills", "the lake")],
    "pets": [("a warm house with a red door", "the town"), ("a farm near a little village", "the farm"),
             ("a small house with a big garden", "the garden"), ("a cozy house by the sea", "the village")],
    "farm": [("a sunny farm", "the farm"), ("a big red barn", "the farm"), ("a green farm in a valley", "the valley"),
             ("a farm on a hill", "the farm")],
    "jungle": [("a green jungle", "the jungle"), ("a jungle full of flowers", "the jungle"),
               ("a wide land of yellow grass", "the grassland")],
    "penguin": [("a snowy land by the cold sea", "the snow"), ("an island of ice", "the ice")],
    "bird": [("a nest in a tall tree", "the forest"), ("a nest above the garden", "the garden")],
    "dragon": [("a cave high on a mountain", "the mountain"), ("a dark cave above the valley", "the valley"),
               ("an old castle on a hill", "the hills")],
    "robot": [("a small workshop", "the town"), ("a house full of clocks and machines", "the city"),
              ("a toy shop in a busy street", "the town")],
}

PARENTS = [("$his mother", "she", "Mama"), ("$his father", "he", "Papa"), ("$his mom", "she", "Mom"),
           ("$his dad", "he", "Dad"), ("$his grandmother", "she", "Grandma"), ("$his grandfather", "he", "Grandpa")]
HUMAN_ELDERS = PARENTS * 2 + [("$his big sister", "she", "sister"), 
                              ("$his aunt", "she", "Auntie"), ("$his uncle", "he", "Uncle")]
WISE = [("the old owl", "he", "Owl"), ("the wise old turtle", "she", "Turtle"), ("the old bear", "he", "Bear")]

PRONOUNS = {
    "he": {"he": "he", "him": "him", "his": "his", "self": "himself"},
    "she": {"he": "she", "him": "her", "his": "her", "self": "herself"},
    "it": {"he": "it", "him": "it", "his": "its", "self": "itself"},
}
SYLLABLES = ["ba", "bo", "da", "di", "fa", "fi", "ka", "ki", "la", "li", "lo", "ma", "mi", "mo", "na", "ni", "no",
             "pa", "pi", "ra", "ri", "ro", "sa", "ta", "ti", "to", "va", "vi", "wi", "za", "zo"]


class Character:
    def __init__(self, kind, gender, name=None, look="little", group="animal", title=None):
        self.kind, self.gender, self.name, self.look, self.group = kind, gender, name, look, group
        self.title = title  # a fixed way to refer to the character, such as "his mother"
        self.call = title
        self.owner = None

    def refer(self, rng, others):
        if self.title:
            return self.title
        alone = sum(1 for o in others if o.kind == self.kind) == 1
        if self.name and not (alone and rng.random() < (0.06 if self.kind in PEOPLE else 0.16)):
            return self.name
        return f"the {self.look} {self.kind}" if rng.random() < 0.35 else f"the {self.kind}"

    def form(self, form):
        words = {
            "n": self.name or f"the {self.kind}",
            "kind": self.kind,
            "look": self.look,
            "new": f"a {self.look} {self.kind}" + (f" named {self.name}" if self.name else ""),
            "known": self.known(),
            "call": self.call or self.name or f"little {self.kind}",
            "child": "daughter" if self.gender == "she" else "son",
            "hand": limb(self.kind), "hands": limb(self.kind) + "s", "feet": feet(self.kind),
        }
        words.update(PRONOUNS[self.gender])
        return words[form]

    def known(self):
        """The friend that the hero has already: "his friend Dot the rabbit"."""
        whose = PRONOUNS[self.owner.gender]["his"] if self.owner else "the"
        if not self.name:
            return f"{whose} friend the {self.kind}"
        return f"{whose} friend {self.name}" + ("" if self.kind in PEOPLE else f" the {self.kind}")


def limb(kind):
    if kind in PEOPLE or kind in ("monkey", "robot"):
        return "hand"
    if kind in WINGED:
        return "wing"
    return "hoof" if kind in HOOFED else "paw"


def feet(kind):
    return "feet" if kind in PEOPLE or kind in WINGED or kind in ("monkey", "robot", "frog") else limb(kind).replace("hoof", "hoove") + "s"


def group_of(kind):
    for group in ("forest", "pond", "pets", "farm", "jungle"):
        if kind in GROUPS[group]:
            return group
    return "human" if kind in PEOPLE else kind


def kinds_of(spec):
    """The kinds that a plot's cast line allows."""
    if spec == "any":
        return ["boy", "girl"] * 12 + ANIMALS
    return [k for word in spec.split() for k in (GROUPS[word] if word in GROUPS else [word])]


def make_name(rng, kind, gender, taken):
    if rng.random() < 0.07:
        name = "".join(rng.sample(SYLLABLES, 2)).capitalize()
    elif kind in PEOPLE or rng.random() < 0.3:
        name = rng.choice(BOYS if gender == "he" else GIRLS)
    else:
        name = rng.choice(HE_ANIMALS if gender == "he" else SHE_ANIMALS)
    return name if name not in taken else make_name(rng, kind, gender, taken)


def make_character(rng, kinds, taken=(), prefer=None):
    kind = rng.choice(kinds)
    gender = PEOPLE.get(kind) or (prefer if prefer and rng.random() < 0.8 else rng.choice(["he", "she"]))
    if kind in PEOPLE:
        look = rng.choice(HUMAN_LOOKS)
    else:
        look = rng.choice(SIZES if rng.random() < 0.7 else LOOKS)
    if kind in ("kitten", "puppy", "lamb", "mouse") and look in ("young",):
        look = "little"
    return Character(kind, gender, make_name(rng, kind, gender, taken), look, group_of(kind))


def make_friend(rng, hero, spec):
    """A second character who fits to the first, mostly of the other gender so that pronouns stay clear."""
    other = "she" if hero.gender == "he" else "he"
    if spec != "any":
        kinds = kinds_of(spec)
    elif hero.group == "human":
        kinds = ["boy", "girl"]
    elif hero.group in ("forest", "pond", "farm"):
        kinds = FOREST + POND if hero.group != "farm" else FARM + PETS
    elif hero.group in GROUPS:
        kinds = GROUPS[hero.group]
    else:
        kinds = FOREST + ["boy", "girl"]
    kinds = [k for k in kinds if k != hero.kind or k in PEOPLE] or kinds
    if set(kinds) <= set(PEOPLE):
        wanted = [k for k in kinds if PEOPLE[k] == other]
        kinds = wanted * 3 + kinds
    friend = make_character(rng, kinds, {hero.name}, other)
    if friend.kind in BIG and hero.kind in SMALL:
        friend.look = rng.choice(["big", "strong", "proud", "great"])
    return friend


def make_elder(rng, hero):
    if hero.kind == "robot":
        title, gender, call = rng.choice([("the old inventor", "she", "Inventor"), ("the clockmaker", "he", "sir")])
    elif hero.group == "human":
        title, gender, call = rng.choice(HUMAN_ELDERS)
    else:
        title, gender, call = rng.choice(PARENTS + [w for w in WISE if hero.kind not in w[0]])
    elder = Character(title.split()[-1], gender, title=title.replace("$his", PRONOUNS[hero.gender]["his"]))
    elder.call = call
    return elder


def make_cast(rng, hero_spec, friend_spec):
    hero = make_character(rng, kinds_of(hero_spec))
    friend = make_friend(rng, hero, friend_spec)
    friend.owner = hero
    if hero.kind not in PEOPLE and friend.kind != hero.kind and rng.random() < 0.18:
        hero.name = friend.name = None  # "the little fox" all through the story
    elder = make_elder(rng, hero)
    if elder.gender == hero.gender and rng.random() < 0.5:
        elder = make_elder(rng, hero)
    home, land = rng.choice(HUMAN_HOMES if hero.group == "human" else HOMES[hero.group])
    trait, habit = rng.choice(TRAITS)
    for bracket in ("[a tree|a big leaf|the door]",):
        habit = habit.replace(bracket, rng.choice(bracket[1:-1].split("|")))
    return {"h": hero, "f": friend, "e": elder}, {"home": home, "land": land, "trait": trait, "habit": habit}
