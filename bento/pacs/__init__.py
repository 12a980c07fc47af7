"""Films in from the PACS, results back into it: ``python -m bento.pacs``, a process of its own beside the service.

An image comes by C-STORE (:mod:`bento.pacs.node`) or is fetched by DICOMweb (:mod:`bento.pacs.watch`), is written down
in the ledger, judged, and its report and capture are sent to every destination. Needs the extra ``pacs``.
"""
