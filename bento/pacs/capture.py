"""The secondary capture: the image with its heat map, legend, scores and a warning, as a picture of its own."""

import base64
import functools
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.multival import MultiValue
from pydicom.uid import JPEGBaseline8Bit, SecondaryCaptureImageStorage

from bento.inference.answer import ClassMap, ExplainedResponse
from bento.inference.overlays import FLOOR, colour_tables, overlay
from bento.pacs.judge import Model
from bento.pacs.report import DESCRIPTION, MANUFACTURER, NOT_FOR_DIAGNOSIS, SERIES_NUMBER
from bento.pacs.source import LOSSY, copy_patient_and_study
from bento.pacs.uids import derived_uid

SIDE, BAND, PANEL, MARGIN = 512, 34, 400, 20
"""Pixels: the picture's longer side, as the service gives it; the band above it, the panel beside it, its margin."""
TEXT, SMALL, SPACE = 20, 15, 6
"""Height of letters and of what is between lines, in pixels."""
QUALITY, HALF_COLOUR = 92, 1
"""Of the JPEG: its level, and half as many columns of colour as of grey, as DICOM's YBR_FULL_422 has."""
JPEG_METHOD = "ISO_10918_1"
"""DICOM's name of JPEG."""
CACHED = 500
"""Texts that are kept as pictures: nearly all of them come again."""
WHITE, GREY, WARNING = (235, 235, 235), (165, 165, 165), (255, 190, 90)


def make_capture(source: Dataset, model: Model, answer: ExplainedResponse, made: datetime) -> Dataset:
    """The capture for an image that was judged.

    Args:
        source: the image's header.
        model: that judged it.
        answer: the service's answer, with heat maps.
        made: when.
    """
    picture, stream = draw(answer, model), io.BytesIO()
    picture.save(stream, "JPEG", quality=QUALITY, subsampling=HALF_COLOUR)
    capture = Dataset()
    capture.file_meta = FileMetaDataset()
    capture.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
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
    _lossy(source, capture, 3 * picture.width * picture.height / stream.tell())
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = source.SOPClassUID, uid
    capture.SourceImageSequence = [reference]
    capture.SamplesPerPixel, capture.PhotometricInterpretation, capture.PlanarConfiguration = 3, "YBR_FULL_422", 0
    capture.Rows, capture.Columns = picture.height, picture.width
    capture.BitsAllocated, capture.BitsStored, capture.HighBit, capture.PixelRepresentation = 8, 8, 7, 0
    capture.PixelData = encapsulate([stream.getvalue()])
    capture["PixelData"].VR = "OB"
    return capture


def _lossy(source: Dataset, capture: Dataset, ratio: float) -> None:
    """Say that the capture was compressed with losses, after those of the image where it tells of any."""
    before = [list(_values(source.get(keyword))) for keyword in LOSSY[1:]]
    ratios, methods = before if len(before[0]) == len(before[1]) else ([], [])
    capture.LossyImageCompression = "01"
    capture.LossyImageCompressionRatio = [*ratios, f"{ratio:.1f}"]
    capture.LossyImageCompressionMethod = [*methods, JPEG_METHOD]


def _values(value: Any) -> Iterable[Any]:
    if value is None or value == "":
        return ()
    return value if isinstance(value, MultiValue) else (value,)


def draw(answer: ExplainedResponse, model: Model) -> Image.Image:
    """The capture's picture, mode ``RGB``."""
    explanation = answer.explanation
    with Image.open(io.BytesIO(base64.b64decode(explanation.image.partition(",")[2])), formats=("JPEG",)) as picture:
        radiograph = picture.convert("L")
    shown = _shown(answer)
    strongest = max(0.0, *(max(map(max, one.values)) for one in explanation.maps))
    coloured = overlay(radiograph, np.asarray(shown.values, np.float32), explanation.frame, strongest or 1.0)
    scale = SIDE / max(radiograph.size)
    size = (max(1, round(radiograph.width * scale)), max(1, round(radiograph.height * scale)))
    coloured = coloured if coloured.size == size else coloured.resize(size, Image.Resampling.BILINEAR)
    panel = _panel([*_scores(answer, model), *_below(answer, model, shown.label)])
    canvas = Image.new("RGB", (size[0] + PANEL, max(SIDE + BAND, panel.height)))
    canvas.paste(coloured, (0, BAND))
    ImageDraw.Draw(canvas).text((10, 6), NOT_FOR_DIAGNOSIS.upper(), WARNING, _font(TEXT))
    canvas.paste(panel, (size[0], 0))
    return canvas


