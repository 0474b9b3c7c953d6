"""The only answer of the load's model, in the pieces in which it comes: anything that differs from
it was corrupted."""

WORDS = [
    word + " "
    for word in (
        "The deductible for water damage is 250.00 for each claim. It is paid once for all that one event"
        " has damaged. Report the damage within one week, and keep what broke."
    ).split()
]
TEXT = "".join(WORDS)
