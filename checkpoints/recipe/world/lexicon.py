"""The words of the world: numbers, colours, shapes, names and facts. Plain tables, no logic but number names."""

from __future__ import annotations

from muomni.speech.numbers import cardinal


def words(text: str) -> list[str]:
    """A table of words, written the short way."""
    return text.split()


def number_words(n: int) -> str:
    """The English name of -99…100: 21 -> "twenty-one", -3 -> "minus three"."""
    if n < 0:
        return f"minus {number_words(-n)}"
    return cardinal(n) if n == 100 else cardinal(n).replace(" ", "-")


ORDINALS = words("first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth")

COLOURS = words("red orange yellow green blue purple pink brown black white gray")
SHAPES = words("circle square triangle rectangle star cross heart")
SIZES = ("small", "big")

COLOUR_MIXTURES = {
    ("red", "blue"): "purple",
    ("red", "yellow"): "orange",
    ("blue", "yellow"): "green",
    ("red", "white"): "pink",
    ("black", "white"): "gray",
    ("red", "green"): "brown",
}

COLOUR_OF_THINGS = {
    "the sky": "blue", "grass": "green", "snow": "white", "blood": "red", "a banana": "yellow",
    "a lemon": "yellow", "a tomato": "red", "coal": "black", "chocolate": "brown", "milk": "white",
    "a flamingo": "pink", "a carrot": "orange", "an elephant": "gray", "the sun": "yellow", "a frog": "green",
    "the sea": "blue", "a strawberry": "red", "a raven": "black", "a pumpkin": "orange", "a plum": "purple",
}  # fmt: skip

OPPOSITES = (
    ("hot", "cold"), ("big", "small"), ("up", "down"), ("left", "right"), ("fast", "slow"), ("happy", "sad"),
    ("day", "night"), ("open", "closed"), ("light", "dark"), ("young", "old"), ("hard", "soft"), ("wet", "dry"),
    ("full", "empty"), ("strong", "weak"), ("rich", "poor"), ("early", "late"), ("high", "low"), ("near", "far"),
    ("clean", "dirty"), ("good", "bad"), ("loud", "quiet"), ("long", "short"), ("yes", "no"), ("in", "out"),
    ("above", "below"), ("first", "last"), ("thick", "thin"), ("easy", "difficult"), ("sweet", "sour"),
    ("always", "never"), ("before", "after"), ("start", "end"), ("front", "back"),
)  # fmt: skip

DAYS = words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
MONTHS = words("January February March April May June July August September October November December")
MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

CAPITALS = {
    "France": "Paris", "Germany": "Berlin", "Italy": "Rome", "Spain": "Madrid", "England": "London",
    "Japan": "Tokyo", "China": "Beijing", "Russia": "Moscow", "Egypt": "Cairo", "Greece": "Athens",
    "Portugal": "Lisbon", "Austria": "Vienna", "Poland": "Warsaw", "Norway": "Oslo", "Ireland": "Dublin",
    "Canada": "Ottawa", "India": "New Delhi", "Sweden": "Stockholm", "Cuba": "Havana", "Kenya": "Nairobi",
}  # fmt: skip

YOUNG_ANIMALS = {
    "dog": "puppy", "cat": "kitten", "cow": "calf", "horse": "foal", "sheep": "lamb", "duck": "duckling",
    "bear": "cub", "goat": "kid", "hen": "chick", "frog": "tadpole",
}  # fmt: skip

ANIMAL_SOUNDS = {
    "dog": "barks", "cat": "meows", "cow": "moos", "horse": "neighs", "duck": "quacks", "lion": "roars",
    "bee": "buzzes", "snake": "hisses", "wolf": "howls", "pig": "grunts",
}  # fmt: skip

LEGS = {
    "dog": 4, "cat": 4, "cow": 4, "horse": 4, "spider": 8, "ant": 6, "bee": 6, "bird": 2, "duck": 2, "snake": 0,
    "fish": 0, "frog": 4, "hen": 2, "lion": 4,
}  # fmt: skip

