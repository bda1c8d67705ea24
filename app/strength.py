"""Whether a secret of the settings is one: keys that can be guessed, and texts that stand for a secret in an example."""

from __future__ import annotations

SHORTEST_KEY = 32  # characters; 32 hexadecimal digits are 128 bits
LEAST_GUESSES = 24  # decimal digits of zxcvbn's estimate; random hexadecimal digits of that length have 28, words of a sentence fewer
JUDGED = 72  # characters; zxcvbn refuses more, and the rest can only make it better
# Words of examples and defaults, of five letters or more: in a random key they are as good as never there.
GIVEAWAYS = (
    "change",
    "secret",
    "passw",
    "default",
    "example",
    "develop",
    "insecure",
    "production",
    "jobwright",
    "placeholder",
    "replace",
    "sample",
    "todo-",
    "test-key",
    "testkey",
    "dummy",
)
PLACEHOLDERS = frozenset(
    {
        "changeme",
        "changethis",
        "secret",
        "password",
        "passwd",
        "default",
        "example",
        "test",
        "dev",
        "development",
        "todo",
        "xxx",
        "dummy",
        "none",
        "null",
        "admin",
        "replaceme",
        "yoursecret",
        "yourpassword",
        "clientsecret",
        "letmein",
    }
)


def key_weakness(key: str) -> str | None:
    """Why a key could be guessed, as the end of a sentence; None where it could not.

    `dev`, a blank and `changeme` are too short; 40 times the same letter, rows of the keyboard and `deadbeef` again and again are guessed
    in fewer than 10^24 tries; `please-change-this-secret-key-before-production` stands in examples.
    """
    if len(key.strip()) < SHORTEST_KEY:
        return f"has fewer than {SHORTEST_KEY} characters"
    if any(word in key.lower() for word in GIVEAWAYS):
        return "contains a word from an example, so it is not random"
    from zxcvbn import zxcvbn  # noqa: PLC0415 - its word lists take a tenth of a second to load

    if zxcvbn(key[:JUDGED])["guesses_log10"] < LEAST_GUESSES:
        return "repeats itself or is made of known words, so it can be guessed"
    return None


def is_placeholder(secret: str) -> bool:
    """Whether it is a blank, or a word that stands for a secret in an example."""
    bare = "".join(character for character in secret.casefold() if character.isalnum())
    return not bare or bare in PLACEHOLDERS or len(set(bare)) == 1


HOW_TO_MAKE_A_KEY = "Make one with: openssl rand -base64 48"
