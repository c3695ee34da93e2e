"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, place) => head.querySelector("button").addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    const rows = [...table.tBodies[0].rows].map((row) => {
      const cell = row.cells[place];
      const raw = cell.dataset.v;
      return { row, word: raw === undefined, value: raw === undefined ? cell.textContent : parseFloat(raw) };
    });
    rows.sort((a, b) => {
      if (a.word) return down ? b.value.localeCompare(a.value) : a.value.localeCompare(b.value);
      if (Number.isNaN(a.value)) return Number.isNaN(b.value) ? 0 : 1;
      if (Number.isNaN(b.value)) return -1;
      return down ? b.value - a.value : a.value - b.value;
    });
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    table.tBodies[0].append(...rows.map((each) => each.row));
  }));
}
