"""Tell a DICOM file by its first bytes. Light to import, since this is asked about every upload."""

import struct

MARK, PREAMBLE = b"DICM", 128
"""A file of PS3.10 begins with so many bytes of anything, and the mark."""
HEAD = 2048
"""Bytes that are looked at."""
_GROUPS = (0x0002, 0x0008, 0x0010)
"""Groups of the first two elements: file meta information, identification, patient."""
_LONG = (b"OB", b"OW", b"SQ", b"UC", b"UN", b"UR", b"UT")
"""Value representations after which two bytes are reserved and the length has 32 bits (PS3.5 7.1.2)."""


def first_element(head: bytes | bytearray) -> int | None:
    """Where a DICOM file's first element begins; None where this is no DICOM file.

    Old archives hold files without preamble, and without file meta information. Such a file is taken for DICOM where
    it begins with two elements of group 0002 or 0008, little endian, in ascending order and of plausible lengths.

    Args:
        head: the file's first :data:`HEAD` bytes or more.
    """
    if head[PREAMBLE : PREAMBLE + len(MARK)] == MARK:
        return PREAMBLE + len(MARK)
    if head[: len(MARK)] == MARK:
        return len(MARK)
    if head[:2] not in (b"\x02\x00", b"\x08\x00"):
        return None
    second = _end(head, 0)
    makes_sense = second is not None and _end(head, second) is not None and _tag(head, 0) < _tag(head, second)
    return 0 if makes_sense else None


def is_explicit(head: bytes | bytearray, at: int) -> bool:
    """Whether the element that begins there names its value representation, as a pair of capital letters."""
    return head[at + 4 : at + 6].isalpha() and head[at + 4 : at + 6].isupper()


def _tag(head: bytes | bytearray, at: int) -> tuple[int, int]:
    group, element = struct.unpack_from("<HH", head, at)
    return group, element


def _end(head: bytes | bytearray, at: int) -> int | None:
    """Where the element ends that begins there; None where it makes no sense as one."""
    if at + 12 > len(head) or _tag(head, at)[0] not in _GROUPS:
        return None
    if not is_explicit(head, at):
        start, (length,) = at + 8, struct.unpack_from("<L", head, at + 4)
    elif head[at + 4 : at + 6] in _LONG:
        start, (length,) = at + 12, struct.unpack_from("<L", head, at + 8)
    else:
        start, (length,) = at + 8, struct.unpack_from("<H", head, at + 6)
    end = start + int(length)
    return None if length % 2 or end > min(len(head), HEAD) else end
