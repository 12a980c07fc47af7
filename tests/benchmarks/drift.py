"""Whether drift is told, and nothing else: ``python -m tests.benchmarks.drift`` with a model of generated images.

A service of two workers, Prometheus and Alertmanager run on this machine. First come fresh images as the model's own
(``--quiet`` of them): no alert may fire. Then a simulated scanner is switched on, and one must.
``--scanners`` plays every scanner of :data:`trainer.data.corruptions.CORRUPTIONS` to a window in this process instead,
``--cost`` measures what the window costs.
"""

import argparse
import io
import itertools
import tempfile
import time
import timeit
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bentoml
import httpx
import numpy as np
from PIL import Image

from bento.artifact import Manifest
from bento.http.drift import DriftWatch
from bento.imaging.intake import Intake, fit, take_in
from bento.inference.answer import PredictResponse
from bento.inference.drift import observe
from bento.inference.input_warnings import InputAssessment, assess_input
from bento.inference.session import Prediction, Predictor
from tests.support.monitoring import find_missing, monitored
from tests.support.server import running_service
from trainer.data.corruptions import CORRUPTIONS, STRENGTHS, Corruption, corrupt
from trainer.data.sample.dataset import generate

CLIENTS = 4
SIDE = 500
"""Of the image whose answer is timed, in pixels."""
FEWEST, LARGE = 200, 0.2
"""Images of a window and the index from which on the rule for drift fires."""
STEP = 10
"""Images of a simulated scanner between two looks at the window."""
PAUSE = 0.02
"""Seconds between two images of a simulated scanner: scrapes are a second apart."""
AT_MOST = 1_000
"""Images of a simulated scanner after which it counts as not noticed."""
SETTLE_SECONDS = 5
BY_NAME = {corruption.name: corruption for corruption in CORRUPTIONS}


def fresh_images(manifest: Manifest, count: int) -> Iterator[Image.Image]:
    """Generated images of the population that the model was trained on, none of which it has seen.

    Raises:
        SystemExit: the model is no such one, or has no reference.
    """
    config = manifest.config
    if not manifest.data.synthetic or manifest.reference is None:
        raise SystemExit("give a model of generated images (--dataset sample) that has reference distributions")
    made = generate(
        count, config["sample_size"], config["sample_hospitals"], config["seed"] + 1000, config["sample_confounded"]
    )
    return (Image.fromarray(radiograph.pixels) for radiograph in made)


def _png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def _send(client: httpx.Client, files: Iterable[bytes]) -> None:
    """Ask about each file once, a few at a time."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        for answer in pool.map(lambda file: client.post("/predict", files={"file": file}), files):
            answer.raise_for_status()


def for_real(tag: str, quiet: int, corruption: Corruption, strength: int) -> None:
    """Two workers, Prometheus, Alertmanager; prints what fires and when.

    Raises:
        SystemExit: an alert fires without cause, or none does with one.
    """
    manifest = Predictor(Path(bentoml.models.get(tag).path)).manifest
    images = fresh_images(manifest, quiet + AT_MOST)
    with (
        tempfile.TemporaryDirectory() as folder,
        running_service(Path(folder) / "log", CHEST_XRAY_MODEL=tag, CHEST_XRAY_WORKERS="2") as url,
        monitored(url, Path(folder)) as notifications,
        httpx.Client(base_url=url, timeout=30, trust_env=False) as client,
    ):
        began = time.perf_counter()
        _send(client, map(_png, itertools.islice(images, quiet)))
        time.sleep(SETTLE_SECONDS)
        print(f"{quiet:,} images as the model's own, {time.perf_counter() - began:.0f} s", flush=True)
        if notifications.alerts:
            raise SystemExit(f"alerts have fired without cause: {notifications.alerts}")
        began = time.perf_counter()
        sent = 0
        for image in images:
            _send(client, [_png(corrupt(image, corruption, strength))])
            sent += 1
            if notifications.any.wait(PAUSE):
                break
        seconds = time.perf_counter() - began
        what = f"{corruption.name} of strength {strength}"
        if not notifications.alerts:
            raise SystemExit(f"{what}: no alert after {sent:,} images")
        print(f"{what}: alert after {sent:,} images, {seconds:.0f} s")
        for alert in notifications.alerts:
            print(f"  {alert['alertname']} {alert.get('of', '')}")


Judged = tuple[Intake, Prediction, InputAssessment, PredictResponse]


def judge(predictor: Predictor, intake: Intake) -> Judged:
    """An image's answer as the service makes it, and what it is made of."""
    prediction = predictor.predict(intake.image[np.newaxis])
    assessment = assess_input(intake, prediction, predictor.manifest)
    response = PredictResponse.of(prediction.probabilities[0], assessment, predictor.manifest)
    return intake, prediction, assessment, response


