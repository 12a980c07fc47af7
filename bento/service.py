"""The BentoML service: ``bentoml serve`` in the project's root serves it.

The artifact is loaded when this module is imported, so that ``bentoml serve`` and ``bentoml build`` end with one
clear line where it is missing or damaged, before any worker starts.
"""

import asyncio
import gc
import json
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import bentoml
import numpy as np
from bentoml.exceptions import BentoMLException, NotFound
from bentoml.models import BentoModel
from pydantic import ValidationError
from starlette.responses import Response
from starlette.types import ASGIApp

from bento.artifact import STORE_NAME, ArtifactError
from bento.http import metrics, uvicorn_protocol
from bento.http.access_log import AccessLog, Untraced, log_as_json
from bento.http.admission import Admission, Door, Places
from bento.http.app import create_app
from bento.http.auth import ApiKeys
from bento.http.drift import DriftWatch
from bento.http.head_requests import HeadRequests
from bento.http.inputs import OneImage, SeveralImages, UploadedImage
from bento.http.multipart import Form
from bento.http.problems import ProblemDocuments, ProblemError, problem_content, problems_answered, request_id
from bento.http.redirects import RelativeRedirects
from bento.http.schemas import BatchResponse, BatchResult, Metadata, Problem
from bento.http.upload_memory import UploadMemory
from bento.http.uploads import UploadGuard
from bento.http.worker_pool import WorkerPool
from bento.imaging.errors import ImageError
from bento.imaging.intake import Intake, take_in
from bento.inference import heatmaps
from bento.inference.answer import ExplainedResponse, PredictResponse
from bento.inference.device import DeviceError
from bento.inference.drift import observe
from bento.inference.input_warnings import assess_input
from bento.inference.memory import give_back
from bento.inference.session import Prediction, Predictor
from bento.keys import read_hashes
from bento.packaging.image import BuildArguments, service_image
from bento.settings import ENV_PREFIX, SUPERVISOR, Settings, check_environment

# It warns of every malformed body; the client is told, and the access log knows.
logging.getLogger("python_multipart").setLevel(logging.ERROR)

logger = logging.getLogger(__name__)
PREDICT = "/predict"
BATCH = "/predict/batch"
SERVICE = "chest_xray"
PROBES = frozenset({"/livez", "/readyz", "/healthz", "/health"})
GC_ALLOCATIONS = 20_000
"""Between two collections of the youngest objects: a request's own, which reference counting frees anyway."""
UNWATCHED = (
    "drift is not watched: the model has no reference distributions, as those of formats 1 to 6; "
    "docs/deployment.md says how it gets them"
)
READY_SECONDS = 1.0
"""Seconds for which the outcome of a readiness check holds."""


class ServedModel(BentoModel):  # type: ignore[misc]
    """Reference to the artifact; a bento records it as what ``latest`` meant when the bento was built."""

    # Private: BentoML asks for this when it builds a bento, and finds the model by the alias when it serves one.
    def to_info(self, alias: str | None = None) -> Any:
        return super().to_info(alias or f"{STORE_NAME}:latest")


def _load() -> tuple[Settings, list[str], bentoml.Tag, Predictor]:
    try:
        check_environment(os.environ)
        settings = Settings()
        hashes = read_hashes(settings.api_key_hashes, settings.api_key_file)
    except ValidationError as error:
        first = error.errors()[0]
        name = ENV_PREFIX + "".join(map(str, first["loc"])).upper()
        raise SystemExit(f"{name}: {first['msg']}, not {first['input']!r}") from None
    except ValueError as error:
        raise SystemExit(str(error)) from None
    try:
        stored = bentoml.models.get(settings.model)
    except NotFound:
        raise SystemExit(
            f"No model {settings.model} in the BentoML model store: make one with `python -m trainer` "
            f"(or `make demo`), or name another in {ENV_PREFIX}MODEL."
        ) from None
    except (BentoMLException, ValueError) as error:
        raise SystemExit(f"{ENV_PREFIX}MODEL: {error}") from None
    try:
        predictor = Predictor(Path(stored.path), threads=1, device=settings.device)
    except DeviceError as error:
        raise SystemExit(f"{ENV_PREFIX}DEVICE={settings.device}: {error}") from None
    except ArtifactError as error:
        raise SystemExit(f"The model {stored.tag} can't be served: {error}") from None
    if settings.refuse_unknown and predictor.manifest.novelty is None:
        raise SystemExit(
            f"{ENV_PREFIX}REFUSE_UNKNOWN: the model {stored.tag} can't tell what it does not know; train and publish "
            "it again, or serve it without this setting"
        )
    return settings, hashes, stored.tag, predictor


