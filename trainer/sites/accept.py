"""``accept``: the test that a site makes before it uses a model."""

import importlib.metadata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bento.artifact import MANIFEST_FILE, ONNX_FILE, Threshold, sha256_file
from bento.inference.session import Predictor
from trainer.data.listing import Radiograph
from trainer.errors import UserError
from trainer.files import check_writable
from trainer.inference.model_store import stored_folder, stored_model
from trainer.site_settings import AcceptSettings
from trainer.sites.acceptance import (
    PAGE,
    RECORD,
    Acceptance,
    ModelIdentity,
    Verdict,
    read_acceptance,
    write_acceptance,
)
from trainer.sites.acceptance_page import look_text, write_page
from trainer.sites.disease import threshold_of
from trainer.sites.labelled import open_labelled
from trainer.sites.look import Test, take_look
from trainer.sites.plan import check_same_plan, make_plan, plan_text

DISTRIBUTION = "chest-xray-service"


def accept(settings: AcceptSettings) -> Verdict | None:
    """Print the plan; where a dataset is given, look at its images, and write what is found.

    Returns:
        The verdict; None where the plan alone was asked for.

    Raises:
        UserError: bad input, a former record of another model or plan, or a look that the plan does not allow.
    """
    if settings.dataset and settings.out is None:
        raise UserError("accept: --dataset needs --out DIR, for the record and its page")
    record = None if settings.out is None else settings.out / RECORD
    former = None if record is None else read_acceptance(record)
    predictor = stored_model(settings.model)
    point = threshold_of(predictor.manifest, settings.disease or (former.model.disease if former else None))
    model = _identity(settings.model, predictor, point)
    if former and former.model != model:
        raise UserError(
            f"{record}: the test of {former.model.tag} ({former.model.disease} from {former.model.threshold:.3f} on), "
            f"not of {model.tag} ({model.disease} from {model.threshold:.3f} on); give that --model, or another --out"
        )
    if former:
        check_same_plan(settings, former.plan, str(record))
    plan = former.plan if former else make_plan(settings)
    print(plan_text(plan, point.label), flush=True)
    if settings.out is None or record is None or not settings.dataset:
        return None
    check_writable(settings.out)
    images = open_labelled(settings.model, predictor.manifest, settings.dataset, settings.labels)
    radiographs, labels = _without_copies(images.radiographs)
    if former and former.looks[-1].images.labels_by_sha256 == labels:
        print(f"these are the images of look {former.looks[-1].number}, which is not counted again")
        acceptance = _signed(former, settings.signed_by)
    else:
        _check_open(former, labels, record)
        images = replace(images, radiographs=radiographs)
        look = take_look(Test(settings, predictor, point, plan, former), images, labels)
        acceptance = Acceptance(
            intended_use=predictor.manifest.intended_use,
            program=_program(),
            model=model,
            plan=plan,
            looks=[*(former.looks if former else []), look],
        )
    settings.out.mkdir(parents=True, exist_ok=True)
    write_acceptance(record, acceptance)
    write_page(settings.out / PAGE, acceptance)
    print(look_text(acceptance))
    print(f"written: {settings.out / PAGE}, {record}")
    return acceptance.looks[-1].verdict


def _program() -> str:
    try:
        return f"{DISTRIBUTION} {importlib.metadata.version(DISTRIBUTION)}"
    except importlib.metadata.PackageNotFoundError:
        return f"{DISTRIBUTION}, not installed"


def _identity(tag: str, predictor: Predictor, point: Threshold) -> ModelIdentity:
    folder, manifest = stored_folder(tag), predictor.manifest
    return ModelIdentity(
        tag=f"{folder.parent.name}:{folder.name}",
        name=manifest.model_name,
        graph_sha256=manifest.files[ONNX_FILE],
        manifest_sha256=sha256_file(folder / MANIFEST_FILE),
        disease=point.label,
        threshold=point.threshold,
        reference=point.reference,
    )


def _without_copies(radiographs: Sequence[Radiograph]) -> tuple[list[Radiograph], dict[str, str]]:
    """The images without those whose file is another one's equal; the label of each by the hash of its file.

    Raises:
        UserError: two equal files have different labels, or a file can't be read.
    """
    first: dict[str, Radiograph] = {}
    for radiograph in radiographs:
        other = first.setdefault(sha256_file(radiograph.file), radiograph)
        if other.label != radiograph.label:
            raise UserError(
                f"{other.path} and {radiograph.path}: the same file, labelled {other.label} and {radiograph.label}; "
                "mend one label"
            )
    return list(first.values()), {digest: radiograph.label for digest, radiograph in first.items()}


def _signed(former: Acceptance, signed_by: str | None) -> Acceptance:
    """The record with a signature under its last look.

    Raises:
        UserError: another person has signed it already.
    """
    look = former.looks[-1]
    if signed_by is None:
        return former
    if look.signed_by not in (None, signed_by):
        raise UserError(f"--signed-by: look {look.number} is signed by {look.signed_by} already")
    return former.model_copy(update={"looks": [*former.looks[:-1], look.model_copy(update={"signed_by": signed_by})]})


def _check_open(former: Acceptance | None, labels: dict[str, str], record: Path) -> None:
    """Refuse a look that the plan does not allow, or that leaves out images of the former one.

    Raises:
        UserError: it says why.
    """
    if former is None:
        return
    look, looks = former.looks[-1], former.plan.looks
    if look.last:
        ended = f"look {look.number} of {looks} said: {look.verdict}"
        raise UserError(f"{record}: the plan has ended ({ended}); a new test needs another --out and new images")
    if missing := look.images.labels_by_sha256.keys() - labels.keys():
        raise UserError(
            f"{len(missing):,} of the {len(look.images.labels_by_sha256):,} images of look {look.number} are missing; "
            "a later look judges all images so far: give the former ones, too"
        )
