"""Every setting of the trainer: typed, validated, with a default that works on a laptop's CPU.

A setting comes from, in this order: a flag (``--image-size 160``), an environment variable
(``TRAINER_IMAGE_SIZE=160``), the YAML file named by ``--config``, the default below.
"""

import inspect
import math
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, CliPositionalArg, NoDecode, SettingsConfigDict

from bento.imaging.preprocessing import Preprocessing
from trainer.backbone_names import BackboneName, checked_weights

KAGGLE_HANDLE = "muhammadrehan00/chest-xray-dataset"
ENV_PREFIX = "TRAINER_"
DEFAULT_MODEL = "chest_xray:latest"


class CommandSettings(BaseSettings):
    """What the settings of all commands have in common. Field docstrings are the help texts."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_hide_none_type=True,
        cli_avoid_json=True,
    )
    group: ClassVar[str] = "Settings"
    """Heading of the settings that a class adds, in ``--help`` and in docs/configuration.md."""


class DataSettings(CommandSettings):
    """Where images come from, and how they are split."""

    group: ClassVar[str] = "Data"
    dataset: Annotated[tuple[str, ...], NoDecode] = Field(default=("kaggle",), min_length=1)
    """Dataset: `kaggle`, `sample` (generated), or a folder: the download of a public set, one with a subfolder for each class, or one with a manifest.csv. Repeated, or a list in the YAML file: several datasets; NAME:PATH names one."""  # noqa: E501
    kaggle_handle: str = Field(default=KAGGLE_HANDLE, pattern=r"^[\w.-]+/[\w.-]+(/versions/\d+)?$")
    """Kaggle dataset, as owner/name."""
    data_dir: Path = Path("data")
    """Folder for raw images, splits and manifest.csv; it holds the datasets of one --dataset list."""
    replace: bool = False
    """Let new datasets take the place of others that --data-dir already holds."""
    split: Literal["grouped", "official", "random"] = "grouped"
    """grouped: patients and duplicates stay on one side; official: the dataset's own; random: by image, as the reference project did (leaks patients)."""  # noqa: E501
    patient_pattern: str | None = None
    r"""Regular expression on the file name whose first group is the patient, e.g. '^(p\d+)_'; for sets without a patient column."""  # noqa: E501
    site_by_file: bool = False
    """Where no site is known, let the kind of file (format, compression, size) stand for it."""
    hold_out_site: str | None = None
    """Site (hospital) that training and validation do without: evaluation then tests the model on its images too."""
    sample_images: int = Field(default=600, ge=30)
    """Number of generated images of `--dataset sample`."""
    sample_size: int = Field(default=256, ge=64, le=2048)
    """Side of the generated images in pixels."""
    sample_hospitals: int = Field(default=3, ge=1, le=26)
    """Number of hospitals that the generated images come from."""
    sample_confounded: bool = False
    """Make class and hospital go together in the generated images, to see whether the evaluation notices."""

    @field_validator("dataset", mode="before")
    @classmethod
    def _one_is_enough(cls, dataset: object) -> object:
        return (dataset,) if isinstance(dataset, str | Path) else dataset


class ModelSettings(CommandSettings):
    """The network and its intake."""

    group: ClassVar[str] = "Model"
    backbone: BackboneName = "efficientnet_b0"
    """Backbone network."""
    weights: str = "imagenet"
    """Weights to start from: `imagenet`; `xrv-all` or another of torchxrayvision's for densenet121, trained on chest radiographs; `none` (random); a .safetensors or .pth file with a state_dict, or a .pt file of torchxrayvision."""  # noqa: E501
    image_size: int = Field(default=224, ge=32, le=1024)
    """Side of the square model input in pixels."""
    crop: Literal["anatomy", "none"] = "anatomy"
    """Intake, in training and serving alike. anatomy: uniform and dark borders of an image are cut off."""
    contrast: Literal["clahe", "none"] = "clahe"
    """Intake, in training and serving alike. clahe: contrast-limited adaptive histogram equalisation."""

    @property
    def preprocessing(self) -> Preprocessing:
        """The intake that the model is trained for, part of its manifest."""
        return Preprocessing(image_size=self.image_size, crop=self.crop, contrast=self.contrast)

    @field_validator("weights")
    @classmethod
    def _weights_exist(cls, weights: str, info: ValidationInfo) -> str:
        return checked_weights(weights, info.data.get("backbone"))


