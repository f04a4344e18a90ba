"""Sentences in other languages, by espeak-ng's names of these; the model hears no words that it knows in them."""

from __future__ import annotations

from functools import cache

import numpy as np

from recipe.seeds import Split, is_training
from recipe.word_lists import word_list

from .phrasing import pick

SENTENCES = {
    "de": ("wo steht das alte Haus am Fluss", "ich habe gestern ein Buch gekauft", "morgen fahren wir in die Berge",
           "kannst du mir bitte den Schlüssel geben", "die Kinder spielen heute im Garten"),
    "fr": ("où est la gare s'il vous plaît", "je voudrais une tasse de café", "les enfants jouent dans la rue",
              "nous partons demain pour la montagne", "il fait très chaud cet été"),
    "es": ("dónde está la estación de trenes", "quisiera un vaso de agua por favor", "mañana vamos a la playa",
           "los niños juegan en el parque", "hace mucho frío en el invierno"),
    "it": ("dove si trova la stazione", "vorrei un bicchiere di vino rosso", "domani andiamo al mare",
           "i bambini giocano nel giardino", "fa molto caldo questa estate"),
    "pl": ("gdzie jest najbliższy sklep", "poproszę szklankę wody", "jutro jedziemy w góry",
           "dzieci bawią się w ogrodzie", "wczoraj kupiłem nową książkę"),
    "tr": ("istasyon nerede acaba", "bir bardak su istiyorum", "yarın denize gidiyoruz",
           "çocuklar bahçede oynuyor", "bu yaz hava çok sıcak"),
    "fi": ("missä on rautatieasema", "haluaisin kupin kahvia", "huomenna menemme järvelle",
           "lapset leikkivät pihalla", "talvella on hyvin kylmä"),
    "ru": ("где находится вокзал", "я хотел бы стакан воды", "завтра мы поедем к морю", "дети играют в саду",
           "этим летом очень жарко"),
    "id": ("di mana stasiun kereta api", "saya mau segelas air putih", "besok kami pergi ke pantai",
           "anak anak bermain di taman", "hari ini panas sekali"),
    "hu": ("hol van a vasútállomás", "kérek egy pohár vizet", "holnap a hegyekbe megyünk",
           "a gyerekek a kertben játszanak", "tegnap vettem egy új könyvet"),
    "hi": ("रेलवे स्टेशन कहाँ है", "मुझे एक गिलास पानी चाहिए", "कल हम पहाड़ जाएंगे", "बच्चे बगीचे में खेल रहे हैं",
           "आज बहुत गर्मी है"),
    "cmn": ("火车站在哪里", "我想要一杯水", "明天我们去海边", "孩子们在花园里玩", "今天天气很热"),
}  # fmt: skip
HELD_OUT_SENTENCES = {
    "nl": ("waar is het station alstublieft", "ik wil graag een glas water", "morgen gaan we naar de kust",
           "de kinderen spelen in de tuin", "gisteren heb ik een boek gelezen"),
    "pt-BR": ("onde fica a estação de trem", "eu queria um copo de água", "amanhã vamos para a praia",
              "as crianças brincam no jardim", "faz muito calor neste verão"),
    "sv": ("var ligger järnvägsstationen", "jag skulle vilja ha en kopp kaffe", "i morgon åker vi till havet",
           "barnen leker i trädgården", "det är mycket kallt på vintern"),
    "cs": ("kde je nejbližší nádraží", "prosím sklenici vody", "zítra pojedeme do hor", "děti si hrají na zahradě",
           "včera jsem si koupil novou knihu"),
    "sw": ("kituo cha treni kiko wapi", "nataka glasi ya maji", "kesho tutakwenda pwani",
           "watoto wanacheza bustanini", "leo kuna joto sana"),
}  # fmt: skip
FEWEST_WORDS, MOST_WORDS = 2, 9
DICTIONARIES = {"de": "ngerman", "fr": "french", "es": "spanish", "it": "italian", "da": "danish"}
"""Debian: wngerman, wfrench, wspanish, witalian, wdanish. Languages of training alone."""
DICTIONARY_SHARE, LONGEST_WORD = 0.6, 9
"""Of training's texts. So few sentences are soon known by heart, and then any other language passes for English."""


def foreign_text(rng: np.random.Generator, split: Split) -> tuple[str, str]:
    """A language and some words of it in any order; evaluation has languages of its own."""
    if is_training(split) and rng.random() < DICTIONARY_SHARE:
        language = pick(rng, sorted(DICTIONARIES))
        count = int(rng.integers(FEWEST_WORDS, MOST_WORDS))
        return language, " ".join(pick(rng, _dictionary(language)) for _ in range(count))
    source = SENTENCES if is_training(split) else HELD_OUT_SENTENCES
    language = pick(rng, sorted(source))
    if rng.random() < 0.5:
        return language, pick(rng, source[language])
    words = [word for sentence in source[language] for word in sentence.split()]
    count = (
        1 if language == "cmn" else int(rng.integers(FEWEST_WORDS, MOST_WORDS))
    )  # words there are sentences here
    return language, " ".join(pick(rng, words) for _ in range(count))


@cache
def _dictionary(language: str) -> tuple[str, ...]:
    """Its shorter words: they are what people say."""
    name = DICTIONARIES[language]
    return tuple(
        word for word in word_list(name, f"w{name}") if 1 < len(word) <= LONGEST_WORD and word.isalpha()
    )
