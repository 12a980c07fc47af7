// What an answer says of each class, in words and bars.

import { count, decimal, decimals, inWords, make, percent } from "./dom.js";
import { scoreOf } from "./verdict.js";

/** The parts of a card that hold scores, thresholds and class probabilities; only for an answer that stands. */
export function scores(answer, metadata) {
  const points = thresholdsInUse(metadata);
  const flags = [...answer.flags].sort((a, b) => b.flagged - a.flagged || scoreOf(b) - scoreOf(a));
  return [
    make("ul", { className: "scores" }, ...flags.map((flag) => item(flag, points[flag.label], metadata)),
      ...Object.entries(metadata?.no_threshold ?? {}).map(([label, reason]) => make("li", { className: "quiet",
        textContent: `${capital(label)}: no threshold, and so neither flagged nor cleared: ${reason}` }))),
    make("p", { className: "quiet", textContent: meaning(flags, points) }),
    probabilities(answer),
  ];
}

/** By class, what the service flags by: the site's threshold where the model is calibrated for one, else the model's own. */
export function thresholdsInUse(metadata) {
  const site = metadata?.site;
  const atSite = (site?.thresholds ?? []).map((point) => ({ ...point, site: site.name }));
  return Object.fromEntries([...(metadata?.operating_points ?? []), ...atSite].map((point) => [point.label, point]));
}

const capital = (label) => inWords(label).replace(/^./, (letter) => letter.toUpperCase());

function item(flag, point, metadata) {
  const [score, threshold] = decimals(scoreOf(flag), flag.threshold);
  const fill = make("div", { className: "fill" });
  const mark = make("div", { className: "mark" });
  const at = place(metadata?.site, flag.label);
  fill.style.width = `${100 * at(scoreOf(flag))}%`;
  mark.style.left = `${100 * at(flag.threshold)}%`;
  return make("li", { className: flag.flagged ? "on" : "" },
    make("div", { className: "name" }, make("span", { textContent: capital(flag.label) + against(point) }),
      make("span", { className: "number",
        textContent: `${score}, ${flag.flagged ? "flagged: at or above" : "not flagged: below"} ${threshold}` })),
    make("div", { className: "track" }, fill, mark),
    ...atSite(flag, metadata?.site),
    make("p", { className: "quiet", textContent: notCalibrated(point, metadata?.site) + chosenOn(flag, point) }));
}

const against = (point) => (point?.reference ? ` against ${inWords(point.reference)}` : "");

/** Where a score lies on its bar: of a site, whose scores can all be near 0, as its recalibration spreads them, in the same order. */
function place(site, label) {
  const fit = site?.recalibration.find((one) => one.label === label);
  if (!fit) return (score) => score;
  return (score) => {
    const known = Math.min(Math.max(score, 1e-6), 1 - 1e-6);
    return 1 / (1 + Math.exp(-fit.slope * Math.log(known / (1 - known)) - fit.offset));
  };
}

/** The probability at the site, where the answer has one. */
function atSite(flag, site) {
  const fit = site?.recalibration.find(({ label }) => label === flag.label);
  if (flag.probability == null || !fit) return [];
  return [make("p", { textContent: `Where ${percent(fit.prevalence)} of the images are of ${inWords(flag.label)}, as stated for ${site.name}: `
    + `${percent(Number(flag.probability.toPrecision(2)))} of the images with this score are.` })];
}

const notCalibrated = (point, site) => (site && !point?.site ? `The model's own threshold, not one of ${site.name}. ` : "");

/** How a threshold was chosen, and on how many images. */
export function chosenOn(flag, point) {
  if (point?.site) {
    return `Threshold of ${point.site}, chosen on ${count(point.positive_images + point.negative_images, "image")} there `
      + `(${point.positive_images} with it, ${point.negative_images} without) to find at least ${percent(flag.target_sensitivity)} `
      + `of the patients with ${inWords(flag.label)}, which it does with confidence ${decimal(point.reached_confidence)}.`;
  }
  const wanted = `to find ${Math.round(100 * flag.target_sensitivity)} % of the images with ${inWords(flag.label)}`;
  if (point?.validation_positives == null) return `Threshold chosen on validation images (their number was not recorded) ${wanted}.`;
  const other = point.reference ? `of ${inWords(point.reference)}` : "of other classes";
  return `Threshold chosen on ${count(point.validation_positives + point.validation_negatives, "validation image")} `
    + `(${point.validation_positives} with it, ${point.validation_negatives} ${other}) ${wanted}.`;
}

function meaning(flags, points) {
  if (!flags.length) return "";
  const odds = flags.some(({ label }) => points[label]?.reference);
  return odds
    ? "A score runs from 0 to 1: the class's probability divided by the sum of its own and the other class's. It ranks images; it is not a patient's risk."
    : "A score is the model's probability of the class, from 0 to 1. It ranks images; it is not a patient's risk.";
}

function probabilities(answer) {
  return make("details", {}, make("summary", { textContent: "Probabilities of the classes" }),
    make("p", { className: "quiet", textContent: "All classes of the model together make 1. They depend on how frequent each class was in the training images: a flag is decided by the score above, not by which class is the most probable." }),
    make("ul", { className: "plain" }, ...answer.predictions.map(({ label, confidence }) =>
      make("li", {}, make("span", { textContent: capital(label) }), make("span", { className: "number", textContent: decimal(confidence) })))));
}
