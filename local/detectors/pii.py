"""Stand-in for DetectPiiEntities: Presidio's patterns on a blank spaCy pipeline, and cues where the service
uses a model.

Names and addresses are found by cues ("my name is", "Mr", a house number with a street's word),
not by understanding.
"""

from __future__ import annotations

import logging
import re
from functools import cache
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from presidio_analyzer import AnalyzerEngine

_TYPES = {
    "ABA_ROUTING_NUMBER": "BANK_ROUTING",
    "CA_SIN": "CA_SOCIAL_INSURANCE_NUMBER",
    "CREDIT_CARD": "CREDIT_DEBIT_NUMBER",
    "EMAIL_ADDRESS": "EMAIL",
    "IBAN_CODE": "INTERNATIONAL_BANK_ACCOUNT_NUMBER",
    "IN_AADHAAR": "IN_AADHAAR",
    "IN_PAN": "IN_PERMANENT_ACCOUNT_NUMBER",
    "IP_ADDRESS": "IP_ADDRESS",
    "MAC_ADDRESS": "MAC_ADDRESS",
    "PHONE_NUMBER": "PHONE",
    "UK_NHS": "UK_NATIONAL_HEALTH_SERVICE_NUMBER",
    "UK_NINO": "UK_NATIONAL_INSURANCE_NUMBER",
    "US_BANK_NUMBER": "BANK_ACCOUNT_NUMBER",
    "US_DRIVER_LICENSE": "DRIVER_ID",
    "US_ITIN": "US_INDIVIDUAL_TAX_IDENTIFICATION_NUMBER",
    "US_PASSPORT": "PASSPORT_NUMBER",
    "US_SSN": "SSN",
}
"""Presidio's entities with Comprehend's types. Entities of our own patterns bear Comprehend's names."""