SETTINGS, KEY_HASHES, TAG, PREDICTOR = _load()
MANIFEST = PREDICTOR.manifest
# Private: `bentoml serve` imports this module to look after its workers, children that import it again.
# The model has been tried here now; only they need to hold it.
if os.environ.get(SUPERVISOR) != str(os.getppid()):
    os.environ[SUPERVISOR] = str(os.getpid())
    PREDICTOR.release()

PLACES = Places(SETTINGS.max_concurrency)


WATCH = (
    DriftWatch(MANIFEST.reference, SETTINGS.drift_window, SETTINGS.workers, metrics.workers_folder())
    if MANIFEST.reference and SETTINGS.drift_window
    else None
)


class Decoded(NamedTuple):
    """An image that is ready for the model, and what its request wants."""

    intake: Intake
    explain: bool
    counts: bool
    """It is taken into the window in which drift is watched."""


def decode(image: UploadedImage) -> Decoded:
    """Read an uploaded image for the model.

    Raises:
        ProblemError: it is no image that the service takes.
    """
    try:
        intake = take_in(image.data, MANIFEST.preprocessing, max_pixels=SETTINGS.max_pixels)
    except ImageError as error:
        raise ProblemError(error.slug, str(error)) from error
    return Decoded(intake, image.explain, not image.again)


def classify(images: Sequence[Decoded]) -> list[PredictResponse | Exception]:
    """Give each image that :func:`decode` has read its answer, or the error that it ended with, in one pass."""
    predictions = PREDICTOR.predict(np.stack([each.intake.image for each in images]))
    answers: list[PredictResponse | Exception] = []
    for index, image in enumerate(images):
        try:
            answers.append(_answer(image, predictions.row(index)))
        except Exception as error:  # whatever it is, a neighbour's answer stands
            answers.append(error)
    return answers


def _answer(image: Decoded, prediction: Prediction) -> PredictResponse:
    assessment = assess_input(image.intake, prediction, MANIFEST)
    for warning in assessment.warnings:
        metrics.INPUT_WARNINGS.labels(warning.kind).inc()
    response = PredictResponse.of(prediction.probabilities[0], assessment, MANIFEST)
    if WATCH and image.counts:
        WATCH.add(*observe(image.intake, prediction, assessment, response, MANIFEST))
    if SETTINGS.refuse_unknown and assessment.refusal:
        raise ProblemError("outside-what-the-model-knows", assessment.refusal)
    metrics.PREDICTIONS.labels(response.predictions[0].label).inc()
    metrics.CONFIDENCE.observe(response.predictions[0].confidence)
    if image.explain:
        explanation = heatmaps.explain(image.intake, prediction.cam[0], MANIFEST.classes)
        return ExplainedResponse(**dict(response), explanation=explanation)
    return response


WORKERS = WorkerPool(SETTINGS.threads, decode, classify)


