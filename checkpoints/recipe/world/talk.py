"""What muomni does not know, its parts, names, and words to repeat."""

from __future__ import annotations

import numpy as np

from recipe.seeds import Split, is_training

from .arithmetic import sentence
from .lexicon import HELD_OUT_NAMES, NAMES, PARTS, words
from .phrasing import Ask, chance, pick

DO_NOT_KNOW = "I do not know."

UNKNOWN = (
    "Who won the game last night?", "What is the weather like today?", "Will it rain tomorrow?", "What time is it?",
    "Who is the president?", "How old is the universe?", "What is the meaning of life?", "How much does gold cost?",
    "Who wrote this song?", "What is my password?", "Where are my keys?", "What did I eat yesterday?",
    "Write a poem about love.", "Translate this into French.", "How do I cook rice?", "What is the news?",
    "Who was Napoleon?", "How does a car engine work?", "What is quantum physics?", "How tall is that mountain?",
    "When was the war?", "Which phone should I buy?", "What is the best film?", "Who is your favourite singer?",
    "How far is the station?", "Can you book a table?", "Play some music.", "Open the door.", "Call my mother.",
    "What is the price of a ticket?", "How do I fix my bike?", "Who discovered penicillin?", "Where is the hotel?",
    "What is the population of the town?", "Why is my computer slow?", "Which team is the best?",
    "What will happen tomorrow?", "When does the train leave?", "How do I get to the airport?",
    "What is a black hole?", "Explain the theory of relativity.", "Write a letter to my boss.",
    "What is my phone number?", "How many people live here?", "Who painted that picture in the museum?",
    "How old am I?", "Where do I live?", "What is love?", "Do you like pizza?", "Who is the tallest man?",
    "Who won the race?", "Who won the cup last year?", "How is the weather tomorrow?", "What is the temperature?",
    "What time does the shop close?", "Can you tell me the time?", "Who is the queen of this land?",
    "How old is the Moon?",
    "How old is this house?", "How much does a phone cost?", "What does a new car cost?", "Write a song about the sea.",
    "Write a story.", "How do I cook an egg?", "How do I make soup?", "Which film should I watch?",
    "Which song is the best?",
    "When does the plane land?", "When does the shop open?", "What is my telephone number?",
    "What is the address of the hotel?",
    "Play a film.", "Play that song again.", "Who wrote the letter?", "Who wrote this poem?", "What is a comet?",
    "What is a neutron?", "What is an atom?", "Who is my teacher?", "What is my age?", "Where is my phone?",
    "Who is at the door?", "What is for dinner?", "Close the window.", "Turn on the light.",
    "Send a message to my sister.",
)  # fmt: skip
HELD_OUT_UNKNOWN = (
    "Who won the match?", "What is the weather like?", "What time is it now?", "Who is the king?",
    "How old is the Earth?",
    "How much does a car cost?", "Write a poem.", "How do I cook pasta?", "Which film is the best?",
    "When does the bus leave?", "What is my address?", "Play a song.", "Who wrote that book?",
    "What is a neutron star?",
)  # fmt: skip
UNKNOWN_PATTERNS = (
    "What is the capital of {}?", "What is {}?", "Who is {}?", "Where is {}?", "Tell me about {}.", "How old is {}?",
    "What do you think about {}?", "Do you know {}?", "What does {} mean?", "Explain {}.", "Who invented {}?",
    "How many people live in {}?", "When was {} built?", "What is the opposite of {}?", "What colour is {}?",
    "Do you know anything about {}?", "Who is the king of {}?", "Who was the first in {}?", "Where do I find {}?",
    "Describe {}.", "Can you describe {} to me?", "What can you say about {}?", "Where was {} born?", "How big is {}?",
    "Why is {} so famous?", "What did {} do?", "How does {} work?", "Tell me something about {}.", "Is {} good?",
    "Who has {}?", "How much is {}?", "Write something about {}.", "When did {} happen?", "Where can I buy {}?",
)  # fmt: skip
HELD_OUT_UNKNOWN_PATTERNS = (
    "Who was {}?",
    "What do you know about {}?",
    "Where can I find {}?",
    "Describe {} to me.",
)
THINGS = words(
    "Brazil Peru Iceland Mongolia Nepal Vietnam Chile Turkey Mexico Australia Amsterdam Chicago Hamburg "
    "Naples Shakespeare Einstein Mozart Picasso football chess democracy gravity electricity plastic "
    "tennis jazz opera history biology politics money internet coffee pizza guitar radio rocket volcano "
    "bridge castle river engine oxygen calculus algebra philosophy cinema economy insurance evolution "
    "poetry grammar theatre marriage science chemistry"
)
HELD_OUT_THINGS = words(
    "Hungary Denmark Thailand Finland Boston Leipzig Newton Beethoven Rembrandt hockey inflation "
    "magnetism rubber golf rock geology television tea sushi piano satellite glacier tunnel temple "
    "nitrogen geometry"
)

