"""The image that came: its header, whether it is for the model, and what of it its results carry on."""

from typing import cast

from pydicom import Dataset, config, dcmread
from pydicom.dataelem import DataElement
from pydicom.tag import Tag
from pydicom.uid import UID
from pydicom.valuerep import validate_value

from bento.imaging.dicom.geometry import is_lateral
from bento.imaging.dicom.header import DAMAGE, LimitedStream, code_string
from bento.imaging.dicom.reader import NAMEABLE, RADIOGRAPHY, check_kind
from bento.imaging.errors import DamagedImageError, ImageError, NotChestError

NEEDED = ("SOPInstanceUID", "SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID")
PATIENT_AND_STUDY = (
    "SpecificCharacterSet", "PatientName", "PatientID", "IssuerOfPatientID", "TypeOfPatientID",
    "IssuerOfPatientIDQualifiersSequence", "PatientBirthDate", "PatientBirthTime", "PatientSex", "PatientAge",
    "PatientSize", "PatientWeight", "OtherPatientIDs", "OtherPatientIDsSequence", "OtherPatientNames", "EthnicGroup",
    "PatientComments", "PatientSpeciesDescription", "PatientSpeciesCodeSequence", "PatientBreedDescription",
    "PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence",
    "ClinicalTrialSponsorName", "ClinicalTrialProtocolID", "ClinicalTrialProtocolName", "ClinicalTrialSiteID",
    "ClinicalTrialSiteName", "ClinicalTrialSubjectID", "ClinicalTrialSubjectReadingID", "ClinicalTrialTimePointID",
    "StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "StudyDescription", "AccessionNumber",
    "IssuerOfAccessionNumberSequence", "ReferringPhysicianName", "PhysiciansOfRecord", "ProcedureCodeSequence",
    "AdmissionID", "IssuerOfAdmissionIDSequence", "MedicalAlerts", "Allergies", "PregnancyStatus",
)  # fmt: skip
"""Elements of patient and study (PS3.3 C.7.1 and C.7.2) that results have as the image has them."""
EMPTY_IF_ABSENT = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
    "AccessionNumber", "ReferringPhysicianName",
)  # fmt: skip
"""Those that a composite object must have, with no value where none is known (type 2)."""

LOSSY = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")
"""Elements of an image that was compressed with losses; a capture made of it says so, too."""
_READ = [Tag(keyword) for keyword in (
    *NEEDED, *PATIENT_AND_STUDY, *LOSSY, "Modality", "ImageType", "PresentationIntentType", "BodyPartExamined",
    "ViewPosition", "ViewCodeSequence", "PatientOrientation",
)]  # fmt: skip


def read_source(data: bytes) -> Dataset:
    """The header of a DICOM file, within the limits of the image intake: what is needed of it.

    Raises:
        ImageError: no DICOM file, damaged, or without the UIDs of image, series and study.
    """
    try:
        header = dcmread(LimitedStream(data), stop_before_pixels=True, force=True, specific_tags=_READ)
        uids = [UID(str(header.get(keyword, ""))) for keyword in NEEDED]
    except ImageError:
        raise
    except DAMAGE:
        raise DamagedImageError("the DICOM file's header is damaged") from None
    if not all(uid.is_valid for uid in uids):
        raise DamagedImageError("the DICOM file lacks a valid UID of its class, image, series or study")
    return cast(Dataset, header)


def why_not(header: Dataset) -> str:
    """Why an image is not for the model, by its header; empty where it is. Nothing of the header is quoted.

    Raises:
        ImageError: the header is damaged.
    """
    try:
        modality = code_string(header, "Modality")
        if modality not in RADIOGRAPHY:
            name = modality if modality in NAMEABLE else "another one"
            return f"not a radiograph: its modality is {name}"
        image_type = [str(part).upper() for part in header.get("ImageType") or ()]
        if "SECONDARY" in image_type[1:2]:
            return "a derived image"
        if code_string(header, "PresentationIntentType") == "FOR PROCESSING":
            return "a detector's raw values; the image for presentation is judged"
        check_kind(header)
        if is_lateral(header) or _is_coded_lateral(header):
            return "a lateral view"
    except NotChestError as error:
        return str(error)
    except DAMAGE:
        raise DamagedImageError("the DICOM file's header is damaged") from None
    return ""


def _is_coded_lateral(header: Dataset) -> bool:
    meanings = [str(item.get("CodeMeaning", "")).upper() for item in header.get("ViewCodeSequence") or ()]
    return any("LATERAL" in meaning for meaning in meanings)


def copy_patient_and_study(source: Dataset, target: Dataset) -> None:
    """Give a result the image's patient and study, as they are, character set included.

    An optional element whose value breaks the rules of its kind is left out: no archive has to take it twice.
    """
    for keyword in PATIENT_AND_STUDY:
        element = _element(source, keyword)
        if element is not None and (keyword in EMPTY_IF_ABSENT or _is_valid(element)):
            target[keyword] = element  # neither is changed any more
        elif keyword in EMPTY_IF_ABSENT:
            setattr(target, keyword, None)
        elif keyword in target:
            delattr(target, keyword)


def _element(source: Dataset, keyword: str) -> DataElement | None:
    try:
        return source[keyword]
    except DAMAGE:  # it is not there, or no value of its kind
        return None


def _is_valid(element: DataElement) -> bool:
    if element.VR in ("SQ", "PN"):
        return True
    try:
        for value in element.value if element.VM > 1 else [element.value]:
            if isinstance(value, str):
                validate_value(element.VR, value, config.RAISE)
    except (ValueError, TypeError):
        return False
    return True
