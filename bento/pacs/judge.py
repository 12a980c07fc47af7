"""Who judges an image: the running service over HTTP, or a model in this process."""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import requests
from pydantic import ValidationError
from urllib3.exceptions import ProtocolError

from bento.artifact import ONNX_FILE
from bento.inference.answer import ExplainedResponse

CONNECT_SECONDS, ANSWER_SECONDS = 5.0, 60.0
_ABOUT_THE_IMAGE = {400, 413, 415, 422}
"""Statuses that mean this image, and will mean it again."""
_ALL_OF_US = {401, 403, 404, 405}
"""Statuses that mean a wrong key or a wrong address, whatever the image."""


@dataclass(frozen=True)
class Model:
    """The model that judges."""

    name: str
    version: str
    sha256: str
    """Of its sealed graph."""
    notice: str = ""
    """What must be known before reading any answer, e.g. that it saw generated images only."""

    @property
    def identity(self) -> tuple[str, str]:
        """What results' UIDs depend on."""
        return self.name, self.version


class RefusedError(Exception):
    """This image can't be judged, now or later; the text is the reason, and quotes nothing of the image."""

    def __init__(self, slug: str, reason: str) -> None:
        super().__init__(reason)
        self.slug, self.reason = slug, reason


class UnavailableError(Exception):
    """Nothing can be judged, or sent, at the moment; the text says why."""

    def __init__(self, reason: str, retry_after: float = 0) -> None:
        super().__init__(reason)
        self.reason, self.retry_after = reason, retry_after


class _BrokenOffError(UnavailableError):
    """Who was asked took the question and gave no answer to it."""


def out_of_reach(error: requests.RequestException) -> str:
    """What is wrong with who gives no answer."""
    if isinstance(error, requests.exceptions.SSLError):
        return "speaks no TLS, or shows a certificate that is not trusted for its name: check ca_file and the URL"
    return f"can't be reached ({type(error).__name__})"


class FailedError(Exception):
    """It did not work for this image; it may, another time."""


class Judge(Protocol):
    """Gives an image its answer."""

    def model(self) -> Model:
        """The model that would judge now.

        Raises:
            UnavailableError: it can't be told.
        """

    def judge(self, data: bytes, *, again: bool = False) -> tuple[ExplainedResponse, Model]:
        """The answer for a DICOM file, with heat maps, and the model that gave it.

        Args:
            data: the file.
            again: it may have been judged before; then it does not count twice where drift is watched.

        Raises:
            RefusedError, UnavailableError, FailedError: there is none.
        """


