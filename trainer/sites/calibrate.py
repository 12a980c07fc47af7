"""``calibrate``: a stored model gets a hospital's own thresholds, on a few of its images, as a version of its own."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from bento.artifact import ONNX_FILE, Manifest, ReferenceDistributions, SiteCalibration, sha256_file
from bento.inference.session import Predictor
from trainer.data.folder import Radiograph
from trainer.errors import UserError
from trainer.evaluation.predictive_values import check_prevalence
from trainer.evaluation.reference import reference_of
from trainer.evaluation.scoring import Evaluation, score_images
from trainer.evaluation.seen_images import SeenImages, leave_out_seen, read_seen_images, seen_list_text
from trainer.files import check_writable, write_json
from trainer.inference.model_store import SealedModel, stored_folder, stored_model
from trainer.publishing.stored_models import find_tag
from trainer.reporting.site_page import write_site_pages
from trainer.running.progress import say, task
from trainer.settings import shares_of
from trainer.site_settings import CalibrateSettings
from trainer.sites.calibrated_disease import Aim, CalibratedDisease, calibrate_disease
from trainer.sites.labelled import list_labelled
from trainer.sites.programme import Terms
from trainer.sites.report import SiteReport, report_text
from trainer.sites.site_version import calibrated_manifest, store_version
from trainer.sites.stratified import Sample, drawn_sample

DEFAULT_OUT = Path("runs/sites")
NORMAL = "NORMAL"
"""Of models that were sealed before the class without disease became a setting."""
MANY_NOVEL = 0.1
"""Share of images unlike the training images, above which a warning says so."""
POOR = 0.5
"""Specificity at the threshold, below which a warning says that the ranking is poor."""


def calibrate(settings: CalibrateSettings) -> str:
    """Calibrate a stored model and store the result, not served by default; write its page and its JSON.

    Returns:
        What was found and where it is, for a terminal.

    Raises:
        UserError: no such model or folder, labels that the model does not know, images that it was trained on, or too
            few patients for any threshold.
    """
    check_writable(settings.out or DEFAULT_OUT)
    tag = find_tag(settings.model)
    predictor = stored_model(tag)
    manifest = predictor.manifest
    _check_terms(settings, manifest)
    listed, stratum_images = list_labelled(settings.dataset, settings.labels, settings.patient_pattern)
    radiographs, name = _of_site(listed, settings)
    if stratum_images:
        _check_drawn(radiographs, listed)
    radiographs, seen = leave_out_seen(radiographs, read_seen_images(stored_folder(tag), manifest))
    say(seen.sentence)
    evaluation = score_images(radiographs, SealedModel.of(predictor, settings.workers))
    sample = drawn_sample(evaluation.radiographs, stratum_images)
    with task("calibrating"):
        diseases = _diseases(settings, evaluation, sample, manifest)
    if not any(disease.threshold for disease in diseases):
        why = "; ".join(disease.why_none for disease in diseases)
        raise UserError(f"calibrate: these images give no threshold: {why}")
    site = _site(settings, name, evaluation, diseases, predictor).model_copy(update={"strata": len(stratum_images)})
    images = seen_list_text({sha256_file(image.file): image.file for image in evaluation.radiographs})
    calibrated = calibrated_manifest(manifest, site, images)
    if stratum_images:
        reference = _without_flags(manifest.reference)
    else:
        reference = reference_of(evaluation, calibrated.thresholds, manifest.novelty, manifest.orientations)
    calibrated = calibrated.model_copy(update={"reference": reference})
    report = SiteReport(
        model=tag,
        version=calibrated.model_version,
        site=site,
        target_sensitivity=settings.target_sensitivity,
        confidence=settings.confidence,
        warnings=_warnings(site, evaluation, manifest, seen),
        seen_images=seen,
        unreadable=evaluation.unreadable,
        tables=[disease.table for disease in diseases if disease.table],
    )
    out = settings.out or DEFAULT_OUT / calibrated.model_version
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "calibration.json", report.model_dump(mode="json"))
    write_site_pages(report, out)
    stored = store_version(stored_folder(tag), tag, calibrated, images)
    return f"{report_text(report)}\n\n{stored}\nwritten: {out / 'calibration.html'}, calibration.json, calibration.md"


def _normal(manifest: Manifest) -> str:
    return str(manifest.config.get("normal_class", NORMAL))


def _check_terms(settings: CalibrateSettings, manifest: Manifest) -> None:
    prevalence = shares_of(settings.prevalence)
    check_prevalence(prevalence, manifest.classes, _normal(manifest))
    if not prevalence and (settings.cost_image is not None or settings.cost_test is not None):
        raise UserError("calibrate: --cost-image and --cost-test need --prevalence: the cost of a case depends on it")


def _of_site(radiographs: Sequence[Radiograph], settings: CalibrateSettings) -> tuple[list[Radiograph], str]:
    """The images of the one site that the model is calibrated for, and its name."""
    sites = sorted({radiograph.site for radiograph in radiographs} - {""})
    if settings.site in sites:
        radiographs = [radiograph for radiograph in radiographs if radiograph.site == settings.site]
    elif len(sites) > 1:
        which = "say which: --site" if settings.site is None else f"--site {settings.site} is none of them"
        raise UserError(f"calibrate: the images are of {len(sites)} sites ({', '.join(sites)}); {which}")
    folder = Path(settings.dataset[0]).expanduser().resolve().name
    return list(radiographs), settings.site or (sites[0] if sites else folder)


def _check_drawn(radiographs: Sequence[Radiograph], listed: Sequence[Radiograph]) -> None:
    """Refuse images drawn by score that do not stand for the site.

    Raises:
        UserError: it says why.
    """
    if len(radiographs) < len(listed):
        raise UserError(
            "calibrate: the images were drawn by score from several sites together; select from one site's, and give "
            "that selection"
        )
    if len({radiograph.person for radiograph in radiographs}) < len(radiographs):
        raise UserError(
            "calibrate: the images were drawn by score, and some patient has several of them; one of each is weighed "
            "back: take the others out of the table"
        )


def _without_flags(reference: ReferenceDistributions | None) -> ReferenceDistributions | None:
    """The model's own reference, for images drawn by score have not the site's distributions; without the flagged
    images, which the site's thresholds change."""
    if reference is None:
        return None
    marked = {name: count for name, count in reference.marked.items() if name != "flagged"}
    return reference.model_copy(update={"marked": marked})


