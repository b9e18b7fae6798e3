
"use strict";

// Texts are set as text, never as markup: what people and models write is data.
const $ = (selector, root = document) => root.querySelector(selector);
const data = JSON.parse($("#data").textContent);
const key = `${data.format}:${data.review}`;
const touch = matchMedia("(pointer: coarse)").matches;
const sound = $("#sound");

// What is kept. answers: by id, {verdict, text}; a text without a verdict is a draft.
let state = { reviewer: "", answers: {} };
let storageWorks = true;
const rows = data.rows.map((row, index) => ({ ...row, index }));
const undoable = [];
let current = null;
let playing = null;

function load() {
  try {
    const kept = JSON.parse(localStorage.getItem(key) || "null");
    if (kept && typeof kept.answers === "object" && kept.answers) state = kept;
    state.reviewer = String(state.reviewer || localStorage.getItem("ilt.review/reviewer") || "");
  } catch {
    storageWorks = false;
  }
}

function save() {
  try {
    localStorage.setItem(key, JSON.stringify(state));
    localStorage.setItem("ilt.review/reviewer", state.reviewer);
    storageWorks = true;
  } catch {
    storageWorks = false;
  }
  const trouble = $("#trouble");
  trouble.hidden = storageWorks;
  trouble.textContent = "This browser does not keep your work: download the answers before you close the page.";
}

// As `visible` of ilt.escapes, for names. A transcript stands in a field of its own, as it is, and is answered as it is.
const named = (text) => text.replace(
  /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]/gu,
  (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`,
);

const tidy = (text) => text.normalize("NFC").replace(/\s+/g, " ").trim();
const answer = (row) => state.answers[row.id] || { verdict: "", text: row.text };
const isDone = (row) => answer(row).verdict !== "";
const isEdited = (row) => tidy(answer(row).text) !== tidy(row.text);
const shown = () => rows.filter((row) => !row.card.hidden);

function languageName(code) {
  try {
    return new Intl.DisplayNames(["en"], { type: "language" }).of(code) || named(code);
  } catch {
    return named(code);
  }
}

const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

// Sound: one element for all rows, since browsers let one that has played once play again by itself.

function setPosition(row, share) {
  $(".wave", row.card).style.setProperty("--at", `${100 * share}%`);
  $(".wave input", row.card).value = Math.round(1000 * share);
  $(".wave input", row.card).setAttribute("aria-valuetext", `${(share * row.seconds).toFixed(1)} seconds`);
}

function choose(row) {
  if (playing === row) return;
  if (playing) {
    sound.pause();
    playing.card.classList.remove("playing");
    setPosition(playing, 0);
  }
  playing = row;
  sound.src = row.audio;
}

function setRate() {
  sound.defaultPlaybackRate = sound.playbackRate = $("#slow").checked ? 0.75 : 1;
}

function play(row) {
  choose(row);
  setRate();
  if (sound.ended) sound.currentTime = 0;
  sound.play().catch((error) => {
    if (error.name === "NotSupportedError") toast(`Row ${row.index + 1}: this browser cannot play the sound`);
  });
}

function toggle(row) {
  if (playing === row && !sound.paused) sound.pause();
  else play(row);
}

function seek(row, share) {
  choose(row);
  const go = () => { sound.currentTime = share * (sound.duration || row.seconds); };
  if (sound.readyState) go();
  else sound.addEventListener("loadedmetadata", go, { once: true });
  setPosition(row, share);
}

function follow() {
  if (!playing) return;
  if (sound.duration) setPosition(playing, Math.min(1, sound.currentTime / sound.duration));
  if (!sound.paused) requestAnimationFrame(follow);
}

function showPlaying() {
  if (!playing) return;
  const on = !sound.paused && !sound.ended;
  playing.card.classList.toggle("playing", on);
  $(".play", playing.card).setAttribute("aria-label", on ? "Pause" : "Play");
  requestAnimationFrame(follow);
}

// Rows.

function build(row) {
  const card = $("#card").content.firstElementChild.cloneNode(true);
  row.card = card;
  row.field = $("textarea", card);
  row.searchable = tidy(`${row.id} ${row.text} ${row.previous}`).toLowerCase();
  card.setAttribute("aria-label", `Row ${row.index + 1}, ${languageName(row.language)}`);
  $(".number", card).textContent = row.index + 1;
  $(".language", card).textContent = languageName(row.language);
  $(".id", card).textContent = $(".id", card).title = named(row.id);
  $(".time", card).textContent = row.seconds < 10 ? `${row.seconds.toFixed(1)} s` : clock(row.seconds);
  const bars = row.peaks.map((peak, at) => `M${at + 0.5} ${50 - Math.max(peak, 3) * 0.46}V${50 + Math.max(peak, 3) * 0.46}`);
  for (const path of card.querySelectorAll(".wave path")) path.setAttribute("d", bars.join(""));
  const change = $(".change", card);
  change.dir = row.direction;
  change.hidden = !row.spans.length;
  $(".spans", card).lang = row.language;
  for (const [kind, text] of row.spans) {
    const [, before, middle, after] = /^(\s*)(.*?)(\s*)$/su.exec(text);  // spaces at the edges are not marked
    const part = document.createElement({ insert: "ins", delete: "del" }[kind] || "span");
    part.textContent = middle || text;
    $(".spans", card).append(...(middle ? [before, part, after] : [part]));
  }
  row.field.dir = row.direction;
  row.field.lang = row.language;
  row.field.value = answer(row).text;
  row.field.setAttribute("aria-label", `What is said in row ${row.index + 1}`);

  card.addEventListener("focusin", () => select(row));
  card.addEventListener("pointerdown", () => select(row));
  $(".play", card).addEventListener("click", () => toggle(row));
  $(".wave input", card).addEventListener("input", (event) => seek(row, event.target.value / 1000));
  row.field.addEventListener("input", () => edit(row));
  $(".accept", card).addEventListener("click", () => accept(row));
  $(".bad", card).addEventListener("click", () => decide(row, "unusable"));
  $(".undo", card).addEventListener("click", () => undo(row));
  $(".reset", card).addEventListener("click", () => { row.field.value = row.text; edit(row); row.field.focus(); });
  return card;
}

function show(row) {
  const { verdict } = answer(row);
  const names = { accepted: "Accepted", corrected: "Corrected", unusable: "Unusable" };
  row.card.classList.remove(...Object.keys(names));
  if (verdict) row.card.classList.add(verdict);
  row.card.classList.toggle("done", verdict !== "");
  row.card.classList.toggle("edited", isEdited(row));
  $(".state", row.card).textContent = names[verdict] || "";
  $(".undo", row.card).hidden = !verdict;
  $(".reset", row.card).hidden = !isEdited(row) || verdict === "unusable";
  $(".accept", row.card).textContent = isEdited(row) ? "Save correction" : "Accept";
  grow(row.field);
}

// Browsers without field-sizing need help to make a field as high as its text.
function grow(field) {
  if (CSS.supports("field-sizing", "content")) return;
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight + 2}px`;
}

