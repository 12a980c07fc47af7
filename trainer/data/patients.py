"""The patient of an image by its file name, for datasets that don't say it otherwise."""

import re
from functools import cache
from pathlib import PurePosixPath

from trainer.errors import UserError

# A name part starts at the beginning or after a character that is neither letter nor digit, so that prefixes such
# as `NORMAL2-` or a collection's name do no harm.
_START = r"(?:^|[^A-Za-z0-9])"
RULES: tuple[re.Pattern[str], ...] = tuple(
    re.compile(_START + rule)
    for rule in (
        # Kermany et al. 2018. Bacterial and viral images count persons in one sequence as far as can be told, so
        # person12_bacteria and person12_virus stay together: should they be two children, nothing leaks.
        r"(person\d+)_(?:bacteria|virus)_\d+",
        r"(IM-\d+)-\d+",
        r"(?:BACTERIA|VIRUS|NORMAL)-(\d+)-\d+",
        # NLM: Shenzhen and Montgomery.
        r"((?:CHNCXR|MCUCXR)_\d+)_[01]",
    )
)


def person(site: str, patient: str) -> str:
    """Key of a patient among all sites: patient numbers start anew in each hospital.

    It sorts as the patient's own name does, and is not for print.
    """
    return f"{patient}\x1f{site}"


def patient_from_name(path: str, pattern: str | None = None) -> str | None:
    """Read the patient from a file name: by the user's pattern, else by the :data:`RULES` of known datasets.

    Folders in ``path`` do not count. None where neither finds a patient.

    Raises:
        UserError: the pattern is not a regular expression with a group.
    """
    name = PurePosixPath(path).name
    users = (_compile(pattern),) if pattern is not None else ()
    for rule in (*users, *RULES):
        match = rule.search(name)
        patient: str | None = match and match[1]
        if patient:
            return patient
    return None


@cache
def _compile(pattern: str) -> re.Pattern[str]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UserError(f"--patient-pattern {pattern!r}: not a regular expression ({error})") from error
    if not compiled.groups:
        raise UserError(f"--patient-pattern {pattern!r}: has no group; put the patient's part in parentheses")
    return compiled


def check_pattern(pattern: str | None, paths: list[str]) -> None:
    """Refuse a user's pattern that finds no patient in any file name.

    Raises:
        UserError: it matches none, or is not a regular expression with a group.
    """
    if pattern is None:
        return
    compiled = _compile(pattern)
    if not paths:
        raise UserError("--patient-pattern: the manifest names every image's patient; leave the pattern away")
    if not any(compiled.search(PurePosixPath(path).name) for path in paths):
        raise UserError(f"--patient-pattern {pattern!r}: matches no file name, e.g. not {paths[0]!r}")
