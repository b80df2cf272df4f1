"use strict";

// Tables: a click on a heading sorts by it, another one the other way round; what is unknown comes last.
for (const button of document.querySelectorAll("thead button")) {
  button.addEventListener("click", () => sort(button.closest("table"), button.closest("th")));
}

function sort(table, heading) {
  const down = heading.getAttribute("aria-sort") === "ascending";
  for (const other of heading.parentElement.children) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", down ? "descending" : "ascending");
  const numeric = heading.dataset.kind === "number";
  const value = (row) => row.cells[heading.cellIndex]?.dataset.value ?? "";
  const compare = (a, b) => (numeric ? Number(a) - Number(b) : a.localeCompare(b, "en", { numeric: true }));
  for (const body of table.tBodies) {
    const rows = [...body.rows].sort((one, other) => {
      const [a, b] = [value(one), value(other)];
      if (a === "" || b === "") return (a === "") - (b === "");
      return down ? compare(b, a) : compare(a, b);
    });
    body.append(...rows);
  }
}

document.querySelector("#reference")?.addEventListener("change", (event) => {
  for (const body of document.querySelectorAll("#difference tbody")) body.hidden = body.id !== event.target.value;
});

// Panels: all of them show the same two methods; each has a slider of its own.
const choices = { left: document.querySelector("#left"), right: document.querySelector("#right") };

for (const panel of document.querySelectorAll(".panel")) {
  const stage = panel.querySelector(".stage");
  const range = panel.querySelector("input");
  const clean = panel.querySelector(".clean img");
  if (clean) stage.prepend(clean.cloneNode());  // so that it can be slid over the others as well
  const show = () => {
    for (const side of ["left", "right"]) showSide(panel, side);
    move();
  };
  const move = () => {
    stage.style.setProperty("--at", `${range.value}%`);
    const [left, right] = ["left", "right"].map((side) => choices[side].selectedOptions[0].text);
    range.setAttribute("aria-valuetext", `${range.value} % ${left}, the rest ${right}`);
  };
  range.addEventListener("input", move);
  for (const select of Object.values(choices)) select.addEventListener("change", show);
  show();
}

function showSide(panel, side) {
  const option = choices[side].selectedOptions[0];
  let shown = null;
  for (const picture of panel.querySelectorAll(".stage:has(input) img")) {
    const is = picture.dataset.key === option.value;
    picture.classList.toggle(side, is);
    picture.hidden = !picture.classList.contains("left") && !picture.classList.contains("right");
    if (is) shown = picture;
  }
  const name = document.createElement("strong");
  name.textContent = option.text;
  const figures = shown ? shown.dataset.figures : "not available for this image";
  panel.querySelector(`.of-${side}`).replaceChildren(name, figures ? ` ${figures}` : "");
}