def drifted(watch: DriftWatch) -> dict[str, float]:
    """Of each figure for which the rule for drift fires, its index."""
    samples = {(one.name, one.labels.get("of", "")): one.value for told in watch.collect() for one in told.samples}
    if samples["chest_xray_drift_window_images", ""] < FEWEST:
        return {}
    indices = {of: value for (name, of), value in samples.items() if name == "chest_xray_drift_index"}
    chance = {of: value for (name, of), value in samples.items() if name == "chest_xray_drift_index_by_chance"}
    return {of: value for of, value in indices.items() if value > max(LARGE, chance[of])}


def play_scanners(tag: str, strength: int, size: int = 1_000) -> None:
    """Print after how many images of each simulated scanner the rule for drift fires, and by which figures.

    Raises:
        SystemExit: it fires with none.
    """
    predictor = Predictor(Path(bentoml.models.get(tag).path))
    manifest = predictor.manifest
    assert manifest.reference is not None
    images = list(fresh_images(manifest, 2 * size))
    quiet = [observe(*judge(predictor, fit(image, manifest.preprocessing)), manifest) for image in images[:size]]
    for corruption in CORRUPTIONS:
        watch = DriftWatch(manifest.reference, size, 1, None)
        for seen in quiet:
            watch.add(*seen)
        if drifted(watch):
            raise SystemExit(f"it fires without cause: {drifted(watch)}")
        found = f"not told after {size:,} images"
        for count, image in enumerate(images[size:], start=1):
            intake = fit(corrupt(image, corruption, strength), manifest.preprocessing)
            watch.add(*observe(*judge(predictor, intake), manifest))
            if count % STEP == 0 and (told := drifted(watch)):
                found = f"told after {count} images by {', '.join(told)}"
                break
        print(f"{corruption.name:12}{found}", flush=True)


def cost(tag: str, rounds: int = 60, repeats: int = 10) -> None:
    """Print the CPU time of the window and of decoding and classifying: the shortest of many rounds of each."""
    predictor = Predictor(Path(bentoml.models.get(tag).path))
    manifest = predictor.manifest
    assert manifest.reference is not None
    watch = DriftWatch(manifest.reference, 1_000, 1, None)
    file = io.BytesIO()
    Image.fromarray(next(generate(1, SIDE, hospitals=1, seed=0)).pixels).save(file, "JPEG")
    data = file.getvalue()

    def answer() -> Judged:
        return judge(predictor, take_in(data, manifest.preprocessing))

    judged = answer()
    tasks = {"answer": answer, "window": lambda: watch.add(*observe(*judged, manifest))}
    shortest = {
        name: min(timeit.repeat(task, timer=time.process_time, number=repeats, repeat=rounds)) / repeats
        for name, task in tasks.items()
    }
    window, whole = (1000 * shortest[name] for name in ("window", "answer"))
    size = manifest.preprocessing.image_size
    print(
        f"CPU: decoding and classifying at {size} pixels {whole:.2f} ms, window {window:.3f} ms: {window / whole:.2%}"
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="chest_xray:latest", help="tag in the BentoML model store")
    parser.add_argument("--quiet", type=int, default=5_000, help="images before the scanner is switched on")
    parser.add_argument("--scanner", choices=BY_NAME, default="noise")
    parser.add_argument("--strength", type=int, choices=STRENGTHS, default=3)
    parser.add_argument("--scanners", action="store_true")
    parser.add_argument("--cost", action="store_true")
    options = parser.parse_args()
    if options.cost:
        cost(options.model)
    elif options.scanners:
        play_scanners(options.model, options.strength)
    elif missing := find_missing():
        raise SystemExit(f"{missing} is not on the PATH: apt-get install prometheus prometheus-alertmanager")
    else:
        for_real(options.model, options.quiet, BY_NAME[options.scanner], options.strength)


if __name__ == "__main__":
    main()
