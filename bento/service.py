"""The BentoML service: ``bentoml serve`` in the project's root serves it.

The artifact is loaded when this module is imported, so that ``bentoml serve`` and ``bentoml build`` end with one
clear line where it is missing or damaged, before any worker starts.
"""

import gc
import logging
from pathlib import Path
from typing import Annotated, Any

import bentoml
import numpy as np
from bentoml.exceptions import BentoMLException, NotFound
from bentoml.models import BentoModel
from bentoml.validators import ContentType
from pydantic import ValidationError

from bento.api import create_app
from bento.artifact import STORE_NAME, ArtifactError
from bento.guard import UploadGuard
from bento.images import ImageError, load_array
from bento.limits import Admission, check_deadline
from bento.predictor import Predictor
from bento.problems import ProblemDocuments, ProblemError, answered
from bento.schemas import Metadata, PredictResponse
from bento.settings import ENV_PREFIX, Settings

# It warns of every malformed body; the client is told, and the access log knows.
logging.getLogger("python_multipart").setLevel(logging.ERROR)

PREDICT = "/predict"
FIELD = "file"


class ServedModel(BentoModel):  # type: ignore[misc]
    """Reference to the artifact; a bento records it as what ``latest`` meant when the bento was built."""

    def to_info(self, alias: str | None = None) -> Any:
        return super().to_info(alias or f"{STORE_NAME}:latest")


def _load() -> tuple[Settings, bentoml.Tag, Predictor]:
    try:
        settings = Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = ENV_PREFIX + "".join(map(str, first["loc"])).upper()
        raise SystemExit(f"{name}: {first['msg']}, not {first['input']!r}") from None
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
        return settings, stored.tag, Predictor(Path(stored.path), threads=1)
    except ArtifactError as error:
        raise SystemExit(f"The model {stored.tag} can't be served: {error}") from None


SETTINGS, TAG, PREDICTOR = _load()
MANIFEST = PREDICTOR.manifest


class ChestXray:
    """Chest X-ray classifier."""

    model = ServedModel(TAG)

    def __init__(self) -> None:
        # A full collection over everything loaded so far stalls the event loop for about 0.1 s each time.
        gc.collect()
        gc.freeze()

    @bentoml.api(route=PREDICT)  # type: ignore[untyped-decorator]
    @answered
    def predict(self, file: Annotated[Path, ContentType("image/*")]) -> PredictResponse:
        """Classify one JPEG or PNG image: the most probable classes, the first one first."""
        check_deadline()
        try:
            image = load_array(file, MANIFEST.preprocessing, max_pixels=SETTINGS.max_pixels)
        except ImageError as error:
            raise ProblemError(error.slug, str(error)) from error
        probabilities = PREDICTOR.predict(image[np.newaxis]).probabilities[0]
        return PredictResponse.of(probabilities, MANIFEST)


service = bentoml.service(
    name="chest_xray",
    workers=1,
    threads=SETTINGS.threads,
    # Never the first to fire: its answer would be no problem document.
    traffic={"timeout": SETTINGS.upload_timeout + SETTINGS.predict_timeout + 10},
)(ChestXray)
service.mount_asgi_app(create_app(Metadata.of(MANIFEST, SETTINGS), predict=PREDICT, field=FIELD))
# Outermost first.
service.add_asgi_middleware(ProblemDocuments)
service.add_asgi_middleware(
    UploadGuard,
    path=PREDICT,
    field=FIELD,
    max_bytes=SETTINGS.max_upload_bytes,
    timeout=SETTINGS.upload_timeout,
)
service.add_asgi_middleware(
    Admission, path=PREDICT, limit=SETTINGS.max_concurrency, timeout=SETTINGS.predict_timeout
)
