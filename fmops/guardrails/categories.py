"""The one list of categories that policies know, and the services' own names for them.

Comprehend and Bedrock name the same things differently (SSN and US_SOCIAL_SECURITY_NUMBER); a policy uses a
single name.
"""

from __future__ import annotations

from enum import StrEnum


class Group(StrEnum):
    """A group of categories that are usually treated alike. A rule may name a group in place of a category."""

    CONTENT = "content"
    PROMPT_ATTACK = "prompt_attack"
    IDENTIFIERS = "identifiers"
    CONTACT = "contact"
    ATTRIBUTES = "attributes"
    SECRETS = "secrets"
    CUSTOM = "custom"


class Category(StrEnum):
    """A kind of content that any detector may find in a text."""

    group: Group

    def __new__(cls, value: str, group: Group) -> Category:
        member = str.__new__(cls, value)
        member._value_ = value
        member.group = group
        return member

    HATE = "hate", Group.CONTENT
    INSULT = "insult", Group.CONTENT
    SEXUAL = "sexual", Group.CONTENT
    VIOLENCE = "violence", Group.CONTENT
    MISCONDUCT = "misconduct", Group.CONTENT
    HARASSMENT = "harassment", Group.CONTENT
    PROFANITY = "profanity", Group.CONTENT
    GRAPHIC = "graphic", Group.CONTENT
    TOXICITY = "toxicity", Group.CONTENT

    JAILBREAK = "jailbreak", Group.PROMPT_ATTACK
    PROMPT_INJECTION = "prompt_injection", Group.PROMPT_ATTACK
    PROMPT_LEAKAGE = "prompt_leakage", Group.PROMPT_ATTACK
    UNSAFE_PROMPT = "unsafe_prompt", Group.PROMPT_ATTACK

    BANK_ACCOUNT_NUMBER = "bank_account_number", Group.IDENTIFIERS
    BANK_ROUTING_NUMBER = "bank_routing_number", Group.IDENTIFIERS
    CARD_NUMBER = "card_number", Group.IDENTIFIERS
    CARD_CVV = "card_cvv", Group.IDENTIFIERS
    CARD_EXPIRY = "card_expiry", Group.IDENTIFIERS
    PIN = "pin", Group.IDENTIFIERS
    IBAN = "iban", Group.IDENTIFIERS
    SWIFT_CODE = "swift_code", Group.IDENTIFIERS
    US_SSN = "us_ssn", Group.IDENTIFIERS
    US_ITIN = "us_itin", Group.IDENTIFIERS
    PASSPORT_NUMBER = "passport_number", Group.IDENTIFIERS
    DRIVER_ID = "driver_id", Group.IDENTIFIERS
    LICENSE_PLATE = "license_plate", Group.IDENTIFIERS
    VEHICLE_IDENTIFICATION_NUMBER = "vehicle_identification_number", Group.IDENTIFIERS
    UK_NATIONAL_INSURANCE_NUMBER = "uk_national_insurance_number", Group.IDENTIFIERS
    UK_UTR = "uk_utr", Group.IDENTIFIERS
    UK_NHS_NUMBER = "uk_nhs_number", Group.IDENTIFIERS
    CA_SOCIAL_INSURANCE_NUMBER = "ca_social_insurance_number", Group.IDENTIFIERS
    CA_HEALTH_NUMBER = "ca_health_number", Group.IDENTIFIERS
    IN_PAN = "in_pan", Group.IDENTIFIERS
    IN_NREGA = "in_nrega", Group.IDENTIFIERS
    IN_AADHAAR = "in_aadhaar", Group.IDENTIFIERS
    IN_VOTER_NUMBER = "in_voter_number", Group.IDENTIFIERS

    EMAIL = "email", Group.CONTACT
    PHONE = "phone", Group.CONTACT
    ADDRESS = "address", Group.CONTACT
    IP_ADDRESS = "ip_address", Group.CONTACT
    MAC_ADDRESS = "mac_address", Group.CONTACT
    USERNAME = "username", Group.CONTACT

    NAME = "name", Group.ATTRIBUTES
    AGE = "age", Group.ATTRIBUTES
    DATE_TIME = "date_time", Group.ATTRIBUTES
    URL = "url", Group.ATTRIBUTES

    PASSWORD = "password", Group.SECRETS
    AWS_ACCESS_KEY = "aws_access_key", Group.SECRETS
    AWS_SECRET_KEY = "aws_secret_key", Group.SECRETS
    API_KEY = "api_key", Group.SECRETS
    PRIVATE_KEY = "private_key", Group.SECRETS

    DENIED_TOPIC = "denied_topic", Group.CUSTOM
    DENIED_WORD = "denied_word", Group.CUSTOM
    CUSTOM_PATTERN = "custom_pattern", Group.CUSTOM


