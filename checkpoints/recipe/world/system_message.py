"""A system message: what a model is told before a talk, of itself, of the person, and of its manners.

Clients of chat APIs send one with nearly every conversation. Here a name changes replies; manners change none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recipe.seeds import Split, is_training

from .lexicon import words
from .phrasing import Ask, chance, pick
from .small_talk import WHAT_ARE_YOU, WHO_ARE_YOU, WHO_ARE_YOU_HELD_OUT, WHO_I_AM
from .talk import a_name

OWN_NAMES = (
    "Your name is {}.", "You are {}.", "You are called {}.", "You are {}, a helpful assistant.", "Call yourself {}.",
    "You are an assistant called {}.", "You are an assistant and your name is {}.", "People call you {}.",
    "You are a friendly assistant. Your name is {}.", "In this talk you are {}.",
)  # fmt: skip
HELD_OUT_OWN_NAMES = ("Your name is now {}.", "You are a helpful assistant called {}.")
USERS_NAMES = (
    "You speak with {}.", "The user is called {}.", "The name of the user is {}.", "You talk to {}.", "You help {}.",
    "The user's name is {}.", "The person you speak with is {}.", "You are the assistant of {}.",
)  # fmt: skip
HELD_OUT_USERS_NAMES = ("You are talking to {}.", "The person you help is called {}.")
MANNERS = (
    "You are a helpful assistant.", "You are an assistant.", "Be helpful.", "Be brief.", "Answer briefly.",
    "Answer in one sentence.", "Be kind.", "Be honest.", "Be polite.", "Keep it short.", "Use short sentences.",
    "Answer in English.", "Answer the questions of the user.", "You are a friendly assistant.", "Speak clearly.",
    "Say what you know and nothing else.", "You can see, hear and speak.", "Do not make things up.",
    "You are a voice assistant.", "Help the user.", "You are a small model.", "Do not use lists.",
)  # fmt: skip
HELD_OUT_MANNERS = (
    "You are a helpful, honest assistant.",
    "Answer in short sentences.",
    "You are a concise assistant.",
    "Be friendly and brief.",
)

OTHER_NAMES = words(
    "Aaron Abigail Agnes Aisha Alan Albert Alma Amelia Amir Amy Andrea Andrew Angela Antonio Arthur Astrid "
    "Aurora Barbara Beatrice Benjamin Bernard Bianca Boris Brenda Brian Bruno Camila Carmen Caroline Cecilia "
    "Charles Chloe Chris Claudia Colin Connor Cora Daisy Daniel Daphne Dennis Dora Doris Dylan Edith Edgar "
    "Edward Elena Eliza Ella Elsa Emily Enzo Erika Esther Ethan Faith Fatima Fernando Flora Florence Francis "
    "Fred Gabriel Gemma Gerald Gloria Gordon Greta Gustav Hannah Harold Harry Hazel Heidi Hilda Hiro Howard "
    "Ian Ingrid Irene Iris Isaac Isabel Jacob James Jasmine Jason Jenny Joan Joel John Jonas Joseph Joyce "
    "Juan Judith June Karen Karl Keiko Kenneth Kim Kurt Lars Leah Lena Leonard Lewis Liam Lily Linda Lisa "
    "Louis Louise Lucas Luisa Luna Lydia Mabel Malik Marcus Margaret Marie Martha Martin Mary Matthew Maya "
    "Megan Michael Miguel Mila Miriam Mohamed Monica Nadia Naomi Nathan Neil Nicole Noah Norman Olga Oliver "
    "Olivia Omar Oskar Owen Pamela Patrick Paula Pedro Philip Priya Quentin Rachel Ralph Raul Rebecca Rita "
    "Robert Robin Roger Ronald Rose Roy Rudolf Ryan Sally Sandra Sara Sebastian Selma Sergio Silvia Sofia "
    "Stella Stephen Susan Sven Sylvia Tanya Tara Teresa Theo Thomas Timothy Ursula Valentin Vanessa Victor "
    "Viktor Viola Violet Vincent Walter Wanda Wendy William Xavier Yara Yasmin Yuki Yusuf Yvonne Zelda"
)
"""Names of a system message alone. With 36 names and made-up ones "Fiona" came back as "Fasea": her pieces had never
been in a name."""
CONSONANTS, VOWELS = "bcdfghjklmnpqrstvwxyz", "aeiouy"


@dataclass(frozen=True)
class SystemMessage:
    """A system message, and the names in it (empty where it has none)."""

    text: str
    own_name: str = ""
    users_name: str = ""


def draw_system_message(rng: np.random.Generator, split: Split) -> SystemMessage:
    """Any of: the model's name, the person's, and manners; outside training in forms that it never has.

    Example:
        >>> bool(draw_system_message(np.random.default_rng(0), "train").text)
        True
    """
    trained = is_training(split)
    sentences = []
    own_name = users_name = ""
    if chance(rng, 0.5):
        own_name = told_name(rng, split)
        sentences.append(pick(rng, OWN_NAMES if trained else HELD_OUT_OWN_NAMES).format(own_name))
    if chance(rng, 0.35):
        users_name = told_name(rng, split)
        sentences.append(pick(rng, USERS_NAMES if trained else HELD_OUT_USERS_NAMES).format(users_name))
    manners = MANNERS if trained else HELD_OUT_MANNERS
    for _ in range(int(rng.integers(0 if sentences else 1, 3))):
        sentences.append(pick(rng, manners))
    ordered = (sentences[i] for i in rng.permutation(len(sentences)))
    return SystemMessage(" ".join(ordered), own_name, users_name)


def told_name(rng: np.random.Generator, split: Split) -> str:
    """Any name; in training also many more than elsewhere, and ones of any letters, so that none is too strange.

    Example:
        >>> told_name(np.random.default_rng(0), "train").istitle()
        True
    """
    share = rng.random() if is_training(split) else 1.0
    if share < 0.35:
        return pick(rng, OTHER_NAMES)
    if share < 0.65:
        return spelt_name(rng).capitalize()
    return a_name(rng, split)


def spelt_name(rng: np.random.Generator) -> str:
    """One to four syllables, most of a consonant and a vowel."""
    name = pick(rng, VOWELS) if chance(rng, 0.25) else ""
    for _ in range(int(rng.integers(1, 5))):
        name += pick(rng, CONSONANTS) + pick(rng, VOWELS)
        if chance(rng, 0.35):
            name += pick(rng, CONSONANTS + VOWELS)
    return name


def ask_own_name(name: str) -> Ask:
    """What the model is called, after it was told; who it is where it was not."""
    return Ask("own name", f"My name is {name}." if name else WHO_I_AM,
               (*(asked for asked in WHO_ARE_YOU if asked not in WHAT_ARE_YOU), "Say your name.",
                "Please say your name.", "So what is your name?", "Who am I speaking with?",
                "With whom do I talk?", "Who are you then?", "So who are you?", "Have you got a name?",
                "Is there a name for you?", "Do you have your own name?",
                "Which name do you have?", "Which name is yours?", "By what name do I call you?",
                "What shall I call you?", "What can I call you?", "What name should I use for you?",
                "To whom am I talking now?", "Am I talking to somebody with a name?"),
               ("who you are", "your name", "what you are called"),
               WHO_ARE_YOU_HELD_OUT)  # fmt: skip
