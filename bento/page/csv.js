// Results as CSV (RFC 4180).

/** One cell: quoted where needed; a spreadsheet must not take a file's name for a formula. */
function cell(value) {
  let text = String(value ?? "");
  if (/^[=+\-@\t\r]/.test(text)) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** The table of results: objects with `name`, and `answer` or `error`. */
export function table(results, classes) {
  const rows = results.map(({ name, answer, error }) => {
    const confidences = Object.fromEntries((answer?.predictions ?? []).map(({ label, confidence }) => [label, confidence]));
    const flagged = (answer?.flags ?? []).filter((flag) => flag.flagged).map((flag) => flag.label);
    return [name, answer?.predictions[0].label, ...classes.map((label) => confidences[label]), flagged.join(" "),
      answer?.in_distribution, (answer?.input_warnings ?? []).map(({ kind }) => kind).join(" "), answer?.model_version, error];
  });
  const head = ["file", "label", ...classes, "flagged", "in_distribution", "input_warnings", "model_version", "error"];
  return [head, ...rows].map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}

/** Offer text as a download. */
export function save(text, name) {
  const url = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  const link = Object.assign(document.createElement("a"), { href: url, download: name });
  link.click();
  URL.revokeObjectURL(url);
}