class TrainingSettings(CommandSettings):
    """The two phases, the cache and the augmentation."""

    group: ClassVar[str] = "Training"
    epochs_a: int = Field(default=1, ge=1)
    """Phase A (backbone frozen, head trained): largest number of epochs."""
    epochs_b: int = Field(default=8, ge=0)
    """Phase B (last blocks and head trained): largest number of epochs; 0 leaves it out."""
    lr_a: float = Field(default=3e-3, gt=0)
    """Phase A: peak learning rate of the head."""
    lr_b: float = Field(default=2e-3, gt=0)
    """Phase B: peak learning rate of the head; the last block's is this times --block-lr-factor, the one's before it times that factor again."""  # noqa: E501
    block_lr_factor: float = Field(default=0.7, gt=0, le=1)
    """Phase B: discriminative learning rates, factor from each block to the one before it."""
    blocks_b: int | None = Field(default=None, ge=1)
    """Phase B: how many of the last blocks are trained. Default, and most: as many as the backbone's Phase B has."""
    batch_norm: float = Field(default=0.1, ge=0, le=1)
    """Phase B: momentum with which the trained blocks' BatchNorm statistics follow the images; 0 keeps those of --weights."""  # noqa: E501
    warmup_epochs: float = Field(default=1.0, ge=0)
    """Epochs of linear warm-up before the cosine annealing, in each phase."""
    patience: int = Field(default=5, ge=1)
    """Early stopping: epochs in a row whose validation macro F1 is clearly (1.96 standard errors) below the best."""
    batch_size: int = Field(default=32, ge=2)
    """Images a step (and process)."""
    weight_decay: float = Field(default=1e-2, ge=0)
    """AdamW's weight decay."""
    averaging: float = Field(default=1.5, ge=0)
    """Phase B: epochs that a moving average of the weights reaches back; the average is the model. 0: none."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of the target spread over all classes."""
    class_weighting: Literal["groups", "classes", "none"] = "groups"
    """What weighs the same in the loss. groups: every class of every site; classes: every class; none: every image."""
    site_prior: float = Field(default=0.5, ge=0)
    """How strongly each site's class shares are taken out of the loss, so that knowing an image's hospital does not help to tell its class; 1: wholly, 0: not."""  # noqa: E501
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Dropout before the head."""
    cache: Literal["views", "fresh", "off"] = "views"
    """views: the frozen prefix runs once for each of --views views of an image; fresh: images are decoded once, augmented and run through the prefix each epoch; off: nothing is kept, images are decoded each epoch too."""  # noqa: E501
    views: int = Field(default=4, ge=2, le=64)
    """Views of each training image in the cache: the image as it is, shown every other epoch, and augmented ones, in turn between."""  # noqa: E501
    cache_gb: float = Field(default=20.0, ge=0)
    """Largest size of data_dir/cache in gigabytes; over it, caches used longest ago go, then there are fewer views, then none."""  # noqa: E501
    rotation: float = Field(default=12.0, ge=0, le=45)
    """Augmentation: largest rotation in degrees."""
    shift: float = Field(default=0.08, ge=0, le=0.5)
    """Augmentation: largest shift as a share of the side."""
    scale: float = Field(default=0.15, ge=0, lt=1)
    """Augmentation: largest change of scale, and half of it of the aspect ratio."""
    exposure: float = Field(default=0.5, ge=0, lt=1)
    """Augmentation: largest change of contrast and, as an exponent, of gamma."""
    sharpness: float = Field(default=1.0, ge=0, le=1)
    """Augmentation: strength of random blurring and, half as much, sharpening."""
    noise: float = Field(default=0.06, ge=0, le=0.5)
    """Augmentation: largest standard deviation of noise, as a share of the grey scale; half of them get none."""
    flip: bool = False
    """Augmentation: mirror left and right. Off: the heart has a side."""


class EvaluationSettings(CommandSettings):
    """Thresholds, and the class without disease."""

    group: ClassVar[str] = "Evaluation"
    target_sensitivity: float = Field(default=0.9, gt=0, le=1)
    """Share of each disease's validation images that its threshold must catch; WHO asks 0.9 of a triage test for tuberculosis."""  # noqa: E501
    normal_class: str = "NORMAL"
    """Class without disease: it gets no threshold, and a disease called this is a failure of its own."""


class RunSettings(CommandSettings):
    """Where a run is kept, and how it is computed."""

    group: ClassVar[str] = "Run"
    run: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,79}$")
    """Name of the run. Default: for a new one the time and the backbone, otherwise the latest."""
    runs_dir: Path = Path("runs")
    """Folder for runs: configuration, checkpoints, TensorBoard events, metrics, predictions."""
    resume: bool = False
    """Continue --run (default: the latest) from its last checkpoint, with its saved settings."""
    keep_checkpoints: bool = False
    """Keep all checkpoints of a run that has ended, not only the best one of each phase."""
    promote: bool = False
    """Serve the model by default once it is published, even if it is worse than the one that is served now, or can't be compared with it."""  # noqa: E501
    seed: int = Field(default=1, ge=0, lt=2**31)
    """Seed of the split, the generated images, the initial head, the data order and the augmentation."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train."""
    workers: int = Field(default=0, ge=0)
    """Threads that decode images; 0: by the number of cores."""