SHAPE_SIDES = {"triangle": 3, "square": 4, "rectangle": 4, "pentagon": 5, "hexagon": 6, "octagon": 8}

QUANTITIES = {  # (how many X are in a Y) -> number
    ("days", "week"): 7, ("months", "year"): 12, ("hours", "day"): 24, ("minutes", "hour"): 60,
    ("seconds", "minute"): 60, ("eggs", "dozen"): 12, ("seasons", "year"): 4, ("years", "century"): 100,
    ("letters", "alphabet"): 26,
}  # fmt: skip

NAMES = words(
    "Anna Ben Clara David Emma Frank Grace Henry Ida Jack Kate Leo Maria Nina Oscar Paul Rosa Sam Tom Vera Will "
    "Zoe Alice Bob Eva Felix Hugo Jane Lucy Mark Nora Otto Peter Ruth Simon Tina"
)
HELD_OUT_NAMES = words("Adam Bella Carl Diana Eric Fiona George Helen Ivan Julia Kevin Laura")

PARTS = {
    "Thinker": "reads pictures, sounds and words and writes the reply",
    "Talker": "turns the reply into codes of speech",
    "vision encoder": "turns a picture into features that the Thinker reads",
    "audio encoder": "turns sound into features that the Thinker reads",
    "codec": "turns codes of speech into a spectrogram",
    "vocoder": "turns a spectrogram into sound",
    "tokenizer": "cuts text into small pieces",
}

SIMPLE_FACTS = (  # (direct questions, clauses for "tell me …", the reply); the last direct question is held out
    (("What do bees make?", "Which food comes from bees?", "What is made by bees?"), ("what bees make",),
     "Bees make honey."),
    (("What is frozen water called?", "What does water become when it freezes?", "What do we call frozen water?"),
     ("what frozen water is called",), "Frozen water is ice."),
    (("Where does the sun rise?", "In which direction does the sun rise?", "On which side does the sun come up?"),
     ("where the sun rises",), "The sun rises in the east."),
    (("Where does the sun set?", "In which direction does the sun set?", "On which side does the sun go down?"),
     ("where the sun sets",), "The sun sets in the west."),
    (("Which planet do we live on?", "What is our planet called?", "What is the name of our planet?"),
     ("the name of our planet", "which planet we live on"), "We live on the Earth."),
    (("What goes around the Earth?", "What circles the Earth?", "What moves around the Earth?"),
     ("what goes around the Earth",), "The Moon goes around the Earth."),
    (("Which season comes after winter?", "What follows winter?", "What season comes after winter?"),
     ("which season comes after winter",), "Spring comes after winter."),
    (("Which season comes after summer?", "What follows summer?", "What season comes after summer?"),
     ("which season comes after summer",), "Autumn comes after summer."),
    (("What do fish live in?", "Where do fish live?", "In what do fish live?"), ("where fish live",),
     "Fish live in water."),
    (("Where do birds lay eggs?", "Where does a bird lay its eggs?", "In what do birds lay their eggs?"),
     ("where birds lay eggs",), "Birds lay eggs in a nest."),
    (("Which is the biggest animal?", "What is the largest animal?", "What is the biggest animal?"),
     ("what the biggest animal is", "which animal is the biggest"), "The blue whale is the biggest animal."),
    (("Which animal has a long trunk?", "What animal has a trunk?", "Who has a long trunk?"),
     ("which animal has a trunk",), "The elephant has a trunk."),
    (("What do you read?", "What can people read?", "What do people read?"), ("what people read",),
     "People read books."),
    (("What do cows give?", "What drink do we get from cows?", "What do we get from a cow?"),
     ("what cows give",), "Cows give milk."),
    (("What do plants need?", "What does a plant need to grow?", "What do plants need to grow?"),
     ("what plants need",), "Plants need water and light."),
    (("What do you use to see?", "With what do people see?", "What do people see with?"), ("what people see with",),
     "People see with their eyes."),
    (("What do people hear with?", "With what do people hear?", "What do people use to hear?"),
     ("what people hear with",), "People hear with their ears."),
)  # fmt: skip