class ServiceJudge:
    """The service behind a URL. May be used from several threads.

    Args:
        url: of the service.
        key: its API key; empty: none.
        verify: as :mod:`requests` takes it: True, or a file of certificates.
    """

    def __init__(self, url: str, key: str, verify: bool | str) -> None:
        self._url, self._verify = url.rstrip("/"), verify
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._local = threading.local()
        self._model: Model | None = None

    def model(self) -> Model:
        metadata = self._answer(self._ask("GET", "/metadata"))
        try:
            name, version = str(metadata["model_name"]), str(metadata["model_version"])
            self._model = Model(name, version, str(metadata["files"][ONNX_FILE]), str(metadata["notice"] or ""))
        except (KeyError, TypeError):
            raise UnavailableError(
                "the service does not tell its model's hash; it is older than this program"
            ) from None
        return self._model

    def judge(self, data: bytes, *, again: bool = False) -> tuple[ExplainedResponse, Model]:
        try:
            response = self._ask("POST", f"/predict?explain=true{'&again=true' if again else ''}", data)
        except _BrokenOffError as error:
            self.model()  # raises where the service is at fault; where it answers, the image may have ended its process
            raise FailedError(error.reason) from None
        if response.status_code in _ABOUT_THE_IMAGE:
            problem = self._problem(response)
            raise RefusedError(problem.get("type", "").rpartition("/")[2] or "refused", problem.get("detail", ""))
        if response.status_code == requests.codes.internal_server_error:
            raise FailedError("the service ended with an error (500)")
        self._answer(response, parse=False)
        try:
            answer = ExplainedResponse.model_validate_json(response.content)
        except ValidationError:
            raise UnavailableError("what answers for the service gives no prediction") from None
        model = self._model
        if model is None or model.identity != (answer.model_name, answer.model_version):
            model = self.model()
        if model.identity != (answer.model_name, answer.model_version):
            raise UnavailableError("the service's workers have different models")
        return answer, model

    def _ask(self, method: str, path: str, data: bytes | None = None) -> requests.Response:
        files = None if data is None else {"file": ("image.dcm", data, "application/dicom")}
        try:
            return self._session.request(
                method,
                self._url + path,
                files=files,
                timeout=(CONNECT_SECONDS, ANSWER_SECONDS),
                verify=self._verify,
                allow_redirects=False,
            )
        except requests.ReadTimeout:
            raise _BrokenOffError(f"the service has not answered within {ANSWER_SECONDS:.0f} s") from None
        except requests.RequestException as error:
            if error.args and isinstance(error.args[0], ProtocolError):
                raise _BrokenOffError("the service has ended the connection without an answer") from None
            raise UnavailableError(f"the service {out_of_reach(error)}") from None

    @property
    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            session.trust_env = False
            session.headers.update(self._headers)
        return session

    def _answer(self, response: requests.Response, *, parse: bool = True) -> Any:
        if response.status_code in _ALL_OF_US:
            raise UnavailableError(f"the service answers {response.status_code}: check its URL and the key")
        if response.status_code != requests.codes.ok:
            wait = response.headers.get("Retry-After", "")
            reason = f"the service answers {response.status_code}"
            raise UnavailableError(reason, float(wait) if wait.isdigit() else 0)
        if not parse:
            return None
        try:
            return response.json()
        except requests.JSONDecodeError:
            raise UnavailableError("what answers for the service gives no JSON") from None

    @staticmethod
    def _problem(response: requests.Response) -> Mapping[str, str]:
        try:
            document = json.loads(response.content)
        except ValueError:
            return {}
        return {name: value for name, value in document.items() if isinstance(value, str)}


class LocalJudge:
    """A model of the store in this process, as the service would load it.

    Args:
        tag: in the BentoML model store.

    Raises:
        ValueError: there is no such model, or it can't be used; one line.
    """

    def __init__(self, tag: str) -> None:
        import bentoml
        from bentoml.exceptions import BentoMLException

        from bento.artifact import SYNTHETIC_NOTICE, ArtifactError
        from bento.inference.session import Predictor

        try:
            self._predictor = Predictor(Path(bentoml.models.get(tag).path))
        except (BentoMLException, ValueError, ArtifactError) as error:
            raise ValueError(f"model: {error}") from None
        manifest = self._predictor.manifest
        notice = SYNTHETIC_NOTICE if manifest.data.synthetic else ""
        self._model = Model(manifest.model_name, manifest.model_version, manifest.files[ONNX_FILE], notice)

    def model(self) -> Model:
        return self._model

    def judge(self, data: bytes, *, again: bool = False) -> tuple[ExplainedResponse, Model]:
        from bento.imaging.errors import ImageError
        from bento.imaging.intake import take_in
        from bento.inference import heatmaps
        from bento.inference.answer import PredictResponse
        from bento.inference.input_warnings import assess_input

        manifest = self._predictor.manifest
        try:
            intake = take_in(data, manifest.preprocessing)
        except ImageError as error:
            raise RefusedError(error.slug, str(error)) from None
        prediction = self._predictor.predict(intake.image[None])
        response = PredictResponse.of(prediction.probabilities[0], assess_input(intake, prediction, manifest), manifest)
        explanation = heatmaps.explain(intake, prediction.cam[0], manifest.classes)
        return ExplainedResponse(**dict(response), explanation=explanation), self._model
