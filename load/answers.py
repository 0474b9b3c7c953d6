"""The one answer of the load's model, in the pieces in which it comes: whatever differs from it was corrupted."""

WORDS = [
    *"The deductible for water damage is 250.00 for each claim in a year , and it is paid once ".split(" "),
    *"for all that one event has damaged in the insured home .".split(" "),
]
WORDS = [word + " " for word in WORDS if word]
TEXT = "".join(WORDS)
