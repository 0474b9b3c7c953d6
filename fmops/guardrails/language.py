"""The language of a text, so that no detector is trusted with a language that it does not know."""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

_CANDIDATES = (
    "ar", "cs", "da", "de", "el", "en", "es", "fi", "fr", "he", "hi", "hu", "id", "it", "ja", "ko", "nl",
    "no", "pl", "pt", "ro", "ru", "sv", "th", "tr", "uk", "vi", "zh",
)  # fmt: skip
_LEAST_LETTERS = 20
_LEAST_LETTERS_OTHER_SCRIPT = 4
_LEAST_PROBABILITY = 0.95
_SAMPLE = 2000


def identify(text: str, default: str) -> str:
    """Return the ISO 639-1 code of the text's language; ``default`` when the text is too short to tell."""
    letters = [character for character in text[:_SAMPLE] if character.isalpha()]
    latin = sum(
        character.isascii() or unicodedata.name(character, "").startswith("LATIN") for character in letters
    )
    other_script = len(letters) - latin > latin and len(letters) >= _LEAST_LETTERS_OTHER_SCRIPT
    if len(letters) < _LEAST_LETTERS and not other_script:
        return default
    language, probability = _identifier().classify(text[:_SAMPLE])
    return str(language) if other_script or probability >= _LEAST_PROBABILITY else default


@cache
def _identifier() -> LanguageIdentifier:
    """Return the identifier, loaded on first use because that takes half a second."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(_CANDIDATES)
    return identifier
