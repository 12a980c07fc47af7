// What an answer says of each class, in words and bars.

import { count, decimal, decimals, inWords, make } from "./dom.js";
import { scoreOf } from "./verdict.js";

/** The parts of a card that hold scores, thresholds and class probabilities; only for an answer that stands. */
export function scores(answer, metadata) {
  const points = Object.fromEntries((metadata?.operating_points ?? []).map((point) => [point.label, point]));
  const flags = [...answer.flags].sort((a, b) => b.flagged - a.flagged || scoreOf(b) - scoreOf(a));
  return [
    make("ul", { className: "scores" }, ...flags.map((flag) => item(flag, points[flag.label])),
      ...Object.entries(metadata?.no_threshold ?? {}).map(([label, reason]) => make("li", { className: "quiet",
        textContent: `${capital(label)}: no threshold, and so neither flagged nor cleared: ${reason}` }))),
    make("p", { className: "quiet", textContent: meaning(flags, points) }),
    probabilities(answer),
  ];
}

const capital = (label) => inWords(label).replace(/^./, (letter) => letter.toUpperCase());

function item(flag, point) {
  const [score, threshold] = decimals(scoreOf(flag), flag.threshold);
  const fill = make("div", { className: "fill" });
  const mark = make("div", { className: "mark" });
  fill.style.width = `${100 * scoreOf(flag)}%`;
  mark.style.left = `${100 * flag.threshold}%`;
  return make("li", { className: flag.flagged ? "on" : "" },
    make("div", { className: "name" }, make("span", { textContent: capital(flag.label) + against(point) }),
      make("span", { className: "number",
        textContent: `${score}, ${flag.flagged ? "flagged: at or above" : "not flagged: below"} ${threshold}` })),
    make("div", { className: "track" }, fill, mark),
    make("p", { className: "quiet", textContent: chosenOn(flag, point) }));
}

const against = (point) => (point?.reference ? ` against ${inWords(point.reference)}` : "");

/** How a threshold was chosen, and on how many validation images. */
export function chosenOn(flag, point) {
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