def _diseases(
    settings: CalibrateSettings, evaluation: Evaluation, sample: Sample, manifest: Manifest
) -> list[CalibratedDisease]:
    normal, prevalence = _normal(manifest), shares_of(settings.prevalence)
    own = {point.label: point for point in manifest.operating_points}
    found = []
    for label in manifest.classes:
        if label == normal:
            continue
        reference = own[label].reference if label in own else normal if normal in manifest.classes else None
        terms = Terms(
            prevalence=prevalence.get(label, prevalence.get("")),
            cost_image=settings.cost_image,
            cost_test=settings.cost_test,
        )
        aim = Aim(settings.target_sensitivity, settings.confidence, terms)
        found.append(calibrate_disease(label, evaluation.judged, sample, own.get(label), reference, aim))
    return found


def _site(
    settings: CalibrateSettings,
    name: str,
    evaluation: Evaluation,
    diseases: Sequence[CalibratedDisease],
    predictor: Predictor,
) -> SiteCalibration:
    manifest, radiographs = predictor.manifest, evaluation.radiographs
    lines = sorted(f"{sha256_file(one.file)} {one.label} {one.person}\n" for one in radiographs)
    return SiteCalibration(
        name=name,
        created=datetime.now(UTC).replace(microsecond=0),
        dataset=" + ".join(Path(given).name for given in settings.dataset),
        images=len(radiographs),
        patients=len(set(evaluation.judged.patients)),
        counts=dict(sorted(Counter(radiograph.label for radiograph in radiographs).items())),
        fingerprint=hashlib.sha256("".join(lines).encode()).hexdigest(),
        reusable_by=settings.reusable_by,
        base_version=manifest.site.base_version if manifest.site else manifest.model_version,
        graph=manifest.files[ONNX_FILE],
        classes=manifest.classes,
        thresholds=[disease.threshold for disease in diseases if disease.threshold],
        no_threshold={disease.label: disease.why_none for disease in diseases if not disease.threshold},
        recalibration=[disease.recalibration for disease in diseases if disease.recalibration],
    )


def _warnings(site: SiteCalibration, evaluation: Evaluation, manifest: Manifest, seen: SeenImages) -> list[str]:
    found = [seen.warning] if seen.warning else []
    if all(radiograph.patient == radiograph.path for radiograph in evaluation.radiographs):
        found.append(
            "No patient is named, so that each image counts as a patient of its own; where some have several images, "
            "the thresholds are less sure than they say. Name patients in manifest.csv or by --patient-pattern."
        )
    if evaluation.novelty is not None and manifest.novelty is not None:
        novel = int((evaluation.novelty > manifest.novelty.threshold).sum())
        if novel > MANY_NOVEL * site.images:
            found.append(
                f"{novel} of the {site.images} images are unlike those that the model was trained on: it may know too "
                "little of this hospital's radiographs."
            )
    found += [
        f"{point.label}: at this threshold only {100 * point.specificity.value:.0f} % of the images without it pass. "
        "No threshold mends a poor ranking; images of this hospital in the training data may."
        for point in site.thresholds
        if point.specificity.value < POOR
    ]
    return found