_WORD = r"[A-ZÀ-Þ](?:['\u2019][A-Z])?[a-zà-ÿ]+(?:[-'\u2019][A-ZÀ-Þ]?[a-zà-ÿ]+)*"
_NAME = rf"{_WORD}(?:\s+(?:[A-Z]\.|de|van|von|der|la|{_WORD})){{0,3}}"
_STREET = (
    r"(?:Street|St|Avenue|Ave|Road|Rd|Lane|Ln|Drive|Dr|Boulevard|Blvd|Court|Ct|Place|Pl|Square|Sq|Way|Terrace"
    r"|Close|Highway|Hwy)"
)
_PATTERNS: dict[str, list[str]] = {
    "NAME": [
        rf"(?i:\b(?:my name is|name:|i am called|this is|signed,?|regards,?|sincerely,?|policyholder|claimant"
        rf"|insured|customer|patient|me llamo|mi nombre es))\s+(?P<value>{_NAME})",
        rf"\b(?:Mr|Mrs|Ms|Miss|Dr|Prof|Sra?)\.?\s+(?P<value>{_NAME})",
        rf"(?i:\bi am)\s+(?P<value>{_WORD}\s+{_WORD})",
    ],
    "ADDRESS": [
        rf"\b\d{{1,5}}[A-Za-z]?\s+(?:[NSEW]\.?\s+)?(?:[A-Z][\w'\u2019.-]*\s+){{1,4}}{_STREET}\b\.?(?:,?\s*(?:"
        rf"(?i:apt|apartment|suite|unit|flat)\.?\s*#?\w+))?(?:,?\s+[A-Z][a-z]+"
        rf"(?:\s+[A-Z][a-z]+)?,?\s+[A-Z]{{2}}\s+\d{{5}}(?:-\d{{4}})?)?",
        r"\b(?i:P\.?\s?O\.? Box)\s+\d+\b",
        r"\b[A-Z][a-zäöüß]+(?:straße|strasse|weg|platz|gasse)\s+\d{1,4}\s?[a-z]?(?:,\s*\d{5}\s+[A-Z][a-zäöüß]+)?",
        r"\b(?i:calle|avenida|plaza)\s+[A-ZÁÉÍÓÚ]\w+(?:\s+[A-ZÁÉÍÓÚ]\w+)?,?\s+\d{1,4}\b",
    ],
    "AGE": [r"\b(?P<value>\d{1,3})[- ]years?[- ]old\b", r"(?i:\baged?:?)\s+(?P<value>\d{1,3})\b"],
    "AWS_ACCESS_KEY": [r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"],
    "AWS_SECRET_KEY": [
        r"(?i:secret(?:[ _]access)?[ _]key)\W{1,5}(?:is\W+)?(?P<value>[A-Za-z0-9/+=]{40})(?![A-Za-z0-9/+=])"
    ],
    "CREDIT_DEBIT_CVV": [r"(?i:\b(?:cvv2?|cvc2?|security code))\W{0,3}(?:is\W+)?(?P<value>\d{3,4})\b"],
    "CREDIT_DEBIT_EXPIRY": [
        r"(?i:\b(?:exp(?:iry|ires?|iration)?(?: date)?|valid (?:thru|until)))\W{0,3}(?:is\W+)?(?P<value>"
        r"(?:0[1-9]|1[0-2])[/-]\d{2}(?:\d{2})?)\b"
    ],
    "PASSWORD": [
        r"(?i:\b(?:password|passwd|pwd|passphrase))(?:\s+is|\s*[:=])\s*[\"']?(?P<value>(?=\S*[\d\W_])\S{6,}?)"
        r"(?=[\"']?[.,;!?]?(?:\s|$))"
    ],
    "PIN": [r"(?i:\bpin(?: code| number)?)\W{0,3}(?:is\W+)?(?P<value>\d{4,6})\b"],
    "USERNAME": [r"(?i:\b(?:user ?name|login|user id))(?:\s+is|\s*[:=])\s*(?P<value>[\w.-]{3,})"],
    "LICENSE_PLATE": [
        r"(?i:\b(?:licen[cs]e plate|plate(?: number)?|registration))(?:\s+is|\s*[:=])?\s+"
        r"(?P<value>[A-Z0-9]{2,4}[ -]?[A-Z0-9]{2,5})\b"
    ],
    "VEHICLE_IDENTIFICATION_NUMBER": [r"\b(?=[A-HJ-NPR-Z0-9]*\d)(?=[A-HJ-NPR-Z0-9]*[A-HJ-NPR-Z])[A-HJ-NPR-Z0-9]{17}\b"],
    "SWIFT_CODE": [r"(?i:\b(?:swift|bic)(?: code)?)\W{0,3}(?:is\W+)?(?P<value>[A-Z]{6}[A-Z0-9]{2}(?:[A-Z0-9]{3})?)\b"],
    "BANK_ACCOUNT_NUMBER": [r"(?i:\baccount(?: number| no\.?)?)\W{0,3}(?:is\W+)?(?P<value>\d{7,14})\b"],
    "DRIVER_ID": [r"(?i:\bdriver'?s? licen[cs]e(?: number| no\.?)?)\W{0,3}(?:is\W+)?(?P<value>[A-Z]{0,2}\d{5,12})\b"],
    "PASSPORT_NUMBER": [r"(?i:\bpassport(?: number| no\.?)?)\W{0,3}(?:is\W+)?(?P<value>[A-Z]{0,2}\d{6,9})\b"],
    "SSN": [
        r"(?i:\b(?:ssn|social security)(?: number| no\.?)?)\W{0,3}(?:is\W+)?(?P<value>\d{9}"
        r"|\d{3}[- ]\d{2}[- ]\d{4})\b"
    ],
    "URL": [r"\bhttps?://[^\s<>\"']+[^\s<>\"'.,;:!?)]"],
}  # fmt: skip
_DATE = [
    r"\b\d{4}-\d{2}-\d{2}\b",
    r"(?<![\w./])\d{1,2}([./])\d{1,2}\1\d{2,4}(?![\w/])",
    r"\b(?i:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sep(?:t(?:ember)?)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\s+\d{1,2}(?:st|nd|rd|th)?(?:,?\s+\d{4})?\b",
]
_LEAST_SCORE = 0.4
_THING = re.compile(
    r"\b(?:order|invoice|receipt|quote|offer|ticket|case|claim|bug|job|batch|record|event|transaction|parcel|tracking"
    r"|serial|article|product|part|model|sku|item|lot|form|policy|contract|delivery note|voucher|coupon"
    r"|certificate|isbn"
    r"(?:-1[03])?|ean|gtin|doi|barcode|build|commit|hash|checksum|seed|offset|id|code|ref(?:erence)?|version"
    r"|row|line|port"
    r"|asset|device|sensor|meter|request|patch|number is|coordinates(?: are)?|value|ratio|timestamp)s?\b"
    r"[\s:#]*(?:(?:number|numbers|no|nr|num|id|code)\b\.?)?[\s:#]*(?:(?:is|was|are)\s+)?(?:[\d.,-]+(?:,"
    r"|\s+and|\s+or|\s+to)\s*)?$",
    re.IGNORECASE,
)
"""Words directly before a number that show that it belongs to a thing and not to a person."""
_SPEAKS = re.compile(
    r"\b(?:phone|telephone|tel|mobile|cell(?:phone)?|handy|fax|call(?:ed|s|ing|back)?|ring|rang|dial|text(?:ed)?|sms"
    r"|whatsapp|signal|reach(?:ed)?|contact|landline|hotline|voicemail|tel[e\xe9]fono|m[o\xf3]vil|ll[a\xe1]m\w+"
    r"|(?:my|his|her|their|home|work|office|private) (?:number|no)\b)",
    re.IGNORECASE,
)
"""Words in the same sentence that make a row of digits a phone number."""
_GROUPED = re.compile(r"\+|00[1-9]|\(\d+\)|\d{3}[-. ]\d{3}[-. ]\d{4}|0\d{1,4}[-/ ]\d")
"""Phone numbers, recognized by the way in which they are written."""
_VERSIONED = re.compile(
    r"\b(?:v|versions?|releases?|firmware|kernel|build|driver|library|upgrad\w+|downgrad\w+|updat\w+|roll(?:ed)? back"
    r"|chapter|section|paragraph|clause|article|python|node|java|package|patch)\b[^.!?\n]{0,25}(?:[\d.]+\s+"
    r"(?:to|and|or)\s+)?$",
    re.IGNORECASE,
)
"""Words before the number of a version or a section, which may look like an IP address."""
_BEFORE, _AFTER = 60, 30
"""Characters before and after a number that are searched for its meaning."""
_CALIBRATED = {"PHONE_NUMBER": 0.75, "IP_ADDRESS": 0.9}
"""Scores for types that Presidio rates low for lack of context, although the number was validated."""


def find(text: str, language: str = "en") -> list[dict[str, Any]]:
    """Return entities by Comprehend's type names, in order and without overlaps; offsets are code
    points, ends exclusive.

    ``language`` is ``en`` or ``es``; the patterns are the same for both.
    """
    if language not in ("en", "es"):
        raise ValueError(f"language is {language!r}: it must be en or es")
    analyzer, patterns = _analyzer()
    found: list[tuple[str, float, int, int]] = [
        (
            _TYPES.get(result.entity_type, result.entity_type),
            max(result.score, _CALIBRATED.get(result.entity_type, 0)),
            result.start,
            result.end,
        )
        for result in analyzer.analyze(text, language="en", score_threshold=_LEAST_SCORE)
        if _is_meant(result.entity_type, text, result.start, result.end)
    ]
    for kind, each in patterns:
        for match in each.finditer(text):
            group = "value" if "value" in each.groupindex else 0
            found.append((kind, 0.85, match.start(group), match.end(group)))
    return [
        {"type": kind, "score": round(float(score), 3), "begin": begin, "end": end}
        for kind, score, begin, end in _without_overlaps(found)
    ]


def _is_meant(kind: str, text: str, begin: int, end: int) -> bool:
    """Whether the text around a number that could be of this kind allows it to be one."""
    before = text[max(0, begin - _BEFORE) : begin]
    match kind:
        case "UK_NHS":  # every eleventh phone number passes its check
            return "nhs" in text.lower()
        case "IP_ADDRESS":
            return not _VERSIONED.search(before)
        case "PHONE_NUMBER":
            number = text[begin:end]
            if _THING.search(before) or re.fullmatch(r"\d+\.\d+", number):
                return False
            return bool(
                _GROUPED.match(number)
                or text[begin - 1 : begin] == "+"
                or _SPEAKS.search(before)
                or _SPEAKS.search(text[end : end + _AFTER])
            )
        case _:
            return True


def _without_overlaps(found: list[tuple[str, float, int, int]]) -> list[tuple[str, float, int, int]]:
    """Return the most confident entities, and the longest of equals, without those that overlap a
    more confident one."""
    kept: list[tuple[str, float, int, int]] = []
    for each in sorted(found, key=lambda one: (-one[1], one[2] - one[3], one[0])):
        if all(each[3] <= other[2] or other[3] <= each[2] for other in kept):
            kept.append(each)
    return sorted(kept, key=lambda one: one[2])


@cache
def _analyzer() -> tuple[AnalyzerEngine, list[tuple[str, Any]]]:
    """Return the analyzer, which is loaded on first use, since that takes seconds."""
    import presidio_analyzer.predefined_recognizers as known
    import spacy
    import tldextract
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.nlp_engine import NlpArtifacts, SpacyNlpEngine

    class BlankNlpEngine(SpacyNlpEngine):
        """An engine that needs no model download. It compares context words themselves, since it has no
        lemmas.
        """

        def load(self) -> None:
            setattr(self, "nlp", {"en": spacy.blank("en")})  # noqa: B010 - untyped upstream

        def process_text(self, text: str, language: str) -> NlpArtifacts:
            document = cast(Any, self.nlp)[language](text)
            words = [token.text.lower() for token in document]
            return NlpArtifacts([], document, [token.idx for token in document], words, self, language)

    logging.getLogger("presidio-analyzer").setLevel(logging.ERROR)
    # The e-mail recognizer would otherwise fetch the list of top-level domains.
    extract = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    setattr(tldextract, "extract", extract)  # noqa: B010 - untyped upstream
    recognizers = [
        known.AbaRoutingRecognizer,
        known.CaSinRecognizer,
        known.CreditCardRecognizer,
        known.EmailRecognizer,
        known.IbanRecognizer,
        known.InAadhaarRecognizer,
        known.InPanRecognizer,
        known.IpRecognizer,
        known.MacAddressRecognizer,
        known.NhsRecognizer,
        known.PhoneRecognizer,
        known.UkNinoRecognizer,
        known.UsBankRecognizer,
        known.UsItinRecognizer,
        known.UsLicenseRecognizer,
        known.UsPassportRecognizer,
        known.UsSsnRecognizer,
    ]
    registry = RecognizerRegistry(supported_languages=["en"])
    for recognizer in recognizers:
        registry.add_recognizer(recognizer(supported_language="en"))
    engine = BlankNlpEngine()
    engine.load()
    analyzer = AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=["en"])
    patterns = [
        (kind, re.compile(pattern))
        for kind, group in {**_PATTERNS, "DATE_TIME": _DATE}.items()
        for pattern in group
    ]
    return analyzer, patterns
