"""``acceptance.html``: one page that says whether a model may be used at a site, and what that rests on."""

from pathlib import Path

from trainer.evaluation.figures import figure_with_interval
from trainer.files import write_text
from trainer.reporting.pages import page_environment
from trainer.sites.acceptance import Acceptance, Measured
from trainer.sites.plan import reason
from trainer.sites.subgroups import subgroup_sentences

SENTENCES = {
    "met": "Both targets are shown to be met.",
    "not met": "A target is shown to be missed.",
    "can't tell": "These images can't tell whether the targets are met.",
}


def write_page(path: Path, acceptance: Acceptance) -> None:
    """Write the page; it needs nothing but itself."""
    look, plan = acceptance.looks[-1], acceptance.plan
    rates = [
        ("sensitivity", look.sensitivity, plan.target_sensitivity, plan.with_disease),
        ("specificity", look.specificity, plan.target_specificity, plan.without_disease),
    ]
    html = (
        page_environment()
        .get_template("acceptance.html")
        .render(
            acceptance=acceptance,
            look=look,
            plan=plan,
            rates=rates,
            sentence=SENTENCES[look.verdict],
            why=reason(plan),
            warnings=subgroup_sentences(look.subgroups),
            notes=_notes(acceptance),
            seal=acceptance.seal(),
        )
    )
    write_text(path, html)


def look_text(acceptance: Acceptance) -> str:
    """The last look in lines, for a terminal."""
    look, plan = acceptance.looks[-1], acceptance.plan
    lines = [
        f"look {look.number} of {plan.looks}: {acceptance.model.disease} by {acceptance.model.tag}",
        _line("sensitivity", look.sensitivity, plan.target_sensitivity, plan.with_disease),
        _line("specificity", look.specificity, plan.target_specificity, plan.without_disease),
    ]
    lines += [f"WARNING: {sentence}" for sentence in subgroup_sentences(look.subgroups) + _notes(acceptance)]
    return "\n".join([*lines, f"{look.verdict.upper()}: {look.reason}"])


def _line(name: str, rate: Measured, target: float, planned: int) -> str:
    return (
        f"{name} {figure_with_interval(rate.interval, rate.images)} for {target:.2f}, n = {rate.images:,}, "
        f"worth {rate.independent:,.0f} of the {planned:,} planned"
    )


def _notes(acceptance: Acceptance) -> list[str]:
    """What speaks against taking the result at its word."""
    look, plan = acceptance.looks[-1], acceptance.plan
    images, notes = look.images, []
    if not images.checked_seen:
        notes.append(
            "The model has no list of its own images, so that nobody can tell whether it was trained on some of these."
        )
    if images.left_out_seen:
        notes.append(f"Images that were left out since the model was made with them: {images.left_out_seen:,}.")
    if images.left_out_calibrated:
        notes.append(
            f"Images that were left out since the thresholds were chosen on them: {images.left_out_calibrated:,}."
        )
    if images.left_out_copies:
        notes.append(f"Files that were left out since they equal another one: {images.left_out_copies:,}.")
    if images.unreadable:
        notes.append(f"Images that can't be read and were not judged: {len(images.unreadable):,}.")
    if images.novel:
        notes.append(f"Judged images that are unlike the images that the model was trained on: {images.novel:,}.")
    if images.relabelled:
        notes.append(f"Images that have another label than at the look before: {images.relabelled:,}.")
    if images.strata:
        notes.append(
            "The images were drawn by score and are weighed back to the folder that they come from; "
            "the limits are then approximate."
        )
    short = look.sensitivity.independent < plan.with_disease or look.specificity.independent < plan.without_disease
    if look.verdict == "can't tell" and short:
        more = "a later look at more images is allowed" if not look.last else "the plan allows no further look"
        notes.append(f"There are fewer images than planned; {more}.")
    elif look.verdict == "can't tell":
        notes.append("With as many images as planned this means that a true value is near its target.")
    return notes
