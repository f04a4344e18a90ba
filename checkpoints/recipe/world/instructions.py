"""A system's text: what a model is told before a talk, of itself, of the person, and of its manners.

Clients of chat APIs send one with nearly every conversation. Here a name changes replies; manners change none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recipe.seeds import Split, is_training

from .phrasing import Ask, chance, pick
from .small_talk import WHO_ARE_YOU_HELD_OUT
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


@dataclass(frozen=True)
class Instructions:
    """A system's text, and the names in it (empty where it has none)."""

    text: str
    own_name: str = ""
    users_name: str = ""


def draw_instructions(rng: np.random.Generator, split: Split) -> Instructions:
    """Any of: the model's name, the person's, and manners; outside training in forms that it never has.

    Example:
        >>> bool(draw_instructions(np.random.default_rng(0), "train").text)
        True
    """
    trained = is_training(split)
    sentences = []
    own_name = users_name = ""
    if chance(rng, 0.5):
        own_name = a_name(rng, split)
        sentences.append(pick(rng, OWN_NAMES if trained else HELD_OUT_OWN_NAMES).format(own_name))
    if chance(rng, 0.35):
        users_name = a_name(rng, split)
        sentences.append(pick(rng, USERS_NAMES if trained else HELD_OUT_USERS_NAMES).format(users_name))
    manners = MANNERS if trained else HELD_OUT_MANNERS
    for _ in range(int(rng.integers(0 if sentences else 1, 3))):
        sentences.append(pick(rng, manners))
    ordered = (sentences[i] for i in rng.permutation(len(sentences)))
    return Instructions(" ".join(ordered), own_name, users_name)


def ask_own_name(name: str) -> Ask:
    """What the model is called, after it was told."""
    return Ask("own name", f"My name is {name}.",
               ("What is your name?", "Who are you?", "What are you called?", "What do I call you?",
                "Do you have any name?", "How should I call you?", "And what is your name?", "Your name?",
                "Say your name.", "Please say your name.", "Who is this?", "Introduce yourself.",
                "Who is talking to me?", "So what is your name?", "Can you introduce yourself?"),
               ("who you are", "your name", "what you are called"),
               WHO_ARE_YOU_HELD_OUT)  # fmt: skip