SYLLABLES = words(
    "ba be bo da do fa fi ga go ka ki la lo ma mi na no pa pi ra ri sa so ta ti va vi za zu lin mon ter ran "
    "sel dor van a e i o u an el in or ul ar en ia li le ne ry vin gor bert hel dia ju lau ca car fio geor ken "
    "ky lyn mar nor ric rick sha sta ste tho wal wen xan yo yan ja je jo de di du cla bri bra cor dan der gar "
    "hal har hen her kel kar ko"
)

WORDS_TO_SAY = words(
    "red blue green apple house water happy morning yellow tree music seven river table garden winter "
    "summer cat dog bird window paper silver mountain forest ocean bread cheese friend hello world sun "
    "moon star stone fire light night day big small fast slow cold warm soft sweet quiet bright little "
    "new old good nice blue king queen boat train road"
)


def made_up_word(rng: np.random.Generator) -> str:
    """A name that means nothing, so that "unknown" is learned for any name and not for a list."""
    return "".join(pick(rng, SYLLABLES) for _ in range(int(rng.integers(2, 4))))


def ask_part(rng: np.random.Generator) -> Ask:
    """What a part does, or which part does it."""
    name = pick(rng, list(PARTS))
    work = PARTS[name]
    reply = f"The {name} {work}."
    if chance(rng, 0.6):
        return Ask(
            "part",
            reply,
            (f"What is the {name}?", f"What does the {name} do?", f"What is your {name}?",
             f"What does your {name} do?", f"Explain the {name}.", f"What work does the {name} do?",
             f"What is a {name}?",
             f"What is the {name} good for?", f"What is the task of the {name}?", f"What is your {name} for?",
             f"What do you need the {name} for?", f"Tell me about the {name}."),
            (f"what the {name} does", f"what the {name} is"),
            (f"What is the {name} for?", f"What is the work of the {name}?"),
        )  # fmt: skip
    return Ask(
        "part by work",
        reply,
        (
            f"Which part {work}?",
            f"What {work}?",
            f"Which of your parts {work}?",
            f"What is it that {work}?",
            f"Which is the part that {work}?",
            f"What is the part of you that {work}?",
        ),
        (f"which part {work}",),
        (f"What part {work}?",),
    )


def ask_unknown(rng: np.random.Generator, split: Split) -> Ask:
    """Something outside the world."""
    training = is_training(split)
    if chance(rng, 0.4):
        return Ask("unknown", DO_NOT_KNOW, UNKNOWN if training else HELD_OUT_UNKNOWN)
    things = THINGS if training else HELD_OUT_THINGS
    thing = pick(rng, things) if chance(rng, 0.6) else made_up_word(rng)
    if thing[0].islower() and chance(rng, 0.2):
        thing = thing.capitalize()
    patterns = UNKNOWN_PATTERNS if training else HELD_OUT_UNKNOWN_PATTERNS
    return Ask("unknown", DO_NOT_KNOW, tuple(p.format(thing) for p in patterns))


def ask_repeat(rng: np.random.Generator) -> Ask:
    """Say it after me: copying, which names and hearing need too."""
    words = " ".join(
        made_up_word(rng) if chance(rng, 0.15) else pick(rng, WORDS_TO_SAY)
        for _ in range(int(rng.integers(1, 6)))
    )
    return Ask(
        "repeat",
        sentence(words),
        (
            f"Repeat: {words}.",
            f"Repeat after me: {words}.",
            f"Say: {words}.",
            f"Please say: {words}.",
            f"Say this: {words}.",
            f"Say after me: {words}.",
            f"Please repeat after me: {words}.",
            f"Can you say: {words}?",
            f"Repeat these words: {words}.",
        ),
        (),
        (f"Please repeat: {words}.", f"Repeat this: {words}."),
    )


def a_name(rng: np.random.Generator, split: Split) -> str:
    if chance(rng, 0.5):
        return made_up_word(rng).capitalize()
    return pick(rng, NAMES if is_training(split) else HELD_OUT_NAMES)
