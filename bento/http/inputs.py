"""What BentoML's API methods are given: the files that the upload guard has left in the request's scope."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

from bentoml import IODescriptor
from bentoml.validators import ContentType
from starlette.requests import Request
from starlette.types import Scope

from bento.http.admission import FILES, TICKET, Ticket
from bento.http.uploads import AGAIN, EXPLAIN

ImageFile = Annotated[Path, ContentType("image/*")]
"""To BentoML, its schema and its clients: a file."""


@dataclass(frozen=True)
class UploadedImage:
    """One uploaded file, and what its request wants."""

    data: bytes | bytearray
    explain: bool
    """Heat maps are asked for."""
    again: bool
    """The client says that it has asked about this image before."""
    ticket: Ticket
    """Tells whether somebody still waits for the answer."""


def uploaded_images(scope: Scope) -> list[UploadedImage]:
    """The images of a request that has passed the upload guard and the admission, in their order."""
    return [UploadedImage(data, scope[EXPLAIN], scope[AGAIN], scope[TICKET]) for data in scope[FILES]]


# Private: BentoML asks `input_spec` for a method's arguments through `from_http_request`, and takes its fields'
# values as they are. The default would parse the body again.
class OneImage(IODescriptor):  # type: ignore[misc]
    """The form of a route for one image. BentoML publishes its fields; the method gets an :class:`UploadedImage`."""

    file: ImageFile

    @classmethod
    async def from_http_request(cls, request: Request, serde: Any) -> Self:
        """Take the image out of the request's scope; the body has been read."""
        (image,) = uploaded_images(request.scope)
        return cls.model_construct(file=image)  # type: ignore[no-any-return]


class SeveralImages(IODescriptor):  # type: ignore[misc]
    """The form of a route for several images; the method gets a list of :class:`UploadedImage`."""

    files: list[ImageFile]

    @classmethod
    async def from_http_request(cls, request: Request, serde: Any) -> Self:
        """Take the images out of the request's scope; the body has been read."""
        return cls.model_construct(files=uploaded_images(request.scope))  # type: ignore[no-any-return]
