"""Optional API keys. ``python -m bento.keys [NOTE]`` makes one: the key for the client, its hash for the service.

Only hashes are kept. A key is 256 random bits, so that one round of SHA-256 is enough: there is nothing to guess.
"""

import hashlib
import secrets
import sys
from pathlib import Path


def hash_key(key: str) -> str:
    """SHA-256 of a key as 64 hexadecimal digits."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def read_hashes(text: str, file: Path | None) -> list[str]:
    """The hashes of a setting (commas between) and of a file (one a line, then a comment).

    Raises:
        ValueError: the file can't be read, or something is not a hash; one line that says where.
    """
    entries = [("CHEST_XRAY_API_KEY_HASHES", entry) for entry in text.replace(",", " ").split()]
    if file is not None:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{file}: can't be read ({error})") from error
        filled = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
        entries += [(str(file), line.split()[0]) for line in filled]
        if not filled:
            raise ValueError(f"{file}: holds no key; every request would be let in")
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
