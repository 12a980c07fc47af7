"""The plan of a test before use: targets, assumptions, and the images that they ask for."""

import math

from trainer.errors import UserError
from trainer.settings import ENV_PREFIX
from trainer.site_settings import AcceptSettings
from trainer.sites.acceptance import Plan
from trainer.sites.sample_size import ALPHA, MOST_IMAGES, least_images, look_sizes, power

PLANNED = (
    "target_sensitivity", "target_specificity", "assume_sensitivity", "assume_specificity", "power", "looks",
)  # fmt: skip
"""Settings that are fixed with the first look."""


def make_plan(settings: AcceptSettings) -> Plan:
    """The plan that settings ask for.

    Raises:
        UserError: what is assumed does not exceed its target, or exceeds it by too little for any number of images.
    """
    numbers, assumed, powers = {}, {}, []
    for name in ("sensitivity", "specificity"):
        target = getattr(settings, f"target_{name}")
        truth = getattr(settings, f"assume_{name}")
        truth = (target + 1) / 2 if truth is None else truth
        if truth <= target:
            raise UserError(f"--assume-{name} {truth:g}: must be above --target-{name} {target:g}, or no number helps")
        # Both must be shown: with as much power for each, the power of both is what is wanted.
        number = least_images(target, truth, math.sqrt(settings.power), settings.looks)
        if number is None:
            raise UserError(
                f"--assume-{name} {truth:g}: so near the target {target:g} that it takes more than {MOST_IMAGES:,} "
                "images; assume more, or ask for less"
            )
        numbers[name], assumed[name] = number, truth
        powers.append(power(target, truth, number, settings.looks))
    return Plan(
        target_sensitivity=settings.target_sensitivity,
        target_specificity=settings.target_specificity,
        assumed_sensitivity=assumed["sensitivity"],
        assumed_specificity=assumed["specificity"],
        alpha=ALPHA,
        wanted_power=settings.power,
        power=math.prod(powers),
        looks=settings.looks,
        with_disease=numbers["sensitivity"],
        without_disease=numbers["specificity"],
    )


def check_same_plan(settings: AcceptSettings, plan: Plan, where: str) -> None:
    """Refuse a setting that differs from the plan of the former looks.

    Raises:
        UserError: it names the setting.
    """
    fixed = {
        "target_sensitivity": plan.target_sensitivity,
        "target_specificity": plan.target_specificity,
        "assume_sensitivity": plan.assumed_sensitivity,
        "assume_specificity": plan.assumed_specificity,
        "power": plan.wanted_power,
        "looks": plan.looks,
    }
    for name in PLANNED:
        given = getattr(settings, name)
        if name in settings.model_fields_set and given is not None and not math.isclose(given, fixed[name]):
            flag = f"--{name.replace('_', '-')}"
            raise UserError(
                f"{flag} {given:g}: the plan of {where} was fixed with its first look at {fixed[name]:g}; leave {flag} "
                f"(and {ENV_PREFIX}{name.upper()}) away, or give another --out for a new test on new images"
            )


def plan_text(plan: Plan, disease: str) -> str:
    """The plan in sentences, for a terminal."""
    lines = [
        f"plan: to show for {disease} a sensitivity of at least {plan.target_sensitivity:.0%} and a specificity of at "
        f"least {plan.target_specificity:.0%}".replace("%", " %"),
        f"  {plan.with_disease:,} patients with the disease and {plan.without_disease:,} without it, one image each",
        f"  {reason(plan)}",
    ]
    if plan.looks > 1:
        steps = " and ".join(
            f"{', '.join(f'{size:,}' for size in look_sizes(number, plan.looks))} {side} it"
            for number, side in ((plan.with_disease, "with"), (plan.without_disease, "without"))
        )
        lines.append(
            f"  {plan.looks} looks, e.g. at {steps}; early ones ask for more (error spent as by O'Brien and Fleming)"
        )
    else:
        lines.append("  one look: judge all images at once; --looks K, given now, would allow K")
    return "\n".join(lines)


def reason(plan: Plan) -> str:
    """Why it is so many images."""
    return (
        f"since a model whose true values are {plan.assumed_sensitivity:.3g} and {plan.assumed_specificity:.3g} is "
        f"then accepted with a chance of {plan.power:.2f} (wanted: {plan.wanted_power:.2f}), and one that misses a "
        f"target with a chance of at most {plan.alpha:.3f} (exact binomial)"
    )