class Settings(RunSettings, EvaluationSettings, TrainingSettings, ModelSettings, DataSettings):
    """Settings of a run, as its ``config.yaml`` keeps them."""


class StoredModelSettings(Settings):
    """Settings of commands that judge a run on its test split, or with --model a stored model on any folder."""

    group: ClassVar[str] = "Stored model"
    model: str | None = None
    """Stored model to judge on --dataset PATH, e.g. chest_xray:latest; without it, the run on its test split."""
    out: Path | None = None
    """With --model: folder for metrics.json and predictions.csv."""


class EvaluateSettings(StoredModelSettings):
    """Settings of ``evaluate``."""

    group: ClassVar[str] = "Evaluation"
    prevalence: str | None = None
    """How frequent diseases are where the model is to be used, for predictive values: a share of all images, e.g. 0.02, or one a class, as in TUBERCULOSIS=0.02,PNEUMONIA=0.1."""  # noqa: E501

    @field_validator("prevalence")
    @classmethod
    def _shares(cls, prevalence: str | None) -> str | None:
        shares_of(prevalence)
        return prevalence


def shares_of(prevalence: str | None) -> dict[str, float]:
    """The shares of ``--prevalence`` by class; the one of all classes by the empty name.

    Raises:
        ValueError: something is no share, or a class is named twice.
    """
    shares: dict[str, float] = {}
    for part in (prevalence or "").split(",") if prevalence is not None else []:
        label, _, share = part.rpartition("=")
        label = label.strip().upper()
        try:
            value = float(share)
        except ValueError:
            value = math.nan
        if not 0 < value < 1 or label in shares:
            raise ValueError(f"{part.strip()!r}: give a share between 0 and 1, or CLASS=SHARE for each class once")
        shares[label] = value
    return shares


class RobustnessSettings(StoredModelSettings):
    """Settings of ``robustness``: a run on its test split, or a stored model on any folder."""

    all: bool = False
    """All five strengths of each simulated change, instead of the third alone."""
    out: Path | None = None
    """JSON file for the metrics."""


class ReportSettings(CommandSettings):
    """Settings of ``report``."""

    runs: CliPositionalArg[list[str]] = Field(min_length=1)
    """Names of evaluated runs; several are compared, each with the others."""
    runs_dir: Path = Path("runs")
    """Folder of the runs."""


class PredictSettings(CommandSettings):
    """Settings of ``predict``."""

    files: CliPositionalArg[list[str]] = Field(min_length=1)
    """Images, folders of images, lists of names (`.txt`: one a line; `.csv`, `.parquet`: column `file`), URLs such as s3://bucket/folder; `-`: file names from standard input, one a line."""  # noqa: E501
    model: str = DEFAULT_MODEL
    """Stored model."""
    format: Literal["table", "csv", "json"] = "table"
    """Form of the output; csv has every class's probability, json is an object a line: the service's answer to /predict, and the file."""  # noqa: E501
    out: Path | None = None
    """File for the answers (csv or json), or with a name in .parquet a folder of Parquet files, instead of standard output; files that it has already are skipped, so that an interrupted command goes on."""  # noqa: E501
    explain: Path | None = None
    """Folder for a PNG an image: the image under the heat map of its top class."""
    workers: int = Field(default=0, ge=0)
    """Threads; 0: one more than there are cores. With --ray: cores of an actor; 0: one."""
    ray: str | None = None
    """For archives: judge on a Ray cluster, HOST:PORT of its head, or auto for the one of this machine; local: on this machine's cores. Needs the extra `ray`, and --out in .parquet."""  # noqa: E501


class ModelsSettings(CommandSettings):
    """Settings of ``models``."""

    action: CliPositionalArg[Literal["list", "promote", "delete"]] = "list"
    """list; promote: serve TAG by default; delete: remove TAG, which must not be the served one."""
    tag: CliPositionalArg[str | None] = None
    """Stored model to promote or delete, as the list names it."""
    yes: bool = False
    """Delete without asking."""


class DoctorSettings(CommandSettings):
    """Settings of ``doctor``."""

    data_dir: Path = Path("data")
    """Folder of the dataset."""
    runs_dir: Path = Path("runs")
    """Folder of the runs."""


def group_of(settings: type[BaseSettings], name: str) -> str:
    """Heading under which a setting of a command is shown: that of the class which defines it."""
    owner = next(base for base in settings.__mro__ if name in inspect.get_annotations(base))
    return str(getattr(owner, "group", CommandSettings.group))