function edit(row) {
  if (/[\r\n\t]/.test(row.field.value)) row.field.value = row.field.value.replace(/\s+/g, " ");
  $(".error", row.card).hidden = true;
  state.answers[row.id] = { verdict: "", text: row.field.value };
  if (row.field.value === row.text) delete state.answers[row.id];
  changed(row);
}

function changed(row) {
  save();
  show(row);
  count();
}

function accept(row) {
  const text = tidy(row.field.value);
  if (!text) {
    $(".error", row.card).hidden = false;
    row.field.focus();
    return;
  }
  const same = text === tidy(row.text);
  row.field.value = same ? row.text : text;
  decide(row, same ? "accepted" : "corrected");
}

function decide(row, verdict) {
  undoable.push({ row, before: state.answers[row.id] });
  state.answers[row.id] = { verdict, text: verdict === "unusable" ? row.text : row.field.value };
  row.field.value = state.answers[row.id].text;
  $(".error", row.card).hidden = true;
  changed(row);
  const names = { accepted: "accepted", corrected: "corrected", unusable: "marked unusable" };
  toast(`Row ${row.index + 1} ${names[verdict]}`, () => undo());
  const visible = shown();
  const rest = [...visible.slice(visible.indexOf(row) + 1), ...visible].filter((other) => !isDone(other));
  filter();
  if (rest.length) go(rest[0]);
  else if (!rows.some((other) => !isDone(other))) {
    sound.pause();
    $("#end").scrollIntoView({ block: "center" });
    $("#end button").focus({ preventScroll: true });
  }
}

