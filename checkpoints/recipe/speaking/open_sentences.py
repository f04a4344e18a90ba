"""Plain English sentences about anything, from patterns and word lists: what a person might type.

The word lists hold common words; every ninth of each is held out of training, and so are some patterns. An
evaluation sentence has a held-out pattern or a held-out word, mostly both, so it was never trained.
"""

# ruff: noqa: SIM905  word lists read better as text

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from recipe.seeds import Split, is_training

HELD_OUT_EVERY = 9

LISTS: dict[str, tuple[str, ...]] = {
    "person": tuple(
        "farmer teacher doctor nurse baker sailor painter writer neighbor driver lawyer student soldier gardener "
        "carpenter singer dentist mechanic librarian scientist engineer pilot tailor butcher fisherman musician "
        "waiter clerk judge mayor captain child boy girl woman man mother father brother sister uncle aunt cousin "
        "grandmother grandfather friend guest stranger king queen poet actor dancer cook guard hunter shepherd "
        "photographer plumber electrician journalist".split()
    ),
    "thing": tuple(
        "book letter umbrella hammer basket bottle bicycle camera chair table lamp candle clock kettle blanket "
        "pillow mirror ladder bucket shovel piano guitar violin drum jacket glove boot scarf hat shirt pocket ring "
        "coin ticket map newspaper pencil notebook envelope box key lock rope wheel engine boat anchor sail tent "
        "wallet suitcase telephone radio television computer picture statue carpet curtain plate spoon knife fork "
        "glass cup jar apple lemon melon sandwich cake pie loaf cheese egg onion potato carrot mushroom pumpkin "
        "flower seed branch leaf feather stone shell brick nail needle button thread magnet microscope telescope "
        "compass whistle helmet trumpet parcel postcard puzzle kite balloon".split()
    ),
    "animal": tuple(
        "dog cat horse cow sheep goat pig rabbit squirrel mouse fox wolf bear deer lion tiger elephant monkey camel "
        "donkey duck goose swan eagle owl crow sparrow pigeon parrot turtle lizard snake frog fish shark whale "
        "dolphin spider butterfly bee beetle hedgehog badger otter penguin kangaroo".split()
    ),
    "place": tuple(
        "garden kitchen market station harbor village city museum library school hospital church castle forest "
        "valley mountain river lake beach island desert bridge tunnel factory office theater restaurant hotel "
        "airport stadium prison farm barn mill bakery garage cellar attic balcony courtyard meadow orchard "
        "playground cemetery lighthouse university laboratory warehouse".split()
    ),
    "adjective": tuple(
        "old young small large heavy light bright dark quiet noisy clean dirty cheap expensive broken empty full "
        "narrow wide short tall thin thick soft hard smooth rough warm cold dry wet fresh strange famous ordinary "
        "beautiful ugly simple difficult careful careless honest lazy clever foolish brave gentle proud hungry "
        "thirsty tired nervous cheerful lonely wooden golden silver yellow purple brown gray pale heavy modern "
        "ancient dangerous friendly valuable curious delicate enormous tiny rusty dusty".split()
    ),
    "past": tuple(
        "found lost bought sold carried dropped painted repaired borrowed forgot hid noticed wanted cleaned broke "
        "stole returned followed described photographed examined measured wrapped lifted pushed pulled kicked "
        "touched caught threw moved kept opened closed ordered received delivered collected admired copied "
        "destroyed discovered designed imagined mentioned needed preferred protected recognized remembered".split()
    ),
    "going": tuple(
        "walked ran hurried traveled drove sailed rode climbed wandered marched jumped crept returned moved rushed "
        "hiked swam escaped vanished disappeared".split()
    ),
    "doing": tuple(
        "waiting sleeping working singing reading writing cooking dancing laughing crying talking smiling resting "
        "fishing digging playing studying swimming painting shouting whispering dreaming listening hiding".split()
    ),
    "verb": tuple(
        "open close find buy sell carry repair paint clean borrow move hide draw measure lift examine describe "
        "collect deliver forget remember explain choose follow protect replace return wash sharpen weigh count "
        "polish decorate".split()
    ),
    "adverb": tuple(
        "slowly quickly quietly carefully suddenly gently happily sadly proudly secretly easily finally rarely "
        "usually often always never almost nearly certainly clearly loudly politely nervously patiently "
        "immediately eventually".split()
    ),
    "day": tuple("Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()),
    "month": tuple(
        "January February March April May June July August September October November December".split()
    ),
    "time": (
        "this morning",
        "last night",
        "yesterday",
        "two weeks ago",
        "before sunset",
        "after dinner",
        "at midnight",
        "in the afternoon",
        "early in the morning",
        "during the storm",
        "every winter",
        "all summer",
        "for three hours",
        "since last autumn",
        "before the meeting",
        "at noon",
        "once a week",
        "a year later",
        "the next day",
        "after the war",
        "in the spring",
        "until dawn",
        "for a long time",
        "on the first of May",
    ),
    "weather": tuple("rain snow wind storm fog thunder heat frost sunshine hail drought lightning".split()),
    "substance": tuple(
        "water milk coffee tea bread butter sugar salt rice soup honey wood iron gold silver paper leather cotton "
        "wool sand clay oil smoke dust ink flour vinegar chocolate cement plastic rubber copper".split()
    ),
    "number": tuple(
        "two three four five six seven eight nine ten eleven twelve thirteen fifteen eighteen twenty thirty forty "
        "fifty sixty seventy eighty ninety".split()
    ),
    "name": tuple(
        "Alice Robert Martha Edward Helen Walter Susan George Laura Philip Margaret Daniel Rachel Arthur Julia "
        "Vincent Emily Thomas Sophie Patrick Barbara Victor Diana Leonard Olivia Samuel".split()
    ),
    "idea": tuple(
        "truth secret question answer problem story song journey mistake promise reason plan dream lesson rumor "
        "habit memory project invention experiment theory decision argument conversation surprise celebration "
        "adventure competition opinion advice".split()
    ),
    "feeling": tuple(
        "angry happy sorry afraid proud tired surprised worried jealous grateful bored calm ashamed excited "
        "confused disappointed embarrassed".split()
    ),
}
"""Word lists by the name a pattern calls them by."""

PATTERNS = (
    "The <adjective> <person> <past> the <thing>.",
    "The <person> <past> a <adjective> <thing> near the <place>.",
    "A <adjective> <animal> <going> across the <place>.",
    "She <past> the <thing> <time>.",
    "He <past> <number> <thing>s for the <person>.",
    "They <going> to the <place> <time>.",
    "My <person> <past> an old <thing> in the <place>.",
    "Our <person> is <doing> in the <place>.",
    "The <animal> was <doing> under the <thing>.",
    "Please <verb> the <thing> before you leave the <place>.",
    "Can you <verb> the <adjective> <thing>?",
    "Did the <person> <verb> the <thing>?",
    "Why did you <verb> the <thing> <time>?",
    "Where can I <verb> a <adjective> <thing>?",
    "Who <past> the <thing> in the <place>?",
    "There is a <thing> on the <thing>.",
    "There are <number> <animal>s in the <place>.",
    "The <place> was full of <substance> and <substance>.",
    "We need more <substance> for the <thing>.",
    "The <weather> lasted for <number> days.",
    "After the <weather>, the <place> was <adjective> and quiet.",
    "It was a <adjective> day in <month>.",
    "On <day>, the <person> <going> through the <place>.",
    "<name> and <name> <past> the <thing> together.",
    "<name> told me a <idea> about the <place>.",
    "I do not remember the <idea>, but it was <adjective>.",
    "The <person> was <feeling> because of the <weather>.",
    "Nobody <past> the <idea>, not even the <person>.",
    "If you <verb> the <thing>, I will <verb> the <thing>.",
    "When the <person> came home, the <animal> was <doing>.",
    "The <thing> is made of <substance> and <substance>.",
    "This <thing> costs <number> dollars.",
    "I have never seen such a <adjective> <animal>!",
    "What a <adjective> <idea>!",
    "He <adverb> <past> the <thing> and <going> away.",
    "She is too <feeling> to <verb> the <thing>.",
    "The <person> has <number> <animal>s and a <animal>.",
    "You should <verb> your <thing> <time>.",
    "Let us <verb> the <thing> and go to the <place>.",
    "The road to the <place> is <adjective> in <month>.",
    "A <person> with a <adjective> <thing> was <doing> by the door.",
    "The <idea> of the <person> made everyone <feeling>.",
    "I would like a cup of tea and some <substance>.",
    "Most <animal>s are <adjective> and <adjective>.",
    "The old <place> has <number> windows and a <adjective> door.",
    "Is the <place> still open on <day>?",
    "He works in a <place>, and she works in a <place>.",
    "The <thing> fell from the <thing> and broke.",
    "Every <person> knows how to <verb> a <thing>.",
    "My <thing> is more <adjective> than yours.",
)
HELD_OUT_PATTERNS = (
    "The <person> who <past> the <thing> is <doing> in the <place>.",
    "She put the <adjective> <thing> behind the <thing>.",
    "Neither the <person> nor the <animal> <past> the <thing>.",
    "Before the <weather> came, we <adverb> <going> back to the <place>.",
    "It is <adverb> easy to <verb> a <thing> made of <substance>.",
    "How many <animal>s did the <person> see <time>?",
    "<name> is <feeling>, but <name> is not.",
    "The <number> <person>s talked about the <idea> for hours.",
    "A <animal> sat on the <thing> and looked at the <person>.",
    "Without <substance>, the <place> would be <adjective>.",
    "I thought the <place> was <adjective>, and I was right.",
    "Take the <thing> to the <place> on <day>, please.",
)
IRREGULAR = {
    "knife": "knives", "loaf": "loaves", "leaf": "leaves", "shelf": "shelves", "mouse": "mice", "goose": "geese",
    "sheep": "sheep", "deer": "deer", "fish": "fish", "wolf": "wolves", "child": "children", "man": "men",
    "woman": "women", "fisherman": "fishermen", "scarf": "scarves",
}  # fmt: skip
SLOT = re.compile(r"<(\w+)>(s?)")


def plural(noun: str) -> str:
    """ "box" -> "boxes"."""
    if noun in IRREGULAR:
        return IRREGULAR[noun]
    if noun.endswith(("s", "x", "ch", "sh")) or noun in ("potato", "tomato"):
        return f"{noun}es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}s"


def choices(name: str, held_out: bool) -> Sequence[str]:
    """The words of a list that training has, or those held out of it."""
    return [word for i, word in enumerate(LISTS[name]) if (i % HELD_OUT_EVERY == 4) == held_out]


def open_english(rng: np.random.Generator, split: Split) -> str:
    """One sentence, with capitals and marks. Outside training it has a held-out pattern or a held-out word."""
    if is_training(split):
        return _filled(PATTERNS[int(rng.integers(len(PATTERNS)))], rng, held_out=0.0)
    if rng.random() < 0.7:
        return _filled(HELD_OUT_PATTERNS[int(rng.integers(len(HELD_OUT_PATTERNS)))], rng, held_out=0.3)
    return _filled(PATTERNS[int(rng.integers(len(PATTERNS)))], rng, held_out=1.0)


def _filled(pattern: str, rng: np.random.Generator, held_out: float) -> str:
    def fill(slot: re.Match[str]) -> str:
        words = choices(slot[1], held_out > 0 and rng.random() < held_out)
        word = words[int(rng.integers(len(words)))]
        return plural(word) if slot[2] else word

    text = SLOT.sub(fill, pattern)
    text = re.sub(r"\b([Aa]) (?=[aeiou](?!n?iv))", r"\1n ", text)
    return re.sub(r"\b([Aa])n (?=[^aeiou])", r"\1 ", text)
