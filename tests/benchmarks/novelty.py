"""How many images of another kind does a model notice? ``python -m tests.benchmarks.novelty --run RUN``.

Judges a run's sealed model as the service would, by novelty alone and with all input warnings: on pictures that are
no chest radiographs (``--not-images FOLDER``), on its own test images, on those through simulated scanners and turned
by a program, and on other hospitals' images (``--images FOLDER``).
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from PIL import Image

from bento.artifact import ONNX_FILE, Manifest
from bento.imaging.errors import ImageError
from bento.imaging.intake import Intake, fit, read_radiograph, take_in
from bento.imaging.preprocessing import Preprocessing
from bento.imaging.quality import check_content
from bento.inference.input_warnings import assess_input
from bento.inference.session import OUTPUTS, Predictor
from trainer.data.corruptions import CORRUPTIONS, corrupt
from trainer.data.manifest import read_manifest
from trainer.errors import UserError
from trainer.evaluation.suite import split_radiographs
from trainer.export.orientation import TURNS
from trainer.inference.image_names import images_in
from trainer.running.runs import Run, saved_settings

MOST_FLAGGED, LEAST_TOLD = 0.03, 0.95


@dataclass(frozen=True)
class Row:
    """What is noticed of some images."""

    title: str
    radiographs: int
    novel: int
    any: int
    kinds: dict[str, int]
    highest: float
    """Of the scores, in thresholds."""
    lowest: float

    def __str__(self) -> str:
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(self.kinds.items()))
        return (
            f"{self.title:34} {self.radiographs:5} {self.novel:5} {self.novel / self.radiographs:7.1%} {self.any:5} "
            f"{self.any / self.radiographs:7.1%}   {self.lowest:4.2f}–{self.highest:4.2f}  {kinds}"
        )


def judge(title: str, intakes: Sequence[Intake], predictor: Predictor) -> Row:
    """What the service would say against answers for images."""
    manifest = predictor.manifest
    if manifest.novelty is None:
        raise UserError("the model has no novelty score; train it again")
    assessments = [assess_input(one, predictor.predict(one.image[None]), manifest) for one in intakes]
    kinds = [warning.kind for assessment in assessments for warning in assessment.warnings]
    scores = np.array([assessment.score for assessment in assessments], dtype=np.float64) / manifest.novelty.threshold
    return Row(
        title,
        len(assessments),
        sum(assessment.in_distribution is False for assessment in assessments),
        sum(bool(assessment.refusal) for assessment in assessments),
        {kind: kinds.count(kind) for kind in set(kinds)},
        float(scores.max()),
        float(scores.min()),
    )


def changed(radiograph: Image.Image, manifest: Manifest) -> Intake:
    """An image changed before the intake."""
    taken = fit(radiograph, manifest.preprocessing)
    return Intake(taken.radiograph, taken.image, taken.frame, check_content(taken.radiograph))


def cost(graph: Path, size: int, rounds: int = 300) -> tuple[float, float]:
    """Milliseconds of CPU for a pass on one thread, without and with what tells novelty; medians, in turns."""
    whole = onnx.load(graph)
    bare = onnx.ModelProto()
    bare.CopyFrom(whole)
    del bare.graph.output[:]
    bare.graph.output.extend(output for output in whole.graph.output if output.name in OUTPUTS)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    sessions = [
        onnxruntime.InferenceSession(one.SerializeToString(), options, providers=["CPUExecutionProvider"])
        for one in (bare, whole)
    ]
    batch = {"images": np.random.default_rng(0).integers(0, 256, (1, size, size), np.uint8)}
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(2 * rounds):
        start = time.process_time()
        sessions[number % 2].run(None, batch)
        times[number % 2].append(1000 * (time.process_time() - start))
    return float(np.median(times[0])), float(np.median(times[1]))


def main() -> int:
    """Command line; 1 where too few pictures are told apart or too many images flagged."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--run", required=True, help="evaluated")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    parser.add_argument("--not-images", type=Path, help="folder of pictures that are no chest images")
    parser.add_argument("--images", type=Path, nargs="*", default=[], help="folders of other hospitals' images")
    options = parser.parse_args()
    run = Run(options.runs_dir / options.run)
    try:
        settings = saved_settings(run)
        predictor = Predictor(run.sealed)
        met = report(predictor, images_of_test(settings.data_dir), options.not_images, options.images)
    except UserError as error:
        print(f"novelty: {error}", file=sys.stderr)
        return 2
    before, after = cost(run.sealed / ONNX_FILE, settings.image_size)
    print(f"a pass: {before:.2f} ms of CPU without these outputs, {after:.2f} ms with them ({after / before - 1:+.1%})")
    return 0 if met else 1


def images_of_test(data_dir: Path) -> list[Path]:
    """Files of the test split."""
    return [radiograph.file for radiograph in split_radiographs(read_manifest(data_dir), data_dir, "test")]


def readable(folder: Path, spec: Preprocessing) -> list[Intake]:
    """A folder's pictures; what the intake refuses is named and left out."""
    assessments = []
    for file in images_in(folder, print):
        try:
            assessments.append(take_in(file, spec))
        except ImageError as error:
            print(f"{file.name}: refused: {error}")
    return assessments


def report(predictor: Predictor, test: list[Path], not_images: Path | None, others: list[Path]) -> bool:
    """Print the table; whether what is wanted is met."""
    spec = predictor.manifest.preprocessing
    print(f"{'':34} {'radiographs':>5} {'novel':>13} {'any warning':>13}   score / threshold, warnings")
    own = judge("own test images", [take_in(file, spec) for file in test], predictor)
    print(own)
    met = own.any / own.radiographs <= MOST_FLAGGED
    if not_images:
        told = judge(not_images.name, readable(not_images, spec), predictor)
        print(told)
        met &= told.any / told.radiographs >= LEAST_TOLD
    for folder in others:
        print(judge(folder.name, readable(folder, spec), predictor))
    radiographs = [read_radiograph(file, spec.image_size).radiograph for file in test]
    for name, turn in TURNS.items():
        print(judge(name, [changed(turn(radiograph), predictor.manifest) for radiograph in radiographs], predictor))
    for strength in (1, 2, 3):
        intakes = [
            changed(corrupt(radiograph, one, strength), predictor.manifest)
            for number, radiograph in enumerate(radiographs)
            for one in (CORRUPTIONS[number % len(CORRUPTIONS)],)
        ]
        print(judge(f"simulated scanner, strength {strength}", intakes, predictor))
    print(f"wanted: {LEAST_TOLD:.0%} told apart, at most {MOST_FLAGGED:.0%} of the own: {'met' if met else 'not met'}")
    return met


if __name__ == "__main__":
    sys.exit(main())
