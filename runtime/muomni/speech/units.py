"""Units and currencies: how they are written, and what they are called."""

from __future__ import annotations

import re

from .words import say

CURRENCIES = {
    "$": ("dollar", "dollars", "cent", "cents"), "€": ("euro", "euros", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"), "¥": ("yen", "yen"), "₹": ("rupee", "rupees", "paisa", "paise"),
    "₩": ("won", "won"), "₽": ("ruble", "rubles", "kopeck", "kopecks"), "₺": ("lira", "lira"),
    "₿": ("bitcoin", "bitcoins"), "₴": ("hryvnia", "hryvnias"), "₫": ("dong", "dong"),
    "₪": ("shekel", "shekels"), "₱": ("peso", "pesos"), "₦": ("naira", "naira"), "฿": ("baht", "baht"),
    "¢": ("cent", "cents"),
    "US$": ("you ess dollar", "you ess dollars", "cent", "cents"),
    "C$": ("canadian dollar", "canadian dollars", "cent", "cents"),
    "A$": ("australian dollar", "australian dollars", "cent", "cents"),
    "NZ$": ("new zealand dollar", "new zealand dollars", "cent", "cents"),
    "HK$": ("hong kong dollar", "hong kong dollars", "cent", "cents"), "R$": ("real", "reais"),
    "CHF": ("swiss franc", "swiss francs"), "SEK": ("swedish krona", "swedish kronor"),
    "NOK": ("norwegian krone", "norwegian kroner"), "DKK": ("danish krone", "danish kroner"),
    "PLN": ("zloty", "zlotys"), "CNY": ("yuan", "yuan"), "MXN": ("mexican peso", "mexican pesos"),
}  # fmt: skip
CURRENCIES |= {
    code: CURRENCIES[symbol]
    for code, symbol in {
        "USD": "US$", "CA$": "C$", "CAD": "C$", "AU$": "A$", "AUD": "A$", "NZD": "NZ$", "HKD": "HK$", "EUR": "€",
        "GBP": "£", "JPY": "¥", "INR": "₹", "KRW": "₩", "RUB": "₽", "BTC": "₿", "BRL": "R$",
    }.items()
}  # fmt: skip
"""Singular, plural, and those of the hundredth part where there is one."""

UNITS = {
    "km": "kilometer", "m": "meter", "cm": "centimeter", "mm": "millimeter", "μm": "micrometer", "um": "micrometer",
    "nm": "nanometer", "mi": "mile", "yd": "yard", "ft": "foot", "kg": "kilogram", "g": "gram", "mg": "milligram",
    "μg": "microgram", "mcg": "microgram", "lb": "pound", "lbs": "pound", "oz": "ounce", "L": "liter", "l": "liter",
    "dl": "deciliter", "dL": "deciliter", "cl": "centiliter", "cL": "centiliter", "ml": "milliliter",
    "mL": "milliliter", "gal": "gallon", "tsp": "teaspoon", "tbsp": "tablespoon", "ha": "hectare",
    "h": "hour", "hr": "hour", "hrs": "hour", "min": "minute", "mins": "minute", "s": "second", "sec": "second",
    "secs": "second", "ms": "millisecond", "μs": "microsecond", "us": "microsecond", "ns": "nanosecond",
    "Hz": "hertz", "kHz": "kilohertz", "MHz": "megahertz", "GHz": "gigahertz", "W": "watt", "mW": "milliwatt",
    "kW": "kilowatt", "MW": "megawatt", "GW": "gigawatt", "Wh": "watt hour", "kWh": "kilowatt hour",
    "MWh": "megawatt hour", "V": "volt", "mV": "millivolt", "kV": "kilovolt", "mA": "milliamp",
    "mAh": "milliamp hour", "Ω": "ohm", "kΩ": "kiloohm", "MΩ": "megaohm", "J": "joule", "kJ": "kilojoule",
    "MJ": "megajoule", "cal": "calorie", "kcal": "kilocalorie", "Pa": "pascal", "hPa": "hectopascal",
    "kPa": "kilopascal", "MPa": "megapascal", "bar": "bar", "psi": "pee ess eye", "Nm": "newton meter",
    "kN": "kilonewton", "dB": "decibel", "hp": "horsepower", "rpm": "revolution per minute", "bpm": "beat per minute",
    "mph": "mile per hour", "kph": "kilometer per hour", "kmh": "kilometer per hour", "fps": "frame per second",
    "ppm": "part per million", "px": "pixel", "mol": "mole", "lx": "lux", "bit": "bit", "kB": "kilobyte",
    "KB": "kilobyte", "MB": "megabyte", "GB": "gigabyte", "TB": "terabyte", "PB": "petabyte", "KiB": "kibibyte",
    "MiB": "mebibyte", "GiB": "gibibyte", "kbps": "kilobit per second", "Mbps": "megabit per second",
    "Gbps": "gigabit per second", "MP": "megapixel", "°C": "degree celsius", "°F": "degree fahrenheit",
    "°": "degree", "%": "percent",
}  # fmt: skip
UNCHANGED = frozenset(
    ("percent", "hertz", "kilohertz", "megahertz", "gigahertz", "horsepower", "lux", "pee ess eye")
)
POWERS = {"2": "square", "3": "cubic"}
TIMES = {"2": "squared", "3": "cubed"}
ALONE = frozenset("km cm mm kg mg mL ml kHz MHz GHz kWh GB MB TB KB mph kph °C °F".split())  # noqa: SIM905
"""Units that no word looks like, so that they are read without a number too."""

_SYMBOLS = "|".join(sorted(map(re.escape, UNITS), key=len, reverse=True))
UNIT = re.compile(
    rf"(?:(?P<sq>sq|cu)\.? ?)?(?P<unit>{_SYMBOLS})(?:\^?(?P<power>[23]))?"
    rf"(?:/(?P<per>{_SYMBOLS}|[a-z]{{3,12}})(?:\^?(?P<per_power>[23]))?)?(?![A-Za-z0-9^])"
)


def unit_name(found: re.Match[str], one: bool) -> str:
    """What a match of :data:`UNIT` is called: ``km/h`` -> kilometers per hour."""
    name = UNITS[found["unit"]]
    if not one:
        name = plural_unit(name)
    power = {"sq": "2", "cu": "3"}.get(found["sq"] or "", found["power"])
    spoken = f"{POWERS[power]} {name}" if power else name
    if found["per"]:
        below = UNITS.get(found["per"]) or say(found["per"])
        if found["per_power"]:
            below = (
                f"{below} {TIMES[found['per_power']]}"
                if found["per"] == "s"
                else f"{POWERS[found['per_power']]} {below}"
            )
        spoken += f" per {below}"
    return spoken


def plural_unit(name: str) -> str:
    """foot -> feet, degree celsius -> degrees celsius, mile per hour -> miles per hour."""
    if name in UNCHANGED:
        return name
    if name.startswith("degree") or " per " in name:
        first, _, rest = name.partition(" ")
        return f"{first}s {rest}".strip()
    return "feet" if name == "foot" else name + "s"
