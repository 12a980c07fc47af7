// What must be known of the model before its answers are read.

import { count, decimal, digits, inWords, make, percent } from "./dom.js";

const $ = (id) => document.getElementById(id);
const megabytes = (bytes) => `${(bytes / 1e6).toLocaleString("en", { maximumFractionDigits: 1 })} MB`;
const sum = (counts) => Object.values(counts ?? {}).reduce((total, value) => total + value, 0);

/** Write what `/metadata` says on the page. */
export function describeModel(metadata) {
  const { request_limits: limits, metrics_summary: metrics, data } = metadata;
  $("model").textContent = `${metadata.model_name}, version ${metadata.model_version}`;
  $("notice").textContent = metadata.notice ? `Model of ${metadata.notice}` : "";
  $("notice").hidden = !metadata.notice;
  $("examples").hidden = !data.synthetic;
  $("accepted").textContent = `${limits.formats.join(", ")}; at most ${megabytes(limits.max_upload_bytes)} each`;
  $("files").accept = limits.formats.includes("DICOM") ? "image/jpeg,image/png,application/dicom,.dcm" : "image/jpeg,image/png";
  $("use").textContent = metadata.intended_use;
  $("limits").replaceChildren(...[...metadata.warnings, ...metadata.limits].map((text) => make("li", { textContent: text })));
  $("metrics").textContent = `On its own test images (${data.dataset}, n = ${sum(data.counts.test)}): accuracy `
    + `${decimal(metrics.test_accuracy)}, macro F1 ${decimal(metrics.macro_f1)}. On images from elsewhere it may do worse.`;
  describeSite(metadata.site);
  $("thresholds").hidden = !metadata.operating_points.length;
  $("thresholds").tBodies[0].replaceChildren(...metadata.operating_points.map((point) => thresholdRow(point, data.counts.test ?? {})));
}

/** The hospital that the model is calibrated for, and what its thresholds promise. */
function describeSite(site) {
  $("site").hidden = $("site-thresholds").hidden = !site;
  if (!site) return;
  $("site").textContent = `Calibrated for ${site.name} on ${count(site.images, "image")} (${count(site.patients, "patient")})${site.strata ? ", drawn by score and weighed back" : ""}, ${site.created.slice(0, 10)}. `
    + `Its thresholds are for ${site.name}; they may be reused by: ${site.reusable_by}.`;
  $("site-thresholds").tBodies[0].replaceChildren(...site.thresholds.map((point) => make("tr", {},
    make("th", { scope: "row", textContent: inWords(point.label) + (point.reference ? ` against ${inWords(point.reference)}` : "") }),
    ...[digits(point.threshold), promise(point), interval(point.specificity, point.negative_images)]
      .map((textContent) => make("td", { textContent })))));
}

/** "at least 90 % of the patients, with confidence 0.88 (20 patients)". */
const promise = (point) => `at least ${percent(point.target_sensitivity)} of the patients, with confidence `
  + `${decimal(point.reached_confidence)} (${count(point.positive_patients, "patient")}${worth(point)})`;

/** What patients are worth who were drawn by score. */
const worth = ({ independent_patients: patients }) => (patients == null ? "" : `, worth ${patients.toFixed(1)} drawn as they come`);

function thresholdRow(point, tested) {
  const { label, reference } = point;
  const others = sum(tested) - (tested[label] ?? 0);
  const chosen = point.validation_positives == null
    ? "number not recorded"
    : count(point.validation_positives + point.validation_negatives, "image");
  return make("tr", {}, make("th", { scope: "row", textContent: inWords(label) + (reference ? ` against ${inWords(reference)}` : "") }),
    ...[decimal(point.threshold), chosen, interval(point.test_sensitivity, tested[label] ?? 0), interval(point.test_specificity, others)]
      .map((textContent) => make("td", { textContent })));
}

const interval = (metric, n) => (metric
  ? `${decimal(metric.value)} (${decimal(metric.low)} to ${decimal(metric.high)}), n = ${n}`
  : `– (n = ${n})`);
