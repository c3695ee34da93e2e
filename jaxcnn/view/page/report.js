"use strict";
// Ten thousand rows take a browser seconds to lay out, and minutes to print, so the rest waits until it is asked for.
const MOST = 500;
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  let most = MOST;
  const show = () => [...body.rows].forEach((row, place) => { row.hidden = place >= most; });
  const sort = (head, place) => {
    const down = head.getAttribute("aria-sort") === "ascending";
    const rows = [...body.rows].map((row) => {
      const cell = row.cells[place];
      const word = cell.className === "word";
      return { row, word, value: word ? cell.textContent : parseFloat(cell.dataset.v ?? cell.textContent) };
    });
    rows.sort((a, b) => {
      if (a.word) return down ? b.value.localeCompare(a.value) : a.value.localeCompare(b.value);
      if (Number.isNaN(a.value)) return Number.isNaN(b.value) ? 0 : 1;
      if (Number.isNaN(b.value)) return -1;
      return down ? b.value - a.value : a.value - b.value;
    });
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const sorted = document.createDocumentFragment();
    for (const each of rows) sorted.append(each.row);
    body.append(sorted);
    show();
  };
  heads.forEach((head, place) => {
    // No real button: browsers leave those out of the heads that paper repeats on every page.
    const button = head.querySelector("[role=button]");
    button.addEventListener("click", () => sort(head, place));
    button.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); sort(head, place); }
    });
  });
  if (body.rows.length > MOST) {
    show();
    const all = document.createElement("button");
    all.className = "all";
    all.textContent = `${MOST} of ${body.rows.length} cells are shown: show all`;
    all.addEventListener("click", () => { most = Infinity; show(); all.remove(); });
    table.parentElement.after(all);
  }
}
