"""Why bytes can't be used as an image: one exception for each reason."""


class ImageError(ValueError):
    """The bytes can't be used as an image. ``slug`` is a stable, machine-readable name of the reason."""

    slug = "unreadable-image"


class EmptyImageError(ImageError):
    """No bytes at all."""

    slug = "empty-file"


class UnknownFormatError(ImageError):
    """Not one of the accepted formats."""

    slug = "not-an-image"


class TooManyPixelsError(ImageError):
    """The header announces more pixels than the cap; nothing was decoded."""

    slug = "too-many-pixels"


class TooManyScansError(ImageError):
    """A progressive JPEG with far more scans than any encoder writes: each costs a pass over all pixels."""

    slug = "too-many-scans"


class DamagedImageError(ImageError):
    """The header is fine, the content is truncated or corrupt."""

    slug = "damaged-image"


class NotChestError(ImageError):
    """A DICOM file whose header says that it shows something else than a chest image."""

    slug = "not-a-chest-image"


class UnsupportedDicomError(ImageError):
    """A DICOM file of a transfer syntax or a kind of pixels that is not read."""

    slug = "unsupported-dicom"
