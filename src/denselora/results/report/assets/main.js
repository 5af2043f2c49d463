const PAGES = {
  "": overview,
  published,
  setting: (b, r, benchmark) => setting(Number(b), Number(r), benchmark),
  run: runPage,
  compare,
};
let shown = null;

/** Shows the page that the address names. */
function show() {
  const [name, ...rest] = location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
  const main = document.getElementById("main");
  main.replaceChildren(...[(PAGES[name] ?? missing)(...rest)].flat(Infinity).filter(Boolean));
  for (const link of document.querySelectorAll("header nav a")) {
    const isCurrent = link.getAttribute("href") === `#/${name}`;
    if (isCurrent) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.getElementById("tip").hidden = true;
  document.title = [main.querySelector("h1")?.textContent, "DenseLoRA results"].filter(Boolean).join(" · ");
  showChoice();
  if (shown !== null) {
    main.focus({ preventScroll: true });
    const predictionsWanted = name === "run" && rest[1];
    if (predictionsWanted) document.getElementById("predictions")?.scrollIntoView();
    else scrollTo(0, 0);
  }
  shown = location.hash;
}

addEventListener("hashchange", show);
show();
