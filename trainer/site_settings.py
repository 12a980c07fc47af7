"""Settings of the commands for a site: its images to label, its thresholds, and whether a model may be used there."""

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from trainer.settings import DEFAULT_MODEL, CommandSettings, shares_of


class SiteSettings(CommandSettings):
    """What the commands for a site have in common."""

    group: ClassVar[str] = "Site"
    model: str = DEFAULT_MODEL
    """Stored model."""
    disease: str | None = None
    """Class whose threshold is meant. Default: the model's only one that has a threshold, or TUBERCULOSIS."""
    workers: int = Field(default=0, ge=0)
    """Threads that decode images; 0: by the number of cores."""

    @field_validator("disease")
    @classmethod
    def _upper_case(cls, disease: str | None) -> str | None:
        return disease.strip().upper() if disease else None


class SelectSettings(SiteSettings):
    """Settings of ``select``."""

    group: ClassVar[str] = "Selection"
    dataset: Path
    """Folder of the site's images, without labels; where it has a manifest.csv with the column path, its images are taken, each patient's first one alone, and its columns go into the selection."""  # noqa: E501
    n: int = Field(default=40, ge=10, le=10_000)
    """Number of images to propose."""
    out: Path
    """CSV file for the selection."""
    replace: bool = False
    """Overwrite --out although it has labels, or is no selection."""
    seed: int = Field(default=1, ge=0, lt=2**31)
    """Seed of the draw: the same images and seed give the same selection."""


class AcceptSettings(SiteSettings):
    """Settings of ``accept``."""

    group: ClassVar[str] = "Acceptance"
    dataset: Annotated[tuple[str, ...], NoDecode] = ()
    """Folder of the site's labelled images, as for training; repeated: several. Without it, the plan is printed alone."""  # noqa: E501
    labels: Path | None = None
    """Filled-in selection of `select`: labels of images of --dataset, which are weighed back to the whole folder."""
    out: Path | None = None
    """Folder for acceptance.json and acceptance.html. A later look at more images is written into the same folder."""
    target_sensitivity: float = Field(default=0.9, gt=0, lt=1)
    """Least sensitivity that must be shown; WHO asks 0.9 of a triage test for tuberculosis."""
    target_specificity: float = Field(default=0.7, gt=0, lt=1)
    """Least specificity that must be shown; WHO asks 0.7."""
    assume_sensitivity: float | None = Field(default=None, gt=0, lt=1)
    """True sensitivity that the plan assumes. Default: half-way between the target and 1."""
    assume_specificity: float | None = Field(default=None, gt=0, lt=1)
    """True specificity that the plan assumes. Default: half-way between the target and 1."""
    power: float = Field(default=0.8, ge=0.5, lt=1)
    """Wanted chance that a model as good as assumed is accepted."""
    looks: int = Field(default=1, ge=1, le=10)
    """How often the growing images may be judged; each look costs a little, and a look too many is refused."""
    signed_by: str | None = Field(default=None, min_length=1, max_length=200)
    """Who signs the result off."""

    @field_validator("dataset", mode="before")
    @classmethod
    def _one_is_enough(cls, dataset: object) -> object:
        return (dataset,) if isinstance(dataset, str | Path) else dataset


class CalibrateSettings(CommandSettings):
    """Settings of ``calibrate``."""

    group: ClassVar[str] = "Calibration"
    model: str = DEFAULT_MODEL
    """Stored model to calibrate."""
    dataset: Annotated[tuple[str, ...], NoDecode] = Field(min_length=1)
    """Labelled images of the hospital, which the model has not seen: a folder with a subfolder for each class, or one with a manifest.csv. Repeated: several folders."""  # noqa: E501
    labels: Path | None = None
    """Filled-in selection of `select`: labels of images of --dataset, which are weighed back to the whole folder."""
    site: str | None = Field(default=None, min_length=1, max_length=100)
    """Name of the hospital; of a dataset that names several sites, only this one's images are used. Default: the site that the dataset names, else the folder's name."""  # noqa: E501
    prevalence: str | None = None
    """How frequent diseases are where the model is to be used: a share of all images, e.g. 0.02, or one a class, as in TUBERCULOSIS=0.02,PNEUMONIA=0.1. Without it there are no predictive values, no referrals and no probabilities."""  # noqa: E501
    target_sensitivity: float = Field(default=0.9, gt=0, lt=1)
    """Share of the patients with the disease that the threshold must find."""
    confidence: float = Field(default=0.8, ge=0.5, lt=1)
    """How sure it must be that the threshold finds them."""
    cost_image: float | None = Field(default=None, ge=0)
    """Cost of a radiograph with its answer, for the cost of each case found."""
    cost_test: float | None = Field(default=None, ge=0)
    """Cost of the test that follows a flag, in the same currency."""
    reusable_by: str = Field(default="this site alone", min_length=1, max_length=200)
    """Who may use these thresholds."""
    patient_pattern: str | None = None
    r"""Regular expression on the file name whose first group is the patient, e.g. '^(p\d+)_'; for sets without a patient column."""  # noqa: E501
    out: Path | None = None
    """Folder for calibration.html and calibration.json. Default: runs/sites/VERSION."""
    workers: int = Field(default=0, ge=0)
    """Threads that decode images; 0: by the number of cores."""

    @field_validator("dataset", mode="before")
    @classmethod
    def _one_is_enough(cls, dataset: object) -> object:
        return (dataset,) if isinstance(dataset, str | Path) else dataset

    @field_validator("prevalence")
    @classmethod
    def _shares(cls, prevalence: str | None) -> str | None:
        shares_of(prevalence)
        return prevalence
