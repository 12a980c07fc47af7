"""Contexts of TLS from the deployment's certificates."""

import ssl

from bento.pacs.settings import PacsSettings


def server_context(settings: PacsSettings) -> ssl.SSLContext | None:
    """For the node: its certificate, and peers' certificates asked for; None where there is none.

    Raises:
        ValueError: a file can't be used; one line.
    """
    if settings.cert_file is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _load(context, settings)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(settings: PacsSettings) -> ssl.SSLContext:
    """For destinations: they must show a certificate of a trusted authority for their name.

    Raises:
        ValueError: a file can't be used; one line.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if settings.ca_file is None:
        context.load_default_certs()
    _load(context, settings)
    return context


def _load(context: ssl.SSLContext, settings: PacsSettings) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        if settings.ca_file is not None:
            context.load_verify_locations(settings.ca_file)
        if settings.cert_file is not None:
            context.load_cert_chain(settings.cert_file, settings.cert_key_file)
    except (OSError, ssl.SSLError):
        raise ValueError("ca_file, cert_file, cert_key_file: not certificates and a key in PEM") from None
