import pytest
from starlette.datastructures import Headers

from bento.http.multipart import Form, Upload
from bento.http.problems import ProblemError

FORM = Form("file", 1, 1000, 1000)


def parsed(disposition: str) -> list[bytearray]:
    """The files of a body with one part."""
    upload = Upload(Headers({"content-type": "multipart/form-data; boundary=B"}), FORM)
    upload.feed(f"--B\r\nContent-Disposition: {disposition}\r\n\r\ndata\r\n--B--\r\n".encode())
    upload.finish()
    return upload.files


@pytest.mark.parametrize(
    "disposition",
    [
        pytest.param("form-data; name=\"file\"; filename*=UTF-8''r%C3%B6ntgen.png", id="RFC 8187, and no plain name"),
        pytest.param("form-data; name=\"file\"; filename*=utf-8'de'a.png; filename=a.png", id="both"),
        pytest.param('form-data; name="file"; filename*0="a long "; filename*1="name.png"', id="RFC 2231, in pieces"),
        pytest.param("form-data; name=\"file\"; filename*0*=UTF-8''a%20; filename*1=b.png", id="RFC 2231, encoded"),
        pytest.param("form-data; filename*=iso-8859-1''a.png; name=file", id="Latin-1, unquoted, the name last"),
        pytest.param('Form-Data; Name="file"; FileName="a.png"', id="other capitals"),
        pytest.param('form-data; name="file"; filename=""', id="an empty name"),
    ],
)
def test_a_part_with_any_form_of_file_name_is_a_file(disposition: str) -> None:
    assert parsed(disposition) == [b"data"]


@pytest.mark.parametrize(
    "disposition",
    [
        'form-data; name="file"',
        'form-data; name="file"; file="a.png"',
        'form-data; name="file"; filenames="a.png"',
    ],
)
def test_a_part_without_one_is_text(disposition: str) -> None:
    with pytest.raises(ProblemError, match="the part is text, not a file") as error:
        parsed(disposition)
    assert error.value.slug == "wrong-field"