def _same(*categories: Category) -> dict[str, Category]:
    """Return the names that the service spells as we do, in capitals."""
    return {category.value.upper(): category for category in categories}


COMPREHEND_TOXICITY = {
    "GRAPHIC": Category.GRAPHIC,
    "HARASSMENT_OR_ABUSE": Category.HARASSMENT,
    "HATE_SPEECH": Category.HATE,
    "INSULT": Category.INSULT,
    "PROFANITY": Category.PROFANITY,
    "SEXUAL": Category.SEXUAL,
    "VIOLENCE_OR_THREAT": Category.VIOLENCE,
}

_BOTH_PII = _same(
    Category.ADDRESS, Category.AGE, Category.AWS_ACCESS_KEY, Category.AWS_SECRET_KEY, Category.CA_HEALTH_NUMBER,
    Category.CA_SOCIAL_INSURANCE_NUMBER, Category.DRIVER_ID, Category.EMAIL, Category.IP_ADDRESS,
    Category.LICENSE_PLATE, Category.MAC_ADDRESS, Category.NAME, Category.PASSWORD, Category.PHONE, Category.PIN,
    Category.SWIFT_CODE, Category.UK_NATIONAL_INSURANCE_NUMBER, Category.URL, Category.USERNAME,
    Category.VEHICLE_IDENTIFICATION_NUMBER,
) | {
    "INTERNATIONAL_BANK_ACCOUNT_NUMBER": Category.IBAN,
    "UK_NATIONAL_HEALTH_SERVICE_NUMBER": Category.UK_NHS_NUMBER,
    "UK_UNIQUE_TAXPAYER_REFERENCE_NUMBER": Category.UK_UTR,
    "US_INDIVIDUAL_TAX_IDENTIFICATION_NUMBER": Category.US_ITIN,
}  # fmt: skip

COMPREHEND_PII = _BOTH_PII | {
    "BANK_ACCOUNT_NUMBER": Category.BANK_ACCOUNT_NUMBER,
    "BANK_ROUTING": Category.BANK_ROUTING_NUMBER,
    "CREDIT_DEBIT_NUMBER": Category.CARD_NUMBER,
    "CREDIT_DEBIT_CVV": Category.CARD_CVV,
    "CREDIT_DEBIT_EXPIRY": Category.CARD_EXPIRY,
    "DATE_TIME": Category.DATE_TIME,
    "IN_AADHAAR": Category.IN_AADHAAR,
    "IN_NREGA": Category.IN_NREGA,
    "IN_PERMANENT_ACCOUNT_NUMBER": Category.IN_PAN,
    "IN_VOTER_NUMBER": Category.IN_VOTER_NUMBER,
    "PASSPORT_NUMBER": Category.PASSPORT_NUMBER,
    "SSN": Category.US_SSN,
}

BEDROCK_PII = _BOTH_PII | {
    "CREDIT_DEBIT_CARD_NUMBER": Category.CARD_NUMBER,
    "CREDIT_DEBIT_CARD_CVV": Category.CARD_CVV,
    "CREDIT_DEBIT_CARD_EXPIRY": Category.CARD_EXPIRY,
    "US_BANK_ACCOUNT_NUMBER": Category.BANK_ACCOUNT_NUMBER,
    "US_BANK_ROUTING_NUMBER": Category.BANK_ROUTING_NUMBER,
    "US_PASSPORT_NUMBER": Category.PASSPORT_NUMBER,
    "US_SOCIAL_SECURITY_NUMBER": Category.US_SSN,
}

BEDROCK_CONTENT = {
    "HATE": Category.HATE,
    "INSULTS": Category.INSULT,
    "MISCONDUCT": Category.MISCONDUCT,
    "SEXUAL": Category.SEXUAL,
    "VIOLENCE": Category.VIOLENCE,
}

BEDROCK_PROMPT_ATTACK = _same(Category.JAILBREAK, Category.PROMPT_INJECTION, Category.PROMPT_LEAKAGE)
