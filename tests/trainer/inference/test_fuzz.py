"""Folders of damaged files under any name: ``predict`` has a line for each image, and says what it leaves out."""

import contextlib
import io
import json
import os
import re
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.fuzzing import CORPUS, mutated
from trainer.cli import main

NAMES = ["a.png", "b.JPG", "c.dcm", "d", "e.tif", "f.txt", "肺.jfif", "new\nline.png", os.fsdecode(b"\xff.png"), "-"]
CONTENTS = st.sampled_from(CORPUS).flatmap(mutated) | st.binary(max_size=300)


@settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "60")),
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(files=st.dictionaries(st.sampled_from(NAMES), CONTENTS, min_size=1, max_size=5))
def test_no_file_ends_predict_and_none_is_left_out_in_silence(stored_artifact: Path, files: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            Path(folder, name).write_bytes(content)
        output, errors = io.StringIO(), io.StringIO()
        words = ["predict", folder, "--model", f"chest_xray:{stored_artifact.name}", "--format", "json"]
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            code = main(words)
    lines = [json.loads(line) for line in output.getvalue().splitlines()]
    assert {Path(line["file"]).name for line in lines} <= set(files)
    left_out = re.search(r"(\d+) files that are no", errors.getvalue())
    assert len(lines) + (int(left_out[1]) if left_out else 0) == (len(files) if code < 2 else 0)
    assert code == (2 if not lines else any("error" in line for line in lines))
