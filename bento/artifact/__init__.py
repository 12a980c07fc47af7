"""The contract between training and serving: what a sealed model artifact holds, and how it is checked.

An artifact is a folder (an entry of the BentoML model store) with these files:

* ``model.onnx``: ``uint8`` images N×H×W in; ``probabilities`` N×C (calibrated), ``embedding`` N×D and ``cam``
  N×C×h×w (class activation map, as fine as the trainer could make it; its mean over h and w is the class's
  uncalibrated logit, less the head's bias) out, all ``float32``; since format 4 also ``novelty`` N (how unlike the
  training images; compare with :attr:`NoveltyFit.threshold`) and ``view`` N×5 (the probability of each of
  :data:`ORIENTATIONS`);
* ``weights.safetensors``: the same weights for the trainer;
* ``seen_images.csv``: since format 6, hashes of the training and validation images, which an evaluation leaves out;
* ``site_images.csv``: of a model that is calibrated for a site, hashes of the images that it was calibrated on;
* ``manifest.json``: :class:`Manifest`.
"""

from bento.artifact.folder import (
    FORMER_NAMES,
    MANIFEST_FILE,
    SEEN_FILE,
    SITE_IMAGES_FILE,
    WEIGHTS_FILE,
    ArtifactError,
    load_manifest,
    rename_fields,
    sha256_file,
)
from bento.artifact.manifest import (
    FORMAT_VERSION,
    INTENDED_USE,
    ONNX_FILE,
    ORIENTATIONS,
    STORE_NAME,
    SYNTHETIC_NOTICE,
    Calibration,
    CalibrationMetrics,
    ClassMetrics,
    DataSummary,
    Manifest,
    NoveltyFit,
    OperatingPoint,
    OrientationPoint,
    TestMetrics,
)
from bento.artifact.parts import Interval, Threshold
from bento.artifact.reference import (
    Histogram,
    ReferenceDistributions,
    describe_images,
)
from bento.artifact.revision import (
    git_revision,
)
from bento.artifact.site import Recalibration, RecalibrationMetrics, SiteCalibration, SiteThreshold

__all__ = [
    "FORMAT_VERSION",
    "FORMER_NAMES",
    "INTENDED_USE",
    "MANIFEST_FILE",
    "ONNX_FILE",
    "ORIENTATIONS",
    "SEEN_FILE",
    "SITE_IMAGES_FILE",
    "STORE_NAME",
    "SYNTHETIC_NOTICE",
    "WEIGHTS_FILE",
    "ArtifactError",
    "Calibration",
    "CalibrationMetrics",
    "ClassMetrics",
    "DataSummary",
    "Histogram",
    "Interval",
    "Manifest",
    "NoveltyFit",
    "OperatingPoint",
    "OrientationPoint",
    "Recalibration",
    "RecalibrationMetrics",
    "ReferenceDistributions",
    "SiteCalibration",
    "SiteThreshold",
    "TestMetrics",
    "Threshold",
    "describe_images",
    "git_revision",
    "load_manifest",
    "rename_fields",
    "sha256_file",
]
