"""DICOM files: header, pixel data and grey scale."""
