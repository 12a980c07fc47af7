"""The real kagglehub client against a stand-in on localhost."""

from pathlib import Path

import pytest

from tests.support import kaggle_standin
from trainer.data import kaggle
from trainer.errors import UserError

HANDLE = "owner/images"
FILES = {f"{split}/{label}/{label}-1.jpg": b"x" for split in ("train", "val", "test") for label in ("normal", "tb")}


@pytest.fixture(autouse=True)
def _local_kaggle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kaggle_standin.use_standin(monkeypatch, tmp_path)


def test_download_gives_the_unpacked_folder_and_the_second_time_takes_it_from_the_cache() -> None:
    with kaggle_standin.serve(kaggle_standin.zipped(FILES)) as server:
        folder = kaggle.download(HANDLE)
        assert {file.relative_to(folder).as_posix() for file in folder.rglob("*.jpg")} == set(FILES)
        assert folder.name == str(kaggle_standin.VERSION)
        assert kaggle.download(HANDLE) == folder
        assert server.requests.count("storage") == 1


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (401, "credentials"),
        (403, "accept the licence at https://www.kaggle.com/datasets/owner/images"),
        (404, "not found"),
        (429, "wait"),
        (503, r"answers with an error \(503\)"),
    ],
)
def test_a_refusal_is_one_line_with_the_ways_out(status: int, says: str) -> None:
    with kaggle_standin.serve(status=status), pytest.raises(UserError, match=says) as caught:
        kaggle.download(HANDLE)
    assert "\n" not in str(caught.value)
    assert "--dataset PATH" in str(caught.value)


def test_a_data_set_that_does_not_exist_is_named() -> None:
    with kaggle_standin.serve(), pytest.raises(UserError, match=r"owner/other: not found.*--kaggle-handle"):
        kaggle.download("owner/other")


def test_no_network_is_one_line_with_the_ways_out(monkeypatch: pytest.MonkeyPatch) -> None:
    # Port 80 of localhost: nothing listens there.
    monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "LOCALHOST")
    with pytest.raises(UserError, match=r"can't be reached.*--dataset PATH") as caught:
        kaggle.download(HANDLE)
    assert "\n" not in str(caught.value)


def test_a_broken_archive_is_thrown_away_so_that_the_next_run_mends_it() -> None:
    whole = kaggle_standin.zipped(FILES)
    for broken in (whole[:-40], b"<html>not an archive</html>"):
        with kaggle_standin.serve(broken), pytest.raises(UserError, match="archive"):
            kaggle.download(HANDLE)
    damaged = bytearray(kaggle_standin.zipped({"train/normal/a.jpg": b"abcdefgh" * 50}))
    damaged[60] ^= 0xFF
    with kaggle_standin.serve(bytes(damaged)), pytest.raises(UserError, match="archive is broken"):
        kaggle.download(HANDLE)
    with (
        kaggle_standin.serve(whole, md5="AAAA"),
        pytest.raises(UserError, match=r"archive is broken \(.*MD5 checksum of: AAAA"),
    ):
        kaggle.download(HANDLE)
    with kaggle_standin.serve(whole):
        assert len(list(kaggle.download(HANDLE).rglob("*.jpg"))) == len(FILES)


def test_a_download_that_breaks_off_says_to_run_again() -> None:
    whole = kaggle_standin.zipped(FILES)
    with (
        kaggle_standin.serve(whole[:100], announced=len(whole)),
        pytest.raises(UserError, match="broke off; run it again"),
    ):
        kaggle.download(HANDLE)


def test_a_damaged_credentials_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "kaggle.json").write_text("{")
    with pytest.raises(UserError, match=r"Invalid Kaggle credentials file at .*kaggle\.json"):
        kaggle.download(HANDLE)
