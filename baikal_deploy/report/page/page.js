"use strict";

// Each picture has a slider of its own, which lies over it.
for (const stage of document.querySelectorAll(".stage:has(input)")) {
  const range = stage.querySelector("input");
  const move = () => {
    stage.style.setProperty("--at", `${range.value}%`);
    range.setAttribute("aria-valuetext", `${range.value} % before, the rest after`);
  };
  range.addEventListener("input", move);
  move();
}
