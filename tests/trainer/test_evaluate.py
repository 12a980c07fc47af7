"""What an evaluation leaves for TensorBoard."""

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.support.runs import Trained
from trainer.evaluate import TENSORBOARD


def test_an_evaluation_shows_curves_reliability_embeddings_and_final_metrics(trained: Trained) -> None:
    folder = trained.run.folder / TENSORBOARD
    events = EventAccumulator(str(folder), size_guidance={"images": 0}).Reload()
    assert {"test/NORMAL", "test/PNEUMONIA", "test/TUBERCULOSIS"} <= set(events.Tags()["tensors"])
    assert {"test/reliability_before_scaling", "test/reliability_after_scaling"} <= set(events.Tags()["images"])
    assert {"final/macro_f1", "final/ece"} <= set(events.Tags()["scalars"])
    assert "hparams" in events.summary_metadata["_hparams_/session_start_info"].plugin_data.plugin_name
    (metadata,) = folder.rglob("metadata.tsv")
    assert metadata.read_text().splitlines()[0] == "label\tsite\tpredicted\tright\tpath"
    assert list(folder.rglob("sprite.png"))
    assert (folder / "projector_config.pbtxt").is_file()
