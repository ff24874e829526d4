"use strict";

const PAPER = 660; // pixels: what a printed page is wide
const CALM = { responsive: true, displayModeBar: false, scrollZoom: false, doubleClick: false, locale: "en" };
const pictures = [...document.querySelectorAll(".picture")];

for (const picture of pictures) {
  const figure = JSON.parse(document.getElementById(picture.id.replace("picture", "figure")).textContent);
  Plotly.newPlot(picture, figure.data, figure.layout, CALM);
}

addEventListener("beforeprint", () => pictures.forEach((picture) => Plotly.relayout(picture, { width: PAPER })));
addEventListener("afterprint", () =>
  pictures.forEach((picture) => Plotly.relayout(picture, { width: null, autosize: true })));

function copyByHand(text) {
  const area = document.body.appendChild(document.createElement("textarea"));
  area.value = text;
  area.select();
  const isDone = document.execCommand("copy");
  area.remove();
  if (!isDone) throw new Error("the browser does not let pages copy");
}

async function copy(text) {
  if (!navigator.clipboard) return copyByHand(text);
  return navigator.clipboard.writeText(text).catch(() => copyByHand(text));
}

for (const button of document.querySelectorAll("button[data-copy]")) {
  const said = button.parentElement.querySelector(".said");
  button.addEventListener("click", () =>
    copy(button.dataset.copy).then(
      () => { said.textContent = "Copied: paste it into a spreadsheet."; },
      () => { said.textContent = "The browser does not let this page copy; save it as CSV instead."; },
    ));
}