// Take back the verdict of a row, or of the last one; what was typed stays.
function undo(row) {
  const last = undoable.findLastIndex((step) => !row || step.row === row);
  if (last < 0 && !row) return;
  const [step] = last < 0 ? [{ row, before: { verdict: "", text: row.field.value } }] : undoable.splice(last, 1);
  const back = step.before ? { ...step.before } : { verdict: "", text: state.answers[step.row.id]?.text ?? step.row.text };
  state.answers[step.row.id] = back;
  if (!back.verdict && back.text === step.row.text) delete state.answers[step.row.id];
  step.row.field.value = answer(step.row).text;
  changed(step.row);
  toast("");
  filter();
  go(step.row, false);
}

function select(row) {
  if (current === row) return;
  if (current) current.card.classList.remove("current");
  current = row;
  row.card.classList.add("current");
  row.card.setAttribute("aria-current", "true");
  for (const other of rows) if (other !== row) other.card.removeAttribute("aria-current");
}

// Go to a row: bring it into view, put the cursor into its text (not on phones, where a keyboard would pop up).
function go(row, autoplay = $("#autoplay").checked) {
  row.card.hidden = false;
  select(row);
  if (touch) row.card.focus({ preventScroll: true });
  else {
    row.field.focus({ preventScroll: true });
    row.field.setSelectionRange(row.field.value.length, row.field.value.length);
  }
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  row.card.scrollIntoView({ block: touch ? "start" : "center", behavior: calm ? "auto" : "smooth" });
  if (autoplay) {
    if (playing === row) sound.currentTime = 0;
    play(row);
  }
}

function step(by) {
  const visible = shown();
  const at = visible.indexOf(current);
  const next = visible[at < 0 ? 0 : at + by];
  if (next) go(next);
}

// Progress, filter, messages.

function count() {
  const tally = { accepted: 0, corrected: 0, unusable: 0 };
  for (const row of rows) if (isDone(row)) tally[answer(row).verdict] += 1;
  const done = tally.accepted + tally.corrected + tally.unusable;
  const counts = $("#counts");
  const total = document.createElement("b");
  total.textContent = `${done} of ${rows.length}`;
  counts.replaceChildren(total);
  for (const [verdict, number] of Object.entries(tally)) {
    if (!number) continue;
    const dot = document.createElement("i");
    const word = document.createElement("span");
    dot.className = verdict;
    word.className = "word";
    word.textContent = ` ${verdict}`;
    counts.append(dot, String(number), word);
  }
  for (const verdict of Object.keys(tally)) {
    $(`#progress .${verdict}`).style.width = `${(100 * tally[verdict]) / rows.length}%`;
  }
  $("#progress").setAttribute("aria-valuemax", rows.length);
  $("#progress").setAttribute("aria-valuenow", done);
  $("#progress").setAttribute("aria-valuetext", `${done} of ${rows.length} rows reviewed`);
  $("#end").hidden = done < rows.length;
  document.title = `${done}/${rows.length} Review ${data.review}`;
}

function filter() {
  const which = $("#show input:checked").value;
  const language = $("#language").value;
  const sought = tidy($("#search").value).toLowerCase();
  let visible = 0;
  for (const row of rows) {
    const fits = (which === "all" || (which === "done") === isDone(row))
      && (!language || row.language === language)
      && (!sought || row.searchable.includes(sought) || tidy(answer(row).text).toLowerCase().includes(sought));
    row.card.hidden = !fits;
    visible += fits;
    if (fits) grow(row.field);
  }
  $("#none").hidden = visible > 0 || !$("#end").hidden;
}

let toastTimer = 0;
function toast(text, onUndo) {
  const box = $("#toast");
  clearTimeout(toastTimer);
  box.classList.toggle("on", text !== "");
  if (!text) return;
  $("span", box).textContent = text;
  $("button", box).hidden = !onUndo;
  $("button", box).onclick = onUndo || null;
  toastTimer = setTimeout(() => box.classList.remove("on"), 5000);
}

