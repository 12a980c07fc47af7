"""``raw/fetch_report.json``: which datasets ``raw`` holds, what was left out of them, and why."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, model_validator

from trainer.data.folder import Radiograph
from trainer.errors import UserError

RAW = "raw"
REPORT_FILE = "fetch_report.json"


class FetchedDataset(BaseModel):
    """One dataset that ``raw`` holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """As the column ``dataset`` has it; empty where an earlier version fetched it."""
    dataset: str
    """``kaggle:<handle>``, ``folder:<name>`` or ``sample:<parameters>``."""
    location: str = ""
    """Absolute path of a folder; tells two folders of one name apart."""
    listing: str = ""
    """SHA-256 of a folder's list of images and sizes, to notice that it has changed."""
    layout: str = ""
    """The public set that its layout was recognised as."""
    licences: dict[str, int] = Field(default_factory=dict)
    """Images by licence, or by what is to be cited, where the dataset says so."""

    @property
    def identity(self) -> tuple[str, str]:
        """What is the same for the same dataset, whatever it holds."""
        return self.dataset, self.location

    @property
    def shown(self) -> str:
        """What it is, and where."""
        return f"{self.dataset} ({self.location})" if self.location else self.dataset


class FetchReport(BaseModel):
    """What ``raw`` holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    datasets: list[FetchedDataset]
    images: int = 0
    classes: dict[str, int] = Field(default_factory=dict)
    """Images by class."""
    unreadable: dict[str, str] = Field(default_factory=dict)
    """Why files were left out, by their path in the dataset."""
    input_warnings: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, validation_alias=AliasChoices("input_warnings", "doubtful")
    )
    """What the service would warn of, whatever the model, by path in the dataset; the images were taken."""
    duplicates: int = 0
    """Images with the same bytes as another one; all are kept."""
    lookalikes: int = 0
    """Images that show the same picture as another one, with the same bytes or not; all are kept."""
    conflicts: list[list[str]] = Field(default_factory=list)
    """Images of one picture that lie in more than one class of a dataset: each a list of paths. All are kept."""
    shared: dict[str, int] = Field(default_factory=dict)
    """Pictures that two datasets both have, by the two names; their images are one group."""
    disputed: dict[str, str] = Field(default_factory=dict)
    """Images that were left out since another dataset gives the same picture another class, by path: what each says."""
    skipped: list[str] = Field(default_factory=list)
    """Folders beside the official train, val and test that an earlier version left out; now in ``left_out``."""
    left_out: dict[str, str] = Field(default_factory=dict)
    """Files and folders that were not taken for images, by path in the dataset: how many files, and what they are."""
    notes: list[str] = Field(default_factory=list)
    """What else is to be said of the datasets' files, in sentences."""

    @model_validator(mode="before")
    @classmethod
    def _one_dataset(cls, report: Any) -> Any:
        """Earlier versions knew one dataset, whose fields were the report's own."""
        if isinstance(report, dict) and "dataset" in report:
            old = {name: report[name] for name in ("dataset", "location", "listing") if name in report}
            rest = {name: value for name, value in report.items() if name not in old}
            return rest | {"datasets": [{"name": "", **old}]}
        return report

    @property
    def dataset(self) -> str:
        """All datasets in one line."""
        return " + ".join(dataset.dataset for dataset in self.datasets)

    @property
    def licences(self) -> dict[str, int]:
        """Images by licence, of all datasets."""
        counts = Counter[str]()
        for dataset in self.datasets:
            counts.update(dataset.licences)
        return dict(counts.most_common())

    def lines(self) -> list[str]:
        """What is to be said aloud, one sentence each."""
        counts = [
            (len(self.unreadable), "unreadable files left out"),
            (len(self.input_warnings), "images with input warnings"),
            (self.duplicates, "exact duplicates"),
            (self.lookalikes, "images that show the same picture as another one; they stay in one split"),
            (len(self.conflicts), "pictures in more than one class of a dataset"),
            (len(self.disputed), "images left out: another dataset gives the same picture another class"),
        ]
        shared = [f"{count:,} pictures are in {names}; they stay in one split" for names, count in self.shared.items()]
        recognised = [
            f"{dataset.name}: recognised as {dataset.layout}; licence: {', '.join(dataset.licences)}"
            for dataset in self.datasets
            if dataset.layout
        ]
        return [*recognised, *shared, *(f"{count:,} {what}" for count, what in counts if count), *self.notes]


def read_fetch_report(data_dir: Path) -> FetchReport | None:
    """Read the report that ``fetch`` left in the data folder; None if it has not run.

    Raises:
        UserError: the report is damaged.
    """
    path = data_dir / RAW / REPORT_FILE
    if not path.exists():
        return None
    try:
        return FetchReport.model_validate_json(path.read_bytes())
    except (ValidationError, OSError) as error:
        raise UserError(f"{path}: damaged; remove {data_dir / RAW} and run `python -m trainer fetch`") from error


def licences(radiographs: Iterable[Radiograph], name: str) -> dict[str, int]:
    """Images of one dataset by licence, the most frequent first."""
    found = Counter(image.licence for image in radiographs if image.dataset == name and image.licence)
    return dict(found.most_common())