class ChestXray:
    """Chest X-ray classifier."""

    model = ServedModel(TAG)

    def __init__(self) -> None:
        log_as_json()
        uvicorn_protocol.check_in_force()
        metrics.MODEL.labels(MANIFEST.model_name, MANIFEST.model_version, PREDICTOR.device).set(1)
        self._ready_until = 0.0
        PREDICTOR.session  # noqa: B018 - loaded from here on
        give_back()
        if bentoml.server_context.worker_index in (None, 1):
            logger.info(_announcement())
            if SETTINGS.drift_window and not MANIFEST.reference:
                logger.warning(UNWATCHED)
        if WATCH:
            metrics.add_collector(WATCH)
        # A full collection over everything loaded so far stalls the event loop for about 0.1 s each time.
        gc.freeze()
        gc.set_threshold(GC_ALLOCATIONS)

    def __is_ready__(self) -> bool:
        """BentoML's readiness check, in a thread of its own: a forward pass, at most once a second."""
        if time.monotonic() > self._ready_until:
            PREDICTOR.session.check_run()
            self._ready_until = time.monotonic() + READY_SECONDS
        return True

    @bentoml.api(route=PREDICT, input_spec=OneImage)  # type: ignore[untyped-decorator]
    @problems_answered
    async def predict(self, file: UploadedImage) -> PredictResponse:
        """Classify one JPEG, PNG or DICOM image: the most probable classes, the first one first."""
        answer = await WORKERS.run(file, file.ticket)
        # Private: BentoML passes a response through; an answer it would write down itself, slower and without what an
        # explained one has more than the declared type.
        return cast(PredictResponse, Response(answer.model_dump_json(), media_type="application/json"))

    @bentoml.api(route=BATCH, input_spec=SeveralImages)  # type: ignore[untyped-decorator]
    async def predict_batch(self, files: list[UploadedImage]) -> BatchResponse:
        """Classify several images: a prediction or a problem for each of them, in their order."""
        results = [_result(index, file) for index, file in enumerate(files)]
        return BatchResponse(results=await asyncio.gather(*results))


def _announcement() -> str:
    measured, data = MANIFEST.metrics, MANIFEST.data
    figure = f"macro F1 {measured.macro_f1:.2f} on {measured.images:,} test images"
    told = f"serving {TAG} ({MANIFEST.model_name}, {'generated images' if data.synthetic else data.dataset}, {figure})"
    told += f" on the {'GPU' if PREDICTOR.device == 'cuda' else 'CPU'}"
    if PREDICTOR.no_cuda:
        told += f" ({ENV_PREFIX}DEVICE=auto: {PREDICTOR.no_cuda})"
    # Private: BentoML tells its workers the address of each service.
    address = json.loads(os.environ.get("BENTOML_RUNNER_MAP", "{}")).get(SERVICE)
    return f"{told}; open {address}" if address else told


async def _result(index: int, file: UploadedImage) -> BatchResult:
    try:
        return BatchResult(index=index, prediction=await WORKERS.run(file, file.ticket))
    except ProblemError as error:
        content = problem_content(error.slug, error.detail, request_id.get())
        return BatchResult(index=index, problem=Problem.model_validate(content))


FORMS = {
    PREDICT: Form("file", 1, SETTINGS.max_upload_bytes, SETTINGS.max_upload_bytes, explains=True),
    BATCH: Form("files", SETTINGS.max_batch, SETTINGS.max_upload_bytes, SETTINGS.max_batch_bytes),
}
service = bentoml.service(
    name=SERVICE,
    image=service_image(str(TAG), bentoml.use_arguments(BuildArguments).image),
    workers=SETTINGS.workers,
    # Never the first to fire: its answer would be no problem document.
    traffic={"timeout": SETTINGS.upload_timeout + SETTINGS.predict_timeout + 10},
    # Both are done by AccessLog.
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
)(ChestXray)
# Private: BentoML asks a mounted application's routes before those of its own page, metrics and `/docs.json`.
service.mount_asgi_app(create_app(Metadata.of(MANIFEST, SETTINGS, PREDICTOR.device), FORMS))
# Outermost first.
service.add_asgi_middleware(ProblemDocuments)
service.add_asgi_middleware(AccessLog, routes=frozenset({*FORMS, "/metadata", "/docs", "/metrics"}), quiet=PROBES)
service.add_asgi_middleware(HeadRequests)
service.add_asgi_middleware(RelativeRedirects)
service.add_asgi_middleware(ApiKeys, hashes=KEY_HASHES)
service.add_asgi_middleware(
    UploadGuard,
    forms=FORMS,
    memory=UploadMemory(SETTINGS.max_upload_memory),
    timeout=SETTINGS.upload_timeout,
)
service.add_asgi_middleware(Admission, paths=frozenset(FORMS), places=PLACES, timeout=SETTINGS.predict_timeout)


def _outermost(app: ASGIApp) -> ASGIApp:
    # Where no exporter can be configured, BentoML still makes six spans a request: a quarter of its own cost.
    if not {"BENTOML_CONFIG", "BENTOML_CONFIG_OPTIONS"} & os.environ.keys():
        app = Untraced(app)
    return app


uvicorn_protocol.install(SETTINGS.header_timeout, Door(frozenset(FORMS), PLACES), _outermost)
