"""What does a model lose on another scanner's images? ``python -m tests.benchmarks.shift --run RUN``.

A run is judged on its test images, a stored model (``--model TAG --dataset PATH``) on any folder, each image as it is and
under every corruption of ``trainer.data.corruptions``; at strength 3, with ``--all`` at all five.
"""

import argparse
import sys
from pathlib import Path

from bento.artifact import ONNX_FILE
from bento.inference.session import Session
from trainer.data.corruptions import STRENGTHS
from trainer.data.listing import open_dataset
from trainer.data.manifest import read_manifest
from trainer.errors import UserError
from trainer.evaluation.robustness import Robustness, measure_robustness, robustness_table
from trainer.evaluation.suite import split_radiographs
from trainer.files import read_json, write_json
from trainer.inference.predict import stored_model
from trainer.runs import Run, saved_settings

MOST = 0.05
"""Loss of macro F1 at strength 3 that is still fine."""


def measure(options: argparse.Namespace) -> Robustness:
    """What the options ask for."""
    strengths = STRENGTHS if options.all else (3,)
    if options.run:
        run = Run(options.runs_dir / options.run)
        settings = saved_settings(run)
        classes = read_json(run.training, "train")["classes"]
        session = Session(run.sealed / ONNX_FILE, len(classes), settings.image_size)
        radiographs = split_radiographs(read_manifest(settings.data_dir), settings.data_dir, "test")
        return measure_robustness(radiographs, classes, session, settings.preprocessing, strengths)
    predictor = stored_model(options.model)
    manifest = predictor.manifest
    radiographs = open_dataset(options.dataset)
    return measure_robustness(radiographs, manifest.classes, predictor.session, manifest.preprocessing, strengths)


def main() -> int:
    """Command line; 1 where the loss at strength 3 is above :data:`MOST`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--run", help="judged on its test images")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    parser.add_argument("--model", default="chest_xray:latest", help="tag in the BentoML model store")
    parser.add_argument("--dataset", help="images for --model")
    parser.add_argument("--all", action="store_true", help="all five strengths")
    parser.add_argument("--out", type=Path, help="JSON file to write the figures to")
    options = parser.parse_args()
    if bool(options.run) == bool(options.dataset):
        parser.error("give --run RUN, or --dataset PATH for --model")
    try:
        found = measure(options)
    except UserError as error:
        print(f"shift: {error}", file=sys.stderr)
        return 2
    tables = [robustness_table(f"site {name}", losses) for name, losses in found.by_site.items()]
    print("\n\n".join([*tables, robustness_table("all", found.all)]))
    if options.out:
        write_json(options.out, found.model_dump(mode="json"))
    met = found.all.loss[3].value <= MOST
    print(f"wanted: at most {MOST}: {'met' if met else 'not met'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
