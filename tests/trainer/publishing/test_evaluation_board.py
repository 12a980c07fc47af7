"""What TensorBoard shows of an evaluation."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.support.runs import Trained
from trainer.publishing.evaluation_board import TENSORBOARD, framed, told_settings
from trainer.running.runs import Run


@pytest.fixture
def copied(trained: Trained, tmp_path: Path) -> Run:
    """A run with the settings of the real one, beside no other."""
    run = Run(tmp_path / "copied")
    run.folder.mkdir()
    shutil.copy(trained.run.config, run.config)
    return run


def test_an_evaluation_shows_summary_curves_reliability_embeddings_and_final_metrics(trained: Trained) -> None:
    folder = trained.run.folder / TENSORBOARD
    events = EventAccumulator(str(folder), size_guidance={"images": 0, "tensors": 0}).Reload()
    tags = events.Tags()
    curves = {f"precision_recall/{name}" for name in ("NORMAL", "PNEUMONIA", "TUBERCULOSIS")}
    assert curves | {"summary/text_summary"} <= set(tags["tensors"])
    images = {"images/confusion", "images/reliability_before_scaling", "images/reliability_after_scaling"}
    assert images <= set(tags["images"])
    assert {"test/macro_f1", "test/macro_f1_low", "test/expected_calibration_error"} <= set(tags["scalars"])
    assert [point.step for point in events.Scalars("test/macro_f1")] == [7]  # the epochs of both phases
    (text,) = events.Tensors("summary/text_summary")[0].tensor_proto.string_val
    assert "true \\ predicted" in text.decode()
    assert text.decode().startswith("Judged on 16 test images")  # as the report does
    assert "first/report.html" in text.decode()
    assert all(len(line) <= 4 + 110 for line in text.decode().splitlines() if line.startswith("    "))
    assert "hparams" in events.summary_metadata["_hparams_/session_start_info"].plugin_data.plugin_name
    (metadata,) = folder.rglob("metadata.tsv")
    assert metadata.read_text().splitlines()[0] == "label\tpredicted\tright\tsite\tpath"
    assert list(folder.rglob("sprite.png"))
    assert (folder / "projector_config.pbtxt").is_file()


def test_of_the_settings_those_are_told_that_are_no_defaults(copied: Run) -> None:
    told = told_settings(copied)
    assert told["image_size"] == 96
    assert told["backbone"] == "efficientnet_lite0"
    assert told["seed"] == 1
    for constant in ("rotation", "lr_b", "data_dir", "run", "workers", "kaggle_handle", "dataset"):
        assert constant not in told


def test_a_setting_that_another_run_has_another_way_is_told_too(copied: Run) -> None:
    other = copied.folder.with_name("other")
    other.mkdir()
    values = yaml.safe_load(copied.config.read_text()) | {"lr_b": 0.5}
    (other / "config.yaml").write_text(yaml.safe_dump(values))
    assert told_settings(copied)["lr_b"] == 0.002
    (other / "config.yaml").write_text("[not settings]")
    assert "lr_b" not in told_settings(copied)


def test_thumbnails_are_framed_in_the_colour_of_their_class() -> None:
    images = framed(np.full((2, 8, 8), 100, np.uint8), np.array([0, 1]))
    assert images.shape == (2, 3, 8, 8)
    np.testing.assert_allclose(images[0, :, 0, 0] * 255, [0x00, 0x72, 0xB2], atol=1e-3)
    np.testing.assert_allclose(images[1, :, 7, 7] * 255, [0xD5, 0x5E, 0x00], atol=1e-3)
    np.testing.assert_allclose(images[:, :, 4, 4] * 255, 100, atol=1e-3)
