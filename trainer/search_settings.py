"""Settings of ``search``."""

from typing import ClassVar, Literal

from pydantic import Field

from trainer.settings import Settings


class SearchSettings(Settings):
    """Settings of ``search``: those of a run, around which it searches, and how."""

    group: ClassVar[str] = "Search"
    trials: int = Field(default=40, ge=2)
    """Trials in all, those of an earlier start and of other machines counted; the first is the settings as given."""
    objective: Literal["validation", "left-out-sites"] = "validation"
    """What is searched for. validation: macro F1 within sites of the validation images; left-out-sites: the mean, over the sites that can be judged, of the macro F1 on a site that the training did without, a training each."""  # noqa: E501
    storage: str | None = None
    """Database for the trials, as Optuna takes it (postgresql+psycopg://user:password@host/name, sqlite:////shared/search.db), so that several machines share them. Default: a SQLite file in the search's folder."""  # noqa: E501
    fresh_seeds: int = Field(default=3, ge=2)
    """Seeds on which the winner and the settings as given are trained again; each also draws anew which of the training and validation images are which."""  # noqa: E501