def _shown(answer: ExplainedResponse) -> ClassMap:
    """The map that is drawn: of the flagged disease that is most probable, else of any; else of the top class."""
    confidences = {prediction.label: prediction.confidence for prediction in answer.predictions}
    best = max(answer.flags, key=lambda flag: (flag.flagged, confidences.get(flag.label, 0)), default=None)
    label = best.label if best else answer.predictions[0].label
    return next(one for one in answer.explanation.maps if one.label == label)


@dataclass(frozen=True)
class _Line:
    """A text in the panel, wrapped where it is too long; or, without one, the legend."""

    text: str
    colour: tuple[int, int, int] = WHITE
    size: int = TEXT
    above: int = 0
    """Pixels of further space."""


def _scores(answer: ExplainedResponse, model: Model) -> list[_Line]:
    """What the model says."""
    lines = [_Line(NOT_FOR_DIAGNOSIS.upper(), WARNING)]
    if model.notice:
        lines.append(_Line(model.notice, WARNING, SMALL))
    confidences = {prediction.label: prediction.confidence for prediction in answer.predictions}
    for flag in answer.flags:
        result, colour = ("FLAGGED", WARNING) if flag.flagged else ("not flagged", WHITE)
        against = f" against {flag.reference}" if flag.reference else ""
        lines.append(_Line(f"{flag.label}: {result}", colour, above=8))
        lines.append(_Line(f"odds{against} {flag.score:.2f}, threshold {flag.threshold:.2f}", GREY, SMALL))
        if flag.label in confidences:
            lines.append(_Line(f"probability {confidences[flag.label]:.2f}", GREY, SMALL))
    flagged = {flag.label for flag in answer.flags}
    others = [label for label in confidences if label not in flagged]
    return lines + [_Line(f"{label}: probability {confidences[label]:.2f}", above=8) for label in others]


def _below(answer: ExplainedResponse, model: Model, shown: str) -> list[_Line]:
    """What the picture shows, what speaks against the answer, and whose it is."""
    warnings = [_Line(warning.text, WARNING, SMALL) for warning in answer.input_warnings]
    return [
        _Line(f"Heat map: {shown}", WHITE, SMALL, 14),
        _Line(""),
        _Line("weaker to stronger evidence: a region, no outline, and no proof", GREY, SMALL),
        *warnings,
        _Line(f"{model.name} {model.version}", GREY, SMALL, 8),
        _Line(f"sha256 {model.sha256[:16]}...", GREY, SMALL),
    ]


def _panel(lines: Sequence[_Line]) -> Image.Image:
    """The lines one below the other, on black; as high as they are."""
    pictures = [_written(line.text, line.size) if line.text else _legend() for line in lines]
    heights = [line.above + picture.height for line, picture in zip(lines, pictures, strict=True)]
    panel, top = Image.new("RGB", (PANEL, sum(heights) + 2 * MARGIN)), MARGIN
    for line, picture in zip(lines, pictures, strict=True):
        top += line.above
        if line.text:
            panel.paste(line.colour, (MARGIN, top), picture)
        else:
            panel.paste(picture, (MARGIN, top))
        top += picture.height
    return panel


@functools.lru_cache(CACHED)
def _written(text: str, size: int) -> Image.Image:
    """A text in as many lines as it takes, white on black, mode ``L``."""
    lines = _wrapped(text, size)
    picture = Image.new("L", (PANEL - 2 * MARGIN, (size + SPACE) * len(lines)))
    pen = ImageDraw.Draw(picture)
    for number, line in enumerate(lines):
        pen.text((0, number * (size + SPACE)), line, 255, _font(size))
    return picture


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
def _legend() -> Image.Image:
    """The colours from the weakest that is coloured to the strongest, with space below."""
    width = PANEL - 2 * MARGIN
    colours, _ = colour_tables()
    levels = np.linspace(255 * FLOOR, 255, width).astype(int)
    picture = Image.new("RGB", (width, 18))
    picture.paste(Image.fromarray(np.repeat(colours[levels][None], 14, axis=0)))
    return picture
