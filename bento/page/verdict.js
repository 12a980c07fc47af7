// What an answer comes to: one line for each image.

import { count, inWords } from "./dom.js";

/** Why there is no answer, by kind of input warning, the gravest first; other kinds leave the answer standing. */
const NO_ANSWER = {
  "not-like-training": "not a frontal chest radiograph of the kind that the model knows",
  blank: "the image is blank",
  colour: "a picture in colour, not a radiograph",
  inverted: "the image seems to be inverted",
  rotated: "the image seems to lie on its side",
  "upside-down": "the image seems to be upside down",
};

/** States of a result in the order that a reader wants them: what needs eyes first. */
export const ORDER = ["flagged", "unanswered", "refused", "failed", "clear", "waiting"];

/** The score of a flag, from 0 to 1: the odds against another class or, of older services, the probability. */
export const scoreOf = (flag) => flag.score ?? flag.confidence;

/** Whether the image has the input warning `inverted`, in its answer or in what the service said when it refused. */
export function isInverted({ answer, error }) {
  return Boolean(answer?.input_warnings?.some(({ kind }) => kind === "inverted") || /seems to be inverted/.test(error ?? ""));
}

/**
 * The state of a result and its one line.
 * @returns {{state: string, line: string, stands: boolean}} `state` is one of ORDER; `stands`: scores and heat maps mean something.
 */
export function judge({ answer, error, failed }, metadata) {
  if (error) return failed ? { state: "failed", line: "failed", stands: false } : { state: "refused", line: "refused", stands: false };
  if (!answer) return { state: "waiting", line: "waiting …", stands: false };
  const reason = reasonForNone(answer);
  if (reason) return { state: "unanswered", line: `no answer: ${reason}`, stands: false };
  if (!answer.flags.length) return { state: "unanswered", line: "no answer: the model has no thresholds", stands: true };
  const flagged = answer.flags.filter((flag) => flag.flagged).sort((a, b) => scoreOf(b) - scoreOf(a));
  if (flagged.length) return { state: "flagged", line: `flagged for review: ${list(flagged.map(({ label }) => label))}`, stands: true };
  const unseen = Object.keys(metadata?.no_threshold ?? {});
  return { state: "clear", line: `nothing flagged${unseen.length ? ` (no threshold for ${list(unseen)})` : ""}`, stands: true };
}

const list = (labels) => labels.map(inWords).join(", ");

function reasonForNone(answer) {
  const kinds = new Set((answer.input_warnings ?? []).map(({ kind }) => kind));
  // An inverted image is unlike the others because it is inverted: say what can be mended.
  for (const kind of ["inverted", "rotated", "upside-down"]) if (kinds.has(kind) && !kinds.has("blank")) return NO_ANSWER[kind];
  if (answer.in_distribution === false) kinds.add("not-like-training");
  const kind = Object.keys(NO_ANSWER).find((known) => kinds.has(known));
  return kind && NO_ANSWER[kind];
}

/** "30 images: 4 flagged, 24 nothing flagged, 1 no answer, 1 refused". */
export function summarise(results) {
  const words = { flagged: "flagged", clear: "nothing flagged", unanswered: "no answer", refused: "refused", failed: "failed", waiting: "waiting" };
  const counts = Object.fromEntries(Object.keys(words).map((state) => [state, 0]));
  for (const result of results) counts[result.verdict.state] += 1;
  const parts = Object.entries(words).filter(([state]) => counts[state]).map(([state, text]) => `${counts[state]} ${text}`);
  return `${count(results.length, "image")}: ${parts.join(", ")}`;
}
