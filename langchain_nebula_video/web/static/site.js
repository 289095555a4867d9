// What every page does besides htmx: it asks for news each second, keeps a theme, and says if nobody answers.
"use strict";

const THEMES = { auto: "system", light: "light", dark: "dark" };

function showTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

function storedTheme() {
  try {
    const theme = localStorage.getItem("theme");
    return theme in THEMES ? theme : "auto";
  } catch {
    return "auto"; // storage may be switched off
  }
}

showTheme(storedTheme()); // before anything is drawn

document.addEventListener("DOMContentLoaded", () => {
  const button = document.getElementById("theme");
  const label = button.querySelector("span");
  button.hidden = false;
  label.textContent = THEMES[storedTheme()];
  button.addEventListener("click", () => {
    const names = Object.keys(THEMES);
    const next = names[(names.indexOf(storedTheme()) + 1) % names.length];
    try { localStorage.setItem("theme", next); } catch { /* it lasts until the page is left */ }
    showTheme(next);
    label.textContent = THEMES[next];
  });

  // A hidden page asks nothing.
  const tick = () => { if (!document.hidden) htmx.trigger(document.body, "tick"); };
  setInterval(tick, 1000);
  document.addEventListener("visibilitychange", tick);

  const offline = document.getElementById("offline");
  document.body.addEventListener("htmx:error", () => { offline.hidden = false; });
  document.body.addEventListener("htmx:after:request", () => { offline.hidden = true; });

  document.body.addEventListener("htmx:after:swap", (event) => {
    // Whoever asked for something that was not done has to see why, wherever on the page they are.
    if (event.detail.ctx.request.method === "POST")
      document.querySelector("#message[role=alert]")?.scrollIntoView({ block: "nearest" });
    // Morphing changes the attribute alone; whoever uses a control right now keeps it.
    for (const input of document.querySelectorAll("[data-live] input[type=radio]"))
      if (!input.closest("fieldset").contains(document.activeElement)) input.checked = input.defaultChecked;
  });
});
