"use strict";
const form = document.getElementById("form");
const answer = document.getElementById("answer");
const go = document.getElementById("go");
const kind = document.body.dataset.kind;
const picture = document.getElementById("picture");
let chosen = null;

function say(sentence, bad = false) {
  const line = document.createElement("p");
  line.textContent = sentence;
  if (bad) line.className = "bad";
  answer.replaceChildren(line);
}

function table(prediction) {
  const whole = document.createElement("table");
  const caption = whole.createCaption();
  const sure = (100 * prediction.confidence).toFixed(1);
  caption.textContent = prediction.label === null
    ? `The model is not sure enough to say (${sure} %).` : `${prediction.label} (${sure} %)`;
  const shares = Object.entries(prediction.probabilities).sort((a, b) => b[1] - a[1]).slice(0, 10);
  for (const [name, share] of shares) {
    const row = whole.insertRow();
    const head = document.createElement("th");
    head.scope = "row";
    head.textContent = name;
    const meter = document.createElement("meter");
    meter.value = share;
    meter.setAttribute("aria-hidden", "true");
    row.append(head);
    row.insertCell().append(meter);
    const number = row.insertCell();
    number.className = "n";
    number.textContent = `${(100 * share).toFixed(1)} %`;
  }
  answer.replaceChildren(whole);
}

function choose(file) {
  if (!file) return;
  chosen = file;
  const shown = document.getElementById("shown");
  if (shown.src) URL.revokeObjectURL(shown.src);
  shown.src = URL.createObjectURL(file);
  shown.hidden = false;
  say(`${file.name || "A picture"} is chosen.`);
}

async function complaint(response) {
  const found = await response.json().catch(() => ({}));
  return found.error || "The server does not answer; try again later.";
}

async function classify() {
  const request = kind === "pictures"
    ? { headers: { "Content-Type": chosen.type || "application/octet-stream" }, body: chosen }
    : { headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ text: document.getElementById("text").value }) };
  const response = await fetch("/predict", { method: "POST", ...request });
  if (!response.ok) return say(await complaint(response), true);
  table((await response.json()).predictions[0]);
}

async function write() {
  const prompt = document.getElementById("prompt").value;
  const response = await fetch("/generate", {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ prompt }),
  });
  if (!response.ok) return say(await complaint(response), true);
  const line = document.createElement("p");
  answer.setAttribute("aria-busy", "true");  // read out when it is whole, not letter by letter
  answer.replaceChildren(line);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const piece of lines.map((one) => JSON.parse(one))) {
      if (piece.text) line.textContent += piece.text;
      if (piece.error) line.textContent += ` [${piece.error}]`;
    }
  }
  answer.setAttribute("aria-busy", "false");
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (go.getAttribute("aria-disabled") === "true") return;
  const field = form.querySelector("textarea");
  if (field && !field.value.trim()) { say("Write something first.", true); field.focus(); return; }
  if (picture && !chosen) { say("Choose a picture first.", true); picture.focus(); return; }
  go.setAttribute("aria-disabled", "true");
  say("Working …");
  try {
    await (kind === "language" ? write() : classify());
  } catch {
    say("The server cannot be reached.", true);
  }
  go.setAttribute("aria-disabled", "false");
});

if (picture) {
  const drop = document.getElementById("drop");
  picture.addEventListener("change", () => choose(picture.files[0]));
  for (const name of ["dragover", "dragleave", "drop"]) {
    drop.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", name === "dragover");
      if (name === "drop") choose(event.dataTransfer.files[0]);
    });
  }
}
