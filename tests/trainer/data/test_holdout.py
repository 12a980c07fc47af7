import hashlib
from pathlib import Path

import pytest

from trainer.data.holdout import leave_out, run_records, shared_classes, sites_to_hold_out
from trainer.data.manifest import SPLITS, Record
from trainer.errors import UserError
from trainer.files import write_text
from trainer.settings import Settings
from trainer.tables import to_csv
from trainer.training.train import start_and_train


def records(site: str, labels: str, group: str = "") -> list[Record]:
    """One image of each class in each split."""
    made = []
    for label in labels.split():
        for split in SPLITS:
            name = f"{site}-{label}-{split}"
            digest = hashlib.sha256(name.encode()).hexdigest()
            made.append(
                Record(
                    path=f"raw/{label}/{name}.png",
                    label=label,
                    split=split,
                    site=site,
                    patient=group or name,
                    sha256=digest,
                    group=group or name,
                )
            )
    return made


A, B = records("a", "NORMAL TUBERCULOSIS"), records("b", "NORMAL TUBERCULOSIS PNEUMONIA")


def test_images_of_the_site_and_of_its_patients_are_left_out() -> None:
    both = [record.model_copy(update={"site": "b"}) for record in records("c", "NORMAL", A[0].group)]
    kept = leave_out([*A, *B, *both], "a")
    assert kept == B
    assert shared_classes(kept, A) == ["NORMAL", "TUBERCULOSIS"]


@pytest.mark.parametrize(
    ("radiographs", "site", "reason"),
    [
        ([*A, *B], "c", "no such site in the data; choose from a, b"),
        (records("", "NORMAL PNEUMONIA"), "a", "the data name no site"),
        ([*A, *records("b", "NORMAL")], "a", "leaves fewer than two classes to train on"),
        ([*A, *records("b", "NORMAL PNEUMONIA")], "a", "shares fewer than two classes"),
        ([*A, *B[:-1]], "a", "leaves no PNEUMONIA for test"),
    ],
)
def test_a_site_that_can_not_be_left_out_is_refused(radiographs: list[Record], site: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        leave_out(radiographs, site)


def test_the_matrix_leaves_out_what_it_can_and_says_why_not_the_rest() -> None:
    possible, refused = sites_to_hold_out([*A, *B, *records("c", "NORMAL")])
    assert possible == ["a", "b"]
    assert "fewer than two classes" in refused["c"]


def test_what_a_run_leaves_out_is_counted_aloud(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shared = A[0].model_copy(update={"site": "b", "path": "raw/NORMAL/shared.png"})
    write_text(tmp_path / "manifest.csv", to_csv([*A, *B, shared], Record))
    assert run_records(Settings(data_dir=tmp_path, hold_out_site="a"), aloud=True) == B
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "--hold-out-site a: 6 images held out, 9 used",
        "  1 images of other sites are used for nothing: they share a patient or a picture with a",
    ]


def test_a_refused_site_leaves_no_run_behind(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", runs_dir=tmp_path / "runs", hold_out_site="x")
    with pytest.raises(UserError):
        start_and_train(settings)
    assert not (tmp_path / "runs").exists()
