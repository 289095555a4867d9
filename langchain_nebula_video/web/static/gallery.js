// The filters of the gallery: they hide cards. Without scripts all cards are there, and the filters are not.
"use strict";

const form = document.getElementById("filters");

if (form) {
  const cards = [...document.querySelectorAll(".tasks > .task")];
  const count = document.getElementById("shown");
  const none = document.getElementById("none");
  const choices = [...form.querySelectorAll("select")];
  const search = document.getElementById("search");

  const apply = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const card of cards) {
      const chosen = choices.every(each => !each.value || card.dataset[each.id] === each.value);
      card.hidden = !chosen || !words.every(word => card.dataset.text.includes(word));
      if (!card.hidden) shown += 1;
      else card.querySelector("video")?.pause();
    }
    count.textContent = shown === cards.length ? `${shown}` : `${shown} of ${cards.length}`;
    none.hidden = shown > 0;
  };

  // A batch of the fleet links here with its name.
  const batch = new URLSearchParams(location.search).get("batch");
  const chosen = document.getElementById("batch");
  if (batch && chosen) chosen.value = batch;

  form.hidden = false;
  form.addEventListener("input", apply);
  form.addEventListener("submit", event => event.preventDefault());
  apply(); // a browser may have kept what was chosen
}
