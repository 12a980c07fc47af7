// The page: images in, answers out.

import { make, showAnswer, showError, waiting } from "./card.js";
import { save, table } from "./csv.js";
import { ask, JobQueue, Refusal } from "./service.js";

const JOBS_AT_A_TIME = 3; // far below the places of the service's queue, which others share
const $ = (id) => document.getElementById(id);
const queue = new JobQueue(JOBS_AT_A_TIME);
let results = [];
let metadata = null;

const megabytes = (bytes) => `${(bytes / 1e6).toLocaleString("en", { maximumFractionDigits: 1 })} MB`;

function promptForKey(refused) {
  const dialog = $("key-dialog");
  if (refused) $("key-reason").textContent = "The service does not know this key. Try another.";
  $("key").value = "";
  dialog.showModal();
  return new Promise((resolve) => {
    $("key-form").addEventListener("submit", () => {
      resolve($("key").value.trim());
      $("key").value = "";
    }, { once: true });
  });
}
$("key-dialog").addEventListener("cancel", (event) => event.preventDefault());

async function describe() {
  metadata = await ask("metadata", {}, promptForKey);
  const { request_limits: limits, metrics_summary: metrics, data } = metadata;
  $("model").textContent = `${metadata.model_name}, version ${metadata.model_version}`;
  $("notice").textContent = metadata.notice ? `Model of ${metadata.notice}` : "";
  $("notice").hidden = !metadata.notice;
  $("accepted").textContent = `${limits.formats.join(", ")}; at most ${megabytes(limits.max_upload_bytes)} each`;
  $("files").accept = limits.formats.includes("DICOM") ? "image/jpeg,image/png,application/dicom,.dcm" : "image/jpeg,image/png";
  $("use").textContent = metadata.intended_use;
  $("limits").replaceChildren(...[...metadata.warnings, ...metadata.limits].map((text) => make("li", { textContent: text })));
  $("metrics").textContent = `On its own test images (${data.dataset}): accuracy ${metrics.test_accuracy.toFixed(2)}, `
    + `macro F1 ${metrics.macro_f1.toFixed(2)}. On images from elsewhere it may do worse.`;
}

function progress() {
  const done = results.filter((one) => one.answer || one.error).length;
  $("progress").textContent = done < results.length ? `${done} of ${results.length} read` : `${done} read`;
  $("answers").hidden = results.length === 0;
}

function add(files) {
  for (const file of files) {
    const result = { name: file.name || "pasted image", card: waiting(file.name || "pasted image") };
    results.push(result);
    $("cards").append(result.card);
    queue.add(() => predict(file, result));
  }
  progress();
}

async function predict(file, result) {
  if (!results.includes(result)) return;
  try {
    const body = new FormData();
    body.append("file", new Blob([await file.arrayBuffer()])); // without its name, which may be a patient's
    result.answer = await ask("predict?explain=true", { method: "POST", body }, promptForKey);
    showAnswer(result.card, result.name, result.answer);
  } catch (error) {
    if (!(error instanceof Refusal || error instanceof DOMException)) throw error;
    result.error = error instanceof Refusal ? error.message : "This file can't be read.";
    showError(result.card, result.name, result.error);
  } finally {
    progress();
  }
}

async function example(name) {
  const answer = await fetch(`page/examples/${name}`);
  add([new File([await answer.blob()], `example ${name}`)]);
}

$("choose").addEventListener("click", () => $("files").click());
$("files").addEventListener("change", () => { add($("files").files); $("files").value = ""; });
document.addEventListener("paste", (event) => add(event.clipboardData.files));
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    document.body.classList.toggle("over", kind === "dragover");
  });
}
document.addEventListener("drop", (event) => add(event.dataTransfer.files));
for (const button of document.querySelectorAll("[data-example]")) {
  button.addEventListener("click", () => example(button.dataset.example));
}
$("csv").addEventListener("click", () => {
  const classes = metadata?.classes ?? [...new Set(results.flatMap((one) => one.answer?.predictions.map((p) => p.label) ?? []))];
  save(table(results, classes), "chest-xray.csv");
});
$("clear").addEventListener("click", () => {
  queue.clear();
  results = [];
  $("cards").replaceChildren();
  progress();
  $("choose").focus();
});
try {
  await describe();
} catch (error) {
  $("model").textContent = error.message;
}