function download() {
  const reviewer = $("#reviewer").value.trim();
  $(".who").classList.toggle("missing", !reviewer);
  if (!reviewer) {
    toast("Your name first: it stands beside your answers");
    $("#reviewer").focus();
    return;
  }
  const answers = rows.map((row) => ({
    id: row.id, language: row.language, verdict: answer(row).verdict, text: answer(row).text, text_before: row.text,
  }));
  const content = { format: data.format, review: data.review, reviewer, answers };
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([`${JSON.stringify(content, null, 1)}\n`], { type: "application/json" }));
  link.download = `${data.review}-${reviewer.normalize("NFC").replace(/[^\p{L}\p{M}\p{N}]+/gu, "_")}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  toast(`Saved ${link.download}`);
}

// Keys.

const oneLine = (field) => field.clientHeight < 2.6 * parseFloat(getComputedStyle(field).lineHeight);

function onKey(event) {
  if (event.isComposing || event.keyCode === 229 || $("#keys").open) return;  // 229: an input method is at work
  const { code, shiftKey } = event;
  const field = event.target.closest("textarea");
  const control = event.target.closest("input, select");
  const button = event.target.closest("button");
  const alt = event.altKey && !event.ctrlKey && !event.metaKey;
  const ctrl = event.ctrlKey && !event.altKey && !event.metaKey;
  const bare = !event.altKey && !event.ctrlKey && !event.metaKey;
  const typed = bare && !field && !control;
  const arrows = { ArrowDown: 1, ArrowUp: -1 }[code] || 0;
  let act = null;
  if ((ctrl && code === "Space") || (alt && code === "KeyP") || (typed && !button && code === "Space")) act = () => toggle(current);
  else if (((alt || ctrl) && code === "KeyU") || (typed && event.key === "u")) act = () => decide(current, "unusable");
  else if ((alt && code === "KeyZ") || (typed && event.key === "z")) act = () => undo();
  else if (arrows && (alt || typed || (field && bare && !shiftKey && oneLine(field)))) act = () => step(arrows);
  else if (typed && (event.key === "j" || event.key === "k")) act = () => step(event.key === "j" ? 1 : -1);
  else if (event.key === "Enter" && bare && !shiftKey && (field || (typed && !button))) act = () => accept(current);
  else if (event.key === "Escape" && field) act = () => current.card.focus();
  else if (typed && event.key === "e") act = () => current.field.focus();
  else if (typed && event.key === "?") act = () => $("#keys").showModal();
  else if (event.key === "Enter" && event.target.id === "reviewer") act = () => go(current);
  if (!act || (!current && event.key !== "?")) return;
  event.preventDefault();
  act();
}

function start() {
  load();
  $("#review").textContent = data.review;
  $("#purpose").textContent = {
    audit: "A random sample of the labels: please take the rows as they come.",
    improve: "The labels whose correction should help most, best first.",
  }[data.strategy] || "";
  $("#reviewer").value = state.reviewer;
  $("#language").append(new Option("All languages", ""));
  const codes = [...new Set(rows.map((row) => row.language))].sort();
  for (const code of codes) $("#language").append(new Option(languageName(code), code));
  $("#language").hidden = codes.length < 2;
  $("#list").append(...rows.map(build));
  rows.forEach(show);
  count();
  filter();

  for (const name of ["play", "pause", "ended"]) sound.addEventListener(name, showPlaying);
  $("#slow").addEventListener("change", setRate);
  $("#show").addEventListener("change", filter);
  $("#language").addEventListener("change", filter);
  $("#search").addEventListener("input", filter);
  $("#download").addEventListener("click", download);
  $("#end button").addEventListener("click", download);
  $("#help").addEventListener("click", () => $("#keys").showModal());
  $("#reviewer").addEventListener("input", (event) => {
    state.reviewer = event.target.value.trim();
    $(".who").classList.remove("missing");
    save();
  });
  addEventListener("keydown", onKey);
  addEventListener("resize", () => shown().forEach((row) => grow(row.field)));
  addEventListener("storage", (event) => {  // the same review in another tab
    if (event.key !== key) return;
    load();
    for (const row of rows) {
      if (document.activeElement !== row.field) row.field.value = answer(row).text;
      show(row);
    }
    count();
  });
  addEventListener("beforeunload", (event) => {
    if (!storageWorks && Object.keys(state.answers).length) event.preventDefault();
  });

  let seen = null;
  try { seen = localStorage.getItem("ilt.review/hint"); } catch { storageWorks = false; }
  $("#hint").hidden = seen !== null;
  $("#hint button").addEventListener("click", () => {
    $("#hint").hidden = true;
    try { localStorage.setItem("ilt.review/hint", "seen"); } catch { /* it comes again next time */ }
  });
  const first = rows.find((row) => !isDone(row)) || rows[0];
  if (!first) return;
  select(first);
  if (first.index) first.card.scrollIntoView({ block: "center" });
  if (!touch && state.reviewer) first.field.focus({ preventScroll: true });
  else if (!touch) $("#reviewer").focus({ preventScroll: true });
  save();
}

start();
