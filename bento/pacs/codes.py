"""Codes of the report: SNOMED CT and DICOM where there is one, a private scheme otherwise (docs/pacs.md lists it)."""

import re

from pydicom.sr.coding import Code

PRIVATE = "99CXRS"
"""Coding scheme designator of this project: PS3.16 8.2 keeps 99… for private ones."""
LONGEST_VALUE, LONGEST_MEANING = 16, 64
"""Characters of a code's value (SH) and meaning (LO)."""
FINDINGS = {
    "ATELECTASIS": ("46621007", "Atelectasis"),
    "CARDIOMEGALY": ("8186001", "Cardiomegaly"),
    "CONSOLIDATION": ("95436008", "Lung consolidation"),
    "COVID-19": ("840539006", "COVID-19"),
    "EDEMA": ("19242006", "Pulmonary edema"),
    "EFFUSION": ("60046008", "Pleural effusion"),
    "NORMAL": ("17621005", "Normal"),
    "PLEURAL EFFUSION": ("60046008", "Pleural effusion"),
    "PNEUMONIA": ("233604007", "Pneumonia"),
    "PNEUMOTHORAX": ("36118008", "Pneumothorax"),
    "TUBERCULOSIS": ("56717001", "Tuberculosis"),
}
"""SNOMED CT's code and meaning of a class, by its name in capitals."""


def private(value: str, meaning: str) -> Code:
    """A code of the private scheme; what is too long is cut, and what is not ASCII replaced."""
    plain = meaning.encode("ascii", "replace").decode()
    return Code(value[:LONGEST_VALUE], PRIVATE, plain[:LONGEST_MEANING])


def finding(label: str) -> Code:
    """The code of a class."""
    key = label.upper().replace("_", " ")
    if key in FINDINGS:
        value, meaning = FINDINGS[key]
        return Code(value, "SCT", meaning)
    return private(re.sub(r"[^A-Z0-9]+", "-", key).strip("-") or "CLASS", label)


PROBABILITY = Code("122157", "DCM", "Probability")
THRESHOLD = Code("122411", "DCM", "Threshold Value")
NO_UNIT = Code("1", "UCUM", "no units")
CHEST_XRAY = Code("399208008", "SCT", "Plain chest X-ray")
ODDS_SCORE = private("ODDS-SCORE", "Odds of the disease against normal")
SITE_PROBABILITY = private("SITE-PROBABILITY", "Probability at the site's stated prevalence")
RESULT = private("RESULT", "Result of the comparison with the threshold")
FLAGGED = private("FLAGGED", "Flagged: the score is at least the threshold")
NOT_FLAGGED = private("NOT-FLAGGED", "Not flagged: the score is below the threshold")
INTENDED_USE = private("INTENDED-USE", "Intended use")
RESEARCH = private("RESEARCH", "Research use, not for diagnosis")
NOVELTY = private("NOVELTY", "Novelty of the image")
NOVELTY_THRESHOLD = private("NOVELTY-LIMIT", "Novelty above which the model does not know it")
INPUT_WARNING = private("INPUT-WARNING", "Input warning")
REFUSAL = private("REFUSAL", "Why the image was not judged")
QUALITY = private("IMAGE", "The image as it went to the model")
"""Finding type of the group that tells about the image itself."""
