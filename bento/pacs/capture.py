"""The secondary capture: the image with its heat map, legend, scores and a warning, as a picture of its own."""

import base64
import copy
import functools
import io
from datetime import datetime

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from bento.inference.answer import ClassMap, ExplainedResponse
from bento.inference.overlays import FLOOR, OPACITY, colour_tables, overlay
from bento.pacs.judge import Model
from bento.pacs.report import DESCRIPTION, MANUFACTURER, NOT_FOR_DIAGNOSIS, SERIES_NUMBER
from bento.pacs.source import LOSSY, copy_patient_and_study
from bento.pacs.uids import derived_uid

SIDE, BAND, PANEL, MARGIN = 768, 34, 400, 20
"""Pixels: the picture's longer side, the band above it, the panel beside it, and the panel's margin."""
TEXT, SMALL = 20, 15
"""Height of letters in pixels."""
WHITE, GREY, WARNING = (235, 235, 235), (165, 165, 165), (255, 190, 90)
Colours = npt.NDArray[np.uint8]


def make_capture(source: Dataset, model: Model, answer: ExplainedResponse, made: datetime) -> Dataset:
    """The capture for an image that was judged.

    Args:
        source: the image's header.
        model: that judged it.
        answer: the service's answer, with heat maps.
        made: when.
    """
    picture = draw(answer, model)
    capture = Dataset()
    capture.file_meta = FileMetaDataset()
    capture.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    copy_patient_and_study(source, capture)
    uid = str(source.SOPInstanceUID)
    capture.SOPClassUID = SecondaryCaptureImageStorage
    capture.SOPInstanceUID = derived_uid("capture", uid, *model.identity)
    capture.SeriesInstanceUID = derived_uid("capture series", uid, *model.identity)
    capture.file_meta.MediaStorageSOPClassUID = capture.SOPClassUID
    capture.file_meta.MediaStorageSOPInstanceUID = capture.SOPInstanceUID
    capture.Modality, capture.ConversionType = "OT", "WSD"
    capture.SeriesNumber, capture.InstanceNumber = SERIES_NUMBER + 1, 1
    capture.SeriesDescription = DESCRIPTION
    capture.Manufacturer, capture.ManufacturerModelName = MANUFACTURER, model.name
    capture.SoftwareVersions = model.version
    capture.ImageType = ["DERIVED", "SECONDARY"]
    capture.DerivationDescription = f"Heat map and scores of {model.name} {model.version}; {NOT_FOR_DIAGNOSIS.lower()}"
    capture.ContentDate, capture.ContentTime = made.strftime("%Y%m%d"), made.strftime("%H%M%S.%f")
    capture.InstanceCreationDate, capture.InstanceCreationTime = capture.ContentDate, capture.ContentTime
    # Type 2C: both are asked for, and a picture with a panel beside it has neither.
    capture.PatientOrientation, capture.Laterality = None, None
    capture.BurnedInAnnotation = "NO"  # that would be text that tells who the patient is
    for keyword in LOSSY:
        if keyword in source:
            capture[keyword] = copy.deepcopy(source[keyword])
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = source.SOPClassUID, uid
    capture.SourceImageSequence = [reference]
    capture.SamplesPerPixel, capture.PhotometricInterpretation, capture.PlanarConfiguration = 3, "RGB", 0
    capture.Rows, capture.Columns = picture.height, picture.width
    capture.BitsAllocated, capture.BitsStored, capture.HighBit, capture.PixelRepresentation = 8, 8, 7, 0
    pixels = picture.tobytes()
    capture.PixelData = pixels + bytes(len(pixels) % 2)
    return capture


def draw(answer: ExplainedResponse, model: Model) -> Image.Image:
    """The capture's picture, mode ``RGB``."""
    explanation = answer.explanation
    with Image.open(io.BytesIO(base64.b64decode(explanation.image.partition(",")[2])), formats=("PNG",)) as picture:
        radiograph = picture.convert("L")
    shown = _shown(answer)
    strongest = max(0.0, *(max(map(max, one.values)) for one in explanation.maps))
    coloured = overlay(radiograph, np.asarray(shown.values, np.float32), explanation.frame, strongest or 1.0)
    scale = SIDE / max(radiograph.size)
    size = (max(1, round(radiograph.width * scale)), max(1, round(radiograph.height * scale)))
    coloured = coloured.resize(size, Image.Resampling.BILINEAR)
    canvas = Image.new("RGB", (size[0] + PANEL, max(size[1], SIDE) + BAND))
    canvas.paste(coloured, (0, BAND))
    ImageDraw.Draw(canvas).text((10, 6), NOT_FOR_DIAGNOSIS.upper(), WARNING, _font(TEXT))
    _panel(canvas, size[0] + MARGIN, answer, model, shown.label)
    return canvas


def _shown(answer: ExplainedResponse) -> ClassMap:
    """The map that is drawn: of the disease furthest above, or least below, its threshold; else of the top class."""
    best = max(answer.flags, key=lambda flag: (flag.flagged, flag.score - flag.threshold), default=None)
    label = best.label if best else answer.predictions[0].label
    return next(one for one in answer.explanation.maps if one.label == label)


def _panel(canvas: Image.Image, left: int, answer: ExplainedResponse, model: Model, shown: str) -> None:
    pen, top = ImageDraw.Draw(canvas), MARGIN

    def line(text: str, colour: tuple[int, int, int] = WHITE, size: int = TEXT) -> None:
        nonlocal top
        for part in _wrapped(text, size):
            if top + size <= canvas.height - MARGIN:
                pen.text((left, top), part, colour, _font(size))
            top += size + 6

    line(NOT_FOR_DIAGNOSIS.upper(), WARNING)
    if model.notice:
        line(model.notice, WARNING, SMALL)
    confidences = {prediction.label: prediction.confidence for prediction in answer.predictions}
    for flag in answer.flags:
        top += 8
        line(f"{flag.label}: {'FLAGGED' if flag.flagged else 'not flagged'}", WARNING if flag.flagged else WHITE)
        against = f" against {flag.reference}" if flag.reference else ""
        line(f"odds{against} {flag.score:.2f}, threshold {flag.threshold:.2f}", GREY, SMALL)
        if flag.label in confidences:
            line(f"probability {confidences[flag.label]:.2f}", GREY, SMALL)
    for label in confidences.keys() - {flag.label for flag in answer.flags}:
        top += 8
        line(f"{label}: probability {confidences[label]:.2f}")
    top += 14
    line(f"Heat map: {shown}", WHITE, SMALL)
    canvas.paste(Image.fromarray(_legend()), (left, top))
    top += _legend().shape[0] + 4
    line("weaker to stronger evidence: a region, no outline, and no proof", GREY, SMALL)
    top += 8
    for warning in answer.input_warnings:
        line(warning.text, WARNING, SMALL)
    top += 8
    line(f"{model.name} {model.version}", GREY, SMALL)
    line(f"sha256 {model.sha256[:16]}...", GREY, SMALL)


def _wrapped(text: str, size: int) -> list[str]:
    """A text in lines that fit the panel."""
    lines, font = [""], _font(size)
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= PANEL - 2 * MARGIN or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise RuntimeError("Pillow was built without FreeType")
    return font


@functools.cache
def _legend() -> Colours:
    """The colours from the weakest that is coloured to the strongest, on black."""
    width = PANEL - 2 * MARGIN
    levels = np.linspace(255 * FLOOR, 255, width).astype(int)
    tint, _ = colour_tables()
    return np.repeat((tint[levels] / OPACITY).round().astype(np.uint8)[None], 14, axis=0)
