// The page: images in, answers out.

import { save, table } from "./csv.js";
import { button } from "./dom.js";
import { describeModel } from "./model.js";
import { thresholdsInUse } from "./scores.js";
import { ask } from "./service.js";
import { Session } from "./session.js";
import { summarise } from "./verdict.js";
import { Worklist } from "./worklist.js";

const flaggedLabels = (metadata) => Object.keys(thresholdsInUse(metadata));
const $ = (id) => document.getElementById(id);
const worklist = new Worklist($("table"), (result) => session.select(result));
const ready = new Promise((resolve) => { queueMicrotask(() => resolve(describe())); });
const session = new Session({ detail: $("detail"), ready, promptForKey, worklist, changed });
let planned = false;

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

async function describe() {
  try {
    const metadata = await ask("metadata", {}, promptForKey);
    session.metadata = metadata;
    describeModel(metadata);
    worklist.setLabels(flaggedLabels(metadata));
  } catch (error) {
    $("model").textContent = error.message;
  }
}

/** Write the summary and the order of the table once for all changes of a frame. */
function changed() {
  if (planned) return;
  planned = true;
  requestAnimationFrame(() => {
    planned = false;
    const { results } = session;
    $("summary").textContent = summarise(results);
    $("answers").hidden = results.length === 0;
    $("answers").classList.toggle("many", results.length > 1);
    document.body.classList.toggle("busy", results.some(({ verdict }) => verdict.state === "waiting"));
    worklist.arrange();
    tellPosition();
  });
}

function tellPosition() {
  const [at, total] = worklist.position;
  $("position").textContent = at ? `${at} of ${total}` : `not among the ${total} shown`;
  $("previous").disabled = at <= 1;
  $("next").disabled = !at || at >= total;
}

async function example(name) {
  const file = await fetch(`page/examples/${name}`);
  session.add([new File([await file.blob()], `example ${name}`)]);
}

$("key-dialog").addEventListener("cancel", (event) => event.preventDefault());
$("choose").addEventListener("click", () => $("files").click());
$("files").addEventListener("change", () => { session.add($("files").files); $("files").value = ""; });
document.addEventListener("paste", (event) => session.add(event.clipboardData.files));
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    document.body.classList.toggle("over", kind === "dragover");
  });
}
document.addEventListener("drop", (event) => session.add(event.dataTransfer.files));
for (const one of document.querySelectorAll("[data-example]")) {
  one.addEventListener("click", () => example(one.dataset.example));
}
$("csv").addEventListener("click", () => {
  const { metadata, results } = session;
  const classes = metadata?.classes ?? [...new Set(results.flatMap((one) => one.answer?.predictions.map((p) => p.label) ?? []))];
  save(table(results, classes, flaggedLabels(metadata)), "chest-xray.csv");
});
$("flagged-only").addEventListener("change", () => { worklist.filter($("flagged-only").checked); changed(); });
$("clear").addEventListener("click", () => {
  session.clear();
  $("choose").focus();
});
for (const [id, text, step] of [["previous", "Previous image", -1], ["next", "Next image", 1]]) {
  const move = () => {
    const result = worklist.neighbour(step);
    session.select(result);
    worklist.reveal(result);
  };
  const made = button(step < 0 ? "‹" : "›", move, { id, title: text });
  made.setAttribute("aria-label", text);
  $("browse").append(made);
}
$("previous").after($("position"));
