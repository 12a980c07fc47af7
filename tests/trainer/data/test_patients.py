import pytest

from trainer.data.patients import check_pattern, patient_from_name
from trainer.errors import UserError


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("person12_bacteria_46.jpeg", "person12"),
        ("train/PNEUMONIA/person12_virus_3.jpeg", "person12"),
        ("kermany_person1562_bacteria_4089.png", "person1562"),
        ("IM-0115-0001.jpeg", "IM-0115"),
        ("NORMAL2-IM-0115-0001.jpeg", "IM-0115"),
        ("IM-0115-0001-0002.jpeg", "IM-0115"),
        ("CHNCXR_0327_1.png", "CHNCXR_0327"),
        ("MCUCXR_0001_0.png", "MCUCXR_0001"),
        ("tuberculosis-1310.jpg", None),
        ("person12_bacteria_46/image.png", None),  # the file's name counts, not its folder's
        ("salesperson12_virus_3.png", None),
    ],
)
def test_known_collections_tell_the_patient_by_file_name(name: str, patient: str | None) -> None:
    assert patient_from_name(name) == patient


def test_the_users_pattern_goes_first_and_the_rules_after_it() -> None:
    assert patient_from_name("a/p7_IM-0115-0001.png", r"^(p\d+)_") == "p7"
    assert patient_from_name("a/IM-0115-0001.png", r"^(p\d+)_") == "IM-0115"


@pytest.mark.parametrize(
    ("pattern", "paths", "says"),
    [
        ("(p", ["p1.png"], "not a regular expression"),
        (r"p\d+", ["p1.png"], "has no group"),
        (r"(q\d+)", ["N/p1.png"], "matches no file name, e.g. not 'N/p1.png'"),
        (r"(p\d+)", [], "the manifest names every image's patient"),
    ],
)
def test_a_pattern_of_no_use_is_refused(pattern: str, paths: list[str], says: str) -> None:
    with pytest.raises(UserError, match=says):
        check_pattern(pattern, paths)
