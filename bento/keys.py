"""Optional API keys. ``python -m bento.keys [NOTE]`` makes one: the key for the client, its hash for the service.

Only hashes are kept. A key is 256 random bits, so that one round of SHA-256 is enough: there is nothing to guess.
"""

import codecs
import hashlib
import secrets
import sys
from pathlib import Path

from bento.settings import KEY_VARIABLES

UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def hash_key(key: str) -> str:
    """Give the SHA-256 of a key as 64 hexadecimal digits."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def read_hashes(text: str, file: Path | None) -> list[str]:
    """Give the hashes of a setting (commas between) and of a file (one a line, then a comment).

    Args:
        text: value of ``CHEST_XRAY_API_KEY_HASHES``; empty: not given.
        file: value of ``CHEST_XRAY_API_KEY_FILE``: UTF-8, or UTF-16 with the mark that PowerShell puts first.

    Raises:
        ValueError: the file can't be read, or something is not a hash; one line that names the variable.
    """
    variable, file_variable = KEY_VARIABLES
    entries = [(variable, entry) for entry in text.lstrip("\ufeff").replace(",", " ").split()]
    if text and not entries:
        raise ValueError(f"{variable} holds no key; every request would be let in")
    if file is not None:
        where = f"{file_variable}: {file}"
        try:
            data = file.read_bytes()
            lines = data.decode("utf-16" if data.startswith(UTF_16_MARKS) else "utf-8-sig").splitlines()
        except OSError as error:
            raise ValueError(f"{where}: can't be read ({error.strerror})") from error
        except UnicodeDecodeError as error:
            raise ValueError(f"{where}: not text in UTF-8, nor in UTF-16 with a byte order mark") from error
        filled = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
        entries += [(where, line.split()[0]) for line in filled]
        if not filled:
            raise ValueError(f"{where}: holds no key; every request would be let in")
    hashes = []
    for where, entry in entries:
        if len(entry) != 64 or not set(entry.lower()) <= set("0123456789abcdef"):
            raise ValueError(f"{where}: not a SHA-256 in hexadecimal; make one with `python -m bento.keys`")
        hashes.append(entry.lower())
    return hashes


def main(arguments: list[str]) -> None:
    """Print a new key, and the line for the service's file."""
    key = secrets.token_urlsafe(32)
    print(f"key, for the client (shown once):  {key}", file=sys.stderr)
    print(" ".join((hash_key(key), *arguments)))


if __name__ == "__main__":
    main(sys.argv[1:])
