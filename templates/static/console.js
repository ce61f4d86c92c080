"use strict";

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
    const bar = page.querySelector("progress");
    if (bar) bar.value = told.percent;
    write(page.querySelector("[data-said]"), told.said);
    draw(told.rate);
  };
  source.addEventListener("signed-out", () => { source.close(); if (lost) lost.hidden = false; });
  source.addEventListener("end", () => source.close());
  source.onerror = () => { if (lost) lost.hidden = false; };
})();
