// The console works without this; with it some of it moves.
"use strict";

// Writing: saves by itself, shows what it will look like, says who else is at it. Without it the buttons do the same.
(() => {
  const form = document.getElementById("editor");
  const body = document.getElementById("body");
  if (!body) return;
  const format = document.getElementById("format");

  function insert(text) {
    body.focus();
    body.setRangeText(text, body.selectionStart, body.selectionEnd, "end");
    body.dispatchEvent(new Event("input", { bubbles: true }));
  }
  for (const code of document.querySelectorAll("code[data-insert]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "plain pick";
    button.title = "Insert where you write";
    code.replaceWith(button);
    button.append(code);
    button.addEventListener("click", () => insert(code.dataset.insert));
  }
  for (const button of document.querySelectorAll(".thumb[data-markdown]")) {
    button.addEventListener("click", (event) => {
      event.preventDefault();
      insert(format.value === "html" ? button.dataset.html : button.dataset.markdown);
    });
  }
  if (!form || form.dataset.hold) return;

  const base = form.dataset.campaign;
  const saving = document.getElementById("saving");
  const preview = document.getElementById("preview");
  const AFTER = 2000, ALIVE = 45000;
  let written = typed(), timer = 0, running = null, ended = false;

  function typed() {
    const fields = new FormData(form);
    return ["subject", "preheader", "format", "body"].map((name) => fields.get(name)).join("\0");
  }
  const isDirty = () => typed() !== written;
  const say = (words) => { saving.textContent = words; };

  function post(path, fields) {
    const headers = { Accept: "application/json" };
    return fetch(base + path, { method: "POST", headers, body: new URLSearchParams(fields), credentials: "same-origin" });
  }
  // Whoever signed in again elsewhere has a new session, of which this page's forms know nothing yet.
  async function freshSeal() {
    const answer = await fetch(location.pathname + location.search, { credentials: "same-origin" });
    if (!answer.ok || answer.redirected) return false;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.querySelector("#editor");
    if (!fresh) return false;
    for (const name of ["seal", "writer"]) {
      for (const field of document.querySelectorAll(`input[name=${name}]`)) field.value = fresh.elements[name].value;
    }
    return true;
  }
  function showOthers(others) {
    document.getElementById("others").hidden = !others.length;
    document.getElementById("other-names").textContent = others.join(", ");
  }
  function showFault(fault) {
    document.getElementById("fault").hidden = !fault;
    document.getElementById("fault-said").textContent = fault ? fault.said : "";
    const badge = form.querySelector(".tabs [aria-current] .badge");
    if (badge) {
      badge.className = `badge ${fault ? "warn" : "good"}`;
      badge.textContent = fault ? "not ready" : "ready";
    }
  }
  function showPreview() {
    const fields = new FormData(form);
    const asked = new URLSearchParams({ language: fields.get("language"), view: fields.get("view"), reader: fields.get("reader") });
    preview.contentWindow.location.replace(`${base}/preview?${asked}`);
  }

  async function save(again = true) {
    const now = typed();
    say("Saving …");
    let answer;
    try {
      answer = await post("/autosave", new FormData(form));
    } catch {
      say("Not saved: the server cannot be reached. Your text stays here, and is saved when it can be.");
      later();
      return;
    }
    const told = await answer.json().catch(() => ({}));
    if (answer.ok) {
      written = now;
      form.elements.version.value = told.version;
      say(`Saved ${new Date().toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" })}.`);
      showFault(told.fault);
      showOthers(told.others);
      showPreview();
      if (isDirty()) later();
    } else if (answer.status === 403 && again && await freshSeal()) {
      await save(false);
    } else if (answer.status === 401) {
      say("Not saved: your session has ended. Your text stays here. Press Save: you sign in, and it comes along.");
    } else if (answer.status === 409) {
      ended = true;
      say(`Not saved: ${told.error.message} Press Save to see what is there now.`);
    } else {
      say(`Not saved: ${told.error ? told.error.message : "something went wrong."} Your text stays here.`);
    }
  }
  function begin() {
    timer = 0;
    if (ended || running || !isDirty()) return;
    running = save().finally(() => { running = null; });
  }
  function later() {
    if (!timer && !ended) timer = setTimeout(begin, AFTER);
  }

  form.addEventListener("input", (event) => {
    if (["view", "reader"].includes(event.target.name)) { if (!isDirty()) showPreview(); return; }
    if (event.target.name !== "addresses") { say("Not saved yet."); later(); }
  });
  // A save that is under way has the next version: the form waits for its number.
  form.addEventListener("submit", (event) => {
    if (event.submitter && event.submitter.formTarget) return; // It shows what is typed elsewhere.
    if (new Blob([new URLSearchParams(new FormData(form))]).size > form.dataset.largest) {
      event.preventDefault(); // It would be refused, by a page that does not hold it any more.
      const most = Math.floor(form.dataset.largest / 1024).toLocaleString("en-GB");
      say(`Not saved: this is more than ${most} KB, as it is sent. Your text stays here. Shorten it, or take some of it elsewhere.`);
      return;
    }
    clearTimeout(timer);
    ended = true;
    if (running) {
      event.preventDefault();
      const button = event.submitter;
      running.finally(() => form.requestSubmit(button));
      return;
    }
    written = typed();
  });
  addEventListener("beforeunload", (event) => { if (isDirty()) event.preventDefault(); });
  setInterval(async () => {
    if (document.hidden || running || ended) return;
    const answer = await post("/present", { seal: form.elements.seal.value }).catch(() => null);
    if (answer && answer.ok) showOthers((await answer.json()).others);
  }, ALIVE);
})();

/* Live progress of a campaign: figures, bar and chart follow the server's events. Without this the page has a link to look again. */
(() => {
  const page = document.querySelector("[data-events]");
  if (!page || !window.EventSource) return;
  const write = (element, text) => { if (element && element.textContent !== text) element.textContent = text; };
  const lost = document.querySelector("[data-lost]");
  const source = new EventSource(page.dataset.events);

  const draw = (rate) => {
    const chart = document.querySelector("[data-rate]");
    if (!chart) return;
    chart.querySelector(".linep").setAttribute("d", rate.line);
    chart.querySelector(".area").setAttribute("d", rate.area);
    chart.setAttribute("aria-label", rate.words);
    for (const drawn of document.querySelectorAll("[data-rate], [data-rate-words]")) drawn.toggleAttribute("hidden", !rate.line);
    document.querySelector("[data-no-rate]").hidden = Boolean(rate.line);
    chart.querySelectorAll("text").forEach((text, index) => write(text, rate.labels[index] || ""));
  };

  source.onmessage = (message) => {
    const told = JSON.parse(message.data);
    if (lost) lost.hidden = true;
    if (told.state !== page.dataset.state) { // Other buttons belong to it, and a report.
      source.close();
      location.replace(location.pathname);
      return;
    }
    for (const [name, words] of Object.entries(told.figures)) write(document.querySelector(`[data-live="${name}"]`), words);
    for (const pace of document.querySelectorAll("[data-pace]")) write(pace, told.paces[pace.dataset.pace] || "");
    const bar = page.querySelector("progress");
    if (bar) bar.value = told.percent;
    write(page.querySelector("[data-said]"), told.said);
    draw(told.rate);
  };
  source.addEventListener("signed-out", () => { source.close(); if (lost) lost.hidden = false; });
  source.addEventListener("end", () => source.close());
  source.onerror = () => { if (lost) lost.hidden = false; };
})();

// ---- Copying: what has data-copy gets a button that takes it to the clipboard; without one it is marked and copied by hand.
document.querySelectorAll("[data-copy]").forEach((text) => {
  if (!navigator.clipboard) return;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "plain";
  button.textContent = "Copy";
  button.setAttribute("aria-label", "Copy: " + (text.getAttribute("aria-label") || "this"));
  const said = document.createElement("span");
  said.className = "quiet";
  said.setAttribute("role", "status");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text.textContent);
      said.textContent = "Copied.";
    } catch {
      said.textContent = "Your browser does not allow it: mark it and copy it by hand.";
    }
  });
  const row = document.createElement("div");
  row.className = "row";
  row.append(button, said);
  text.after(row);
});

// The first page: bars of campaigns under way move by themselves; when one ends, the page is asked for anew.
for (const bar of document.querySelectorAll("progress[data-follow]")) {
  if (!window.EventSource) break;
  const source = new EventSource(bar.dataset.follow);
  source.onmessage = (message) => {
    const told = JSON.parse(message.data);
    if (told.state !== "sending") {
      source.close();
      location.reload();
      return;
    }
    bar.max = 100;
    bar.value = told.percent;
    bar.setAttribute("aria-label", told.said);
    bar.parentElement.firstChild.textContent = `${told.figures.accepted} `;
  };
  for (const over of ["end", "signed-out"]) source.addEventListener(over, () => source.close());
}
