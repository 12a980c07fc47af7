"""What BentoML publishes of the forms, and its own client."""

import subprocess
import sys
from pathlib import Path

import httpx

from tests.conftest import SERVED_VERSION
from tests.support import pictures

IMAGE = pictures.GOOD["a grey PNG"]


def test_bentomls_own_schema_holds_predict(client: httpx.Client) -> None:
    routes = client.get("/schema.json").json()["routes"]
    found = {route["name"]: (route["route"], route["input"]["properties"]) for route in routes}
    assert {name: path for name, (path, _) in found.items()} == {
        "predict": "/predict",
        "predict_batch": "/predict/batch",
    }
    assert found["predict"][1]["file"]["type"] == "file"
    assert found["predict_batch"][1]["files"]["items"]["type"] == "file"


def test_bentomls_client_works(service_url: str, tmp_path: Path) -> None:
    path, dicom = tmp_path / "image.png", tmp_path / "image.dcm"
    path.write_bytes(IMAGE)
    dicom.write_bytes(pictures.GOOD["a DICOM image"])
    script = (
        "import sys, pathlib, bentoml\n"
        "path = pathlib.Path(sys.argv[2])\n"
        "with bentoml.SyncHTTPClient(sys.argv[1]) as client:\n"
        "    print(client.predict(file=path)['model_version'])\n"
        "    print(len(client.predict_batch(files=[path, path])['results']))\n"
        "    print(client.predict(file=path.with_suffix('.dcm'))['model_version'])\n"
    )
    command = [sys.executable, "-c", script, service_url, str(path)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert output.split() == [SERVED_VERSION, "2", SERVED_VERSION]
