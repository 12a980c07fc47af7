import pytest

from trainer.reporting.resolution import MEASURED, resolution_text


@pytest.mark.parametrize(
    ("image_size", "sizes", "expected"),
    [
        pytest.param(
            224, {"224×224": 9, "2000×3000": 1},
            "Trained at 224×224 pixels; the longer side of the sources has 224 in the median. An input of 320 pixels "
            "can't be tried with these files, which have fewer.",
            id="small sources can't be tried at a larger size",
        ),
        pytest.param(
            224, {"512×512": 3},
            "Trained at 224×224 pixels; the longer side of the sources has 512 in the median. "
            f"{MEASURED} Try it by --image-size 320.",
            id="large sources can",
        ),
        pytest.param(
            128, {"299×299": 1, "1024×300": 2},
            "Trained at 128×128 pixels; the longer side of the sources has 1,024 in the median. "
            f"{MEASURED} Try it by --image-size 320 (2 of 3 images are large enough).",
            id="some of which are small",
        ),
        pytest.param(
            512, {"2500×2048": 1},
            "Trained at 512×512 pixels; the longer side of the sources has 2,500 in the median.",
            id="a large input needs no advice",
        ),
        pytest.param(224, {}, "Trained at 224×224 pixels.", id="of a run whose data were not audited"),
    ],
)  # fmt: skip
def test_the_report_says_what_a_larger_input_would_give(image_size: int, sizes: dict[str, int], expected: str) -> None:
    assert resolution_text(image_size, sizes) == expected
