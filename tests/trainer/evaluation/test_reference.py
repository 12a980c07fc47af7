"""What a run's validation images are like, against what the service would count of the same images."""

import csv
from pathlib import Path

import bentoml
import numpy as np
from prometheus_client import CollectorRegistry

from bento.http.drift import DriftWatch
from bento.imaging.intake import take_in
from bento.inference.answer import PredictResponse
from bento.inference.drift import observe
from bento.inference.input_warnings import assess_input
from bento.inference.session import Predictor
from tests.support.runs import Trained
from trainer.evaluation.summary import read_summary


def test_the_service_counts_the_validation_images_as_their_reference_has_them(trained: Trained) -> None:
    predictor = Predictor(Path(bentoml.models.get(trained.tag).path))
    manifest = predictor.manifest
    reference = manifest.reference
    assert reference is not None
    with trained.run.validation_predictions.open() as stream:
        files = [trained.data_dir / row["path"] for row in csv.DictReader(stream)]
    assert reference.images == len(files)
    assert list(reference.histograms) == [
        *("score.PNEUMONIA", "score.TUBERCULOSIS"),
        *("novelty", "brightness", "contrast", "aspect", "detail"),
    ]
    watch = DriftWatch(reference, len(files), 1, None)
    for file in files:
        intake = take_in(file, manifest.preprocessing)
        prediction = predictor.predict(intake.image[np.newaxis])
        assessment = assess_input(intake, prediction, manifest)
        response = PredictResponse.of(prediction.probabilities[0], assessment, manifest)
        watch.add(*observe(intake, prediction, assessment, response, manifest))
    registry = CollectorRegistry()
    registry.register(watch)
    assert registry.get_sample_value("chest_xray_drift_window_images") == len(files)
    for name in reference.histograms:
        index = registry.get_sample_value("chest_xray_drift_index", {"of": name})
        assert index is not None
        assert abs(index) < 1e-12, name
    for name, count in reference.marked.items():
        share = registry.get_sample_value("chest_xray_drift_share", {"of": name})
        assert share == count / len(files), name
    assert set(reference.marked) == {"flagged", "novel", "doubted"}
    assert 0 < reference.marked["flagged"] < len(files)


def test_the_run_and_its_manifest_have_the_same_reference(trained: Trained) -> None:
    manifest = Predictor(Path(bentoml.models.get(trained.tag).path)).manifest
    assert read_summary(trained.run.folder).reference == manifest.reference
