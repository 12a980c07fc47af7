import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from tests.support.datasets import settings
from trainer.data import file_control
from trainer.data.fetch import fetch
from trainer.data.file_control import FileControl, _aucs, control_files
from trainer.data.file_properties import FileProperties, read_file_properties
from trainer.data.manifest import Record, read_manifest
from trainer.data.sample.dataset import generate
from trainer.data.split import split
from trainer.errors import UserError

EACH = 22
LABELS = ("NORMAL", "PNEUMONIA", "TUBERCULOSIS")


def encoded(pixels: np.ndarray, label: str, rng: np.random.Generator) -> tuple[bytes, str]:
    """An image as each class's collection would have it: large PNG, unequal JPEG, small PNG; and its suffix."""
    image, stream = Image.fromarray(pixels), io.BytesIO()
    if label == "PNEUMONIA":
        width, height = (int(side) for side in rng.integers(60, 130, 2))
        image.resize((width, height)).save(stream, "JPEG", quality=int(rng.integers(80, 96)))
        return stream.getvalue(), "jpeg"
    image.resize((128, 128) if label == "NORMAL" else (64, 64)).save(stream, "PNG")
    return stream.getvalue(), "png"


@pytest.fixture(scope="module")
def collections(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders ``one``, whose images are of one collection, and ``many``, in which every class has its own origin."""
    folder, rng, count = tmp_path_factory.mktemp("collections"), np.random.default_rng(0), dict.fromkeys(LABELS, 0)
    for image in generate(110, 64, 1, 3):
        label = image.label
        if count[label] < EACH:
            count[label] += 1
            content, suffix = encoded(image.pixels, label, rng)
            one, many = folder / f"one/{label}", folder / f"many/{label}"
            one.mkdir(parents=True, exist_ok=True)
            many.mkdir(parents=True, exist_ok=True)
            (many / f"{count[label]}.{suffix}").write_bytes(content)
            Image.fromarray(image.pixels).save(one / f"{count[label]}.png")
    assert set(count.values()) == {EACH}
    return folder


def one_file(label: int, seed: int, told: float) -> FileProperties:
    """A file whose size says its class in the share ``told`` of files, and whose bytes say it in part."""
    rng = np.random.default_rng(seed)
    tells = rng.random() < told
    width = 500 + 100 * (label if tells else int(rng.integers(2))) + int(rng.integers(100))
    return FileProperties(
        path=f"raw/{seed}", format="JPEG", mode="L", bits=8, width=width, height=500, luminance=700, chrominance=0,
        bytes=int(width * 500 * rng.normal(0.2 + 0.06 * label, 0.04)), left=0, top=0, right=0, bottom=0,
    )  # fmt: skip


def files(told: float, count: int = 200, site: str = "") -> tuple[list[Record], dict[str, FileProperties]]:
    made = [one_file(number % 2, number, told) for number in range(count)]
    records = [
        Record(
            path=one.path, label=LABELS[number % 2], split="train", site=site, patient=str(number), group=str(number),
            sha256="0" * 64,
        )
        for number, one in enumerate(made)
    ]  # fmt: skip
    return records, {one.path: one for one in made}


def test_classes_of_different_origin_are_told_by_their_files(
    collections: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = settings(collections / "many", tmp_path / "data")
    fetch(wanted)
    split(wanted)
    told = capsys.readouterr().out
    assert "The files tell the class without a look at the pictures: format, size, compression and border alone" in told
    assert "reach an AUC of 1.00 (1.00 to 1.00; 0.5 is chance)" in told
    (control,) = control_files(read_manifest(tmp_path / "data"), read_file_properties(tmp_path / "data"))
    assert (control.fired, control.images, control.site) == (True, 3 * EACH, "")


def test_the_kinds_of_files_can_serve_as_sites(
    collections: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    wanted = settings(collections / "many", data, site_by_file=True)
    fetch(wanted)
    split(wanted)
    assert {(record.label, record.site.partition(" quantised")[0]) for record in read_manifest(data)} == {
        ("NORMAL", "PNG L 8 128×128"), ("PNEUMONIA", "JPEG L 8"), ("TUBERCULOSIS", "PNG L 8 64×64"),
    }  # fmt: skip
    assert "The files tell" not in capsys.readouterr().out  # within a kind there is nothing to tell
    (data / "raw/files.csv").unlink()
    with pytest.raises(UserError, match="--site-by-file needs what fetch writes; fetch again with --replace"):
        split(wanted)
    split(wanted.model_copy(update={"site_by_file": False}))  # an earlier version's folder is split as before
    assert "what the files alone tell is not known: an earlier version fetched them" in capsys.readouterr().out


def test_images_of_one_collection_are_quiet(
    collections: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = settings(collections / "one", tmp_path / "data")
    fetch(wanted)
    split(wanted)
    assert "The files tell" not in capsys.readouterr().out
    (control,) = control_files(read_manifest(tmp_path / "data"), read_file_properties(tmp_path / "data"))
    assert not control.fired


def test_labels_by_chance_are_quiet() -> None:
    records, properties = files(1.0)
    labels = np.random.default_rng(5).permutation([record.label for record in records])
    shuffled = [record.model_copy(update={"label": str(label)}) for record, label in zip(records, labels, strict=True)]
    (control,) = control_files(shuffled, properties)
    assert not control.fired
    assert control.properties.low < 0.5 < control.properties.high


def test_bytes_a_pixel_alone_have_to_tell_nearly_all() -> None:
    (control,) = control_files(*files(0.0))
    assert 0.75 < control.with_bytes.value < 0.9
    assert not control.fired


def test_each_named_site_is_looked_at_by_itself() -> None:
    told, quiet = files(1.0, site="north"), files(0.0, site="south")
    quiet = (
        [record.model_copy(update={"path": f"south/{record.path}"}) for record in quiet[0]],
        {f"south/{path}": one for path, one in quiet[1].items()},
    )
    controls = control_files([*told[0], *quiet[0]], told[1] | quiet[1])
    assert [(control.site, control.fired) for control in controls] == [("north", True), ("south", False)]
    assert "without a look at the pictures within north: format" in controls[0].text


def test_few_patients_and_one_class_make_no_control() -> None:
    records, properties = files(1.0, 30)
    assert control_files(records, properties) == []
    records, properties = files(1.0)
    assert control_files([record for record in records if record.label == LABELS[0]], properties) == []
    assert control_files(records, {}) == []


def test_of_many_images_some_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_control, "MOST", 100)
    (control,) = control_files(*files(1.0))
    assert control.images == 100
    assert control.fired


def test_the_weighted_auc_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    truth, scores = rng.random(200) < 0.4, np.round(rng.random(200), 1)
    weights = rng.integers(0, 4, (5, 200)).astype(float)
    expected = [roc_auc_score(truth, scores, sample_weight=one) for one in weights]
    assert _aucs(truth, scores, weights) == pytest.approx(expected)


def test_the_text_names_what_told() -> None:
    told, not_told = {"value": 0.99, "low": 0.95, "high": 1}, {"value": 0.5, "low": 0.4, "high": 0.6}
    by_bytes = FileControl.model_validate({"site": "", "images": 9, "properties": not_told, "with_bytes": told})
    assert by_bytes.fired
    assert "AUC of 0.99 (0.95 to 1.00; 0.5 is chance)" in by_bytes.text
