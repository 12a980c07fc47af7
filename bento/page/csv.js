// Results as CSV (RFC 4180).

import { scoreOf } from "./verdict.js";

/** One cell: quoted where needed; a spreadsheet must not take a file's name for a formula. */
function cell(value) {
  let text = String(value ?? "");
  if (/^[=+\-@\t\r]/.test(text)) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** The table of results: objects with `name`, `verdict`, and `answer` or `error`. No label or flag where there is no answer. */
export function table(results, classes, flagLabels) {
  const rows = results.map(({ name, answer, error, verdict }) => {
    const flags = answer?.flags ?? [];
    const confidences = Object.fromEntries((answer?.predictions ?? []).map(({ label, confidence }) => [label, confidence]));
    const scores = Object.fromEntries(flags.map((flag) => [flag.label, scoreOf(flag)]));
    const flagged = flags.filter((flag) => verdict.stands && flag.flagged).map((flag) => flag.label);
    return [name, verdict.line, verdict.stands ? answer.predictions[0].label : "", ...classes.map((label) => confidences[label]),
      ...flagLabels.map((label) => scores[label]), flagged.join(" "), answer?.in_distribution,
      (answer?.input_warnings ?? []).map(({ kind }) => kind).join(" "), answer?.model_version, error];
  });
  const head = ["file", "verdict", "label", ...classes, ...flagLabels.map((label) => `score ${label}`), "flagged",
    "in_distribution", "input_warnings", "model_version", "error"];
  return [head, ...rows].map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}

/** Offer text as a download. */
export function save(text, name) {
  const url = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  const link = Object.assign(document.createElement("a"), { href: url, download: name });
  link.click();
  URL.revokeObjectURL(url);
}
