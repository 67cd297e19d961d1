const root = document.documentElement;
const input = document.getElementById("query");
const results = document.getElementById("results");
const status = document.getElementById("status");
const upload = document.querySelector(".upload");
const form = document.getElementById("search");
const givens = form.querySelector(".givens");
const homeTitle = document.querySelector('meta[property="og:site_name"]').content;
const asFragment = { "X-Fragment": "1" };
const unreachable = document.getElementById("unreachable").innerHTML;
root.toggleAttribute("data-script", true);

// Fragments by address, so that going back is instant. Links to pictures expire after an hour.
const shown = new Map();
const freshFor = 50 * 60 * 1000;
let fetching = null;

const here = () => location.pathname + location.search;
// What is shown; null when that failed.
let current = here();
const isSearch = (url) => url.origin === location.origin
  && (url.pathname === "/search" || url.pathname.startsWith("/search/"));
const section = () => results.querySelector("section");

function keep(address, html) {
  shown.delete(address);
  shown.set(address, { html, until: Date.now() + freshFor });
  if (shown.size > 20) shown.delete(shown.keys().next().value);
}

function kept(address) {
  const entry = shown.get(address);
  return entry && entry.until > Date.now() ? entry.html : null;
}

function busy(isBusy) {
  root.toggleAttribute("data-busy", isBusy);
  results.setAttribute("aria-busy", isBusy);
}

// A picture that cannot be loaded says so; the style sheet has the words. The site has a copy of those
// that the browser does not read.
function markIfBroken(image) {
  if (!image.complete || image.naturalWidth > 0) return;
  const copy = image.dataset.copy;
  delete image.dataset.copy;
  if (copy && image.getAttribute("src") !== copy) image.src = copy;
  else (image.closest(".frame") ?? image).classList.add("broken");
}

document.addEventListener("error", (event) => {
  if (event.target instanceof HTMLImageElement) markIfBroken(event.target);
}, true);

// More pictures come by themselves: a page of them when the end of the list comes near while scrolling,
// before that only as many as fill the window.
const nearEnd = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    const end = results.querySelector(".held") ?? target;
    if (hasScrolled) showMore(target);
    else if (end.getBoundingClientRect().top < innerHeight) showMore(target, 8);
  }
}, { rootMargin: "600px" });

let hasScrolled = false;
function scrolled() {
  if (hasScrolled) return;
  hasScrolled = true;
  watchEnd();
}
function watchEnd() {
  nearEnd.disconnect();
  const more = results.querySelector("a.more:not(.failed)");
  if (more) nearEnd.observe(more);
}
for (const type of ["wheel", "touchmove"]) addEventListener(type, scrolled, { passive: true });
// A new list is shown from its top, which is an event too.
addEventListener("scroll", () => { if (scrollY > 0) scrolled(); }, { passive: true });

// The last row waits for the pictures that fill it, so that none changes its place when they come.
function holdLastRow() {
  const items = [...results.querySelectorAll(".grid > li")];
  for (const item of items) item.classList.remove("held");
  if (!results.querySelector("a.more:not(.failed)") || !items.length) return;
  const top = items.at(-1).offsetTop;
  if (items[0].offsetTop === top) return;
  for (const item of items) item.classList.toggle("held", item.offsetTop === top);
}
addEventListener("resize", holdLastRow);

// A visitor's own pictures as small as the search box shows them, by the paths of their searches.
const ownPictures = new Map();

// Pictures and filters in the search box, as the server has put them before what is shown.
function fillBox() {
  const box = document.getElementById("box");
  if (!box) return;
  form.action = box.dataset.path;
  input.placeholder = box.dataset.placeholder;
  givens.innerHTML = box.innerHTML;
  const own = ownPictures.get(box.dataset.path);
  if (own) givens.querySelector(".own")?.replaceChildren(own);
}

function arrange() {
  document.querySelectorAll("img").forEach(markIfBroken);
  const copy = results.querySelector(".copy");
  if (copy) copy.hidden = !navigator.clipboard;
  holdLastRow();
  watchEnd();
}

function show(html) {
  hasScrolled = false;
  // What had the focus goes away with the former results.
  if (results.contains(document.activeElement)) results.focus({ preventScroll: true });
  results.innerHTML = html;
  const { view = "results", title, status: said, query = "" } = section()?.dataset ?? {};
  root.dataset.view = view;
  document.title = title ?? homeTitle;
  status.textContent = said ?? "";
  if (document.activeElement !== input) input.value = query;
  upload.open = false;
  fillBox();
  arrange();
}

// Fetches a part of a page, in place of what is being fetched. Resolves to the response, if any, and its HTML,
// or to null when a newer one took its place.
async function ask(address, options) {
  fetching?.abort();
  const mine = fetching = new AbortController();
  busy(true);
  let response;
  let html = unreachable;
  try {
    response = await fetch(address, { headers: asFragment, ...options, signal: mine.signal });
    const isPage = (response.headers.get("content-type") ?? "").startsWith("text/html");
    if (isPage) html = await response.text();
  } catch {
    response = null;
  }
  if (fetching !== mine) return null;
  fetching = null;
  busy(false);
  return { response, html };
}

// Fetches a part of a page and shows it. Resolves to whether it is there, and not a newer one. What goes
// wrong while a visitor types is not shown: the next letter, or Enter, asks again.
async function load(address, { isTyping = false, arrived = () => {} } = {}) {
  clearTimeout(pause);
  root.toggleAttribute("data-typing", isTyping);
  const answer = await ask(address, isTyping ? { headers: { "X-Fragment": "typing" } } : {});
  if (!answer) return false;
  const { response, html } = answer;
  if (isTyping && !response?.ok) return true;
  if (response) arrived(response);
  show(html);
  // The list stays however many pictures are looked at.
  if (response?.ok && root.dataset.view !== "picture") keep(here(), html);
  current = response?.ok ? here() : null;
  return true;
}

// `list` tells that the entry before is the list from which a picture was opened.
function remember(url, { replaces = false, list = false } = {}) {
  if (replaces || url.pathname + url.search === here()) {
    history.replaceState({ ...history.state, y: 0 }, "", url.href);
  } else {
    history.replaceState({ ...history.state, y: scrollY }, "");
    history.pushState({ y: 0, list }, "", url.href);
  }
}

function place(hash) {
  const target = hash.length > 1 && document.getElementById(decodeURIComponent(hash.slice(1)));
  if (target) target.scrollIntoView({ block: "center" });
  else scrollTo(0, 0);
}

async function go(url, options) {
  remember(url, options);
  if (await load(url.pathname + url.search)) place(url.hash);
}

// Results while a visitor types. The list that they change is one entry of the history until the query is
// finished: by Enter, or when the visitor comes back to the box.
let pause = 0;
let isTyping = false;
input.addEventListener("focus", () => { isTyping = false; });
input.addEventListener("input", (event) => {
  clearTimeout(pause);
  if ("live" in root.dataset && !event.isComposing) pause = setTimeout(searchWhileTyping, 200);
});
function searchWhileTyping() {
  const url = formAddress(form);
  const address = url.pathname + url.search;
  if (input.value.trim().length < 2 || address === current) return;
  load(address, {
    isTyping: true,
    arrived() {
      remember(url, { replaces: isTyping });
      isTyping = true;
    },
  });
}

function formAddress(form, submitter) {
  const url = new URL(form.action, location.href);
  const fields = [...new FormData(form, submitter)]
    .map(([name, value]) => [name, name === "q" ? value.trim() : value]).filter(([, value]) => value.trim());
  // As the server writes addresses.
  url.search = new URLSearchParams(fields).toString().replaceAll("+", "%20");
  return url;
}

// The server turns further words into the address of the search with them.
async function goToWherever(url) {
  const wanted = await load(url.pathname + url.search, {
    arrived(response) { remember(new URL(response.url || url.href)); },
  });
  if (wanted) scrollTo(0, 0);
}

const failure = upload.querySelector(".failure");

async function shrink(file) {
  const picture = await createImageBitmap(file, { resizeHeight: 72, resizeQuality: "high" });
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [picture.width, picture.height];
  canvas.getContext("2d").drawImage(picture, 0, 0);
  return canvas;
}

// What goes wrong is said in the panel, and the results stay.
async function searchWith(file) {
  const body = new FormData();
  body.append("picture", file);
  failure.textContent = "";
  status.textContent = "Searching with the picture";
  const answer = await ask("/search", { method: "POST", body });
  if (!answer) return;
  const { response, html } = answer;
  const url = new URL(response?.url || location.href);
  if (response?.ok && response.redirected && isSearch(url)) {
    input.value = "";
    // Not every file that the site reads is one for the browser.
    const own = await shrink(file).catch(() => null);
    if (own) ownPictures.set(url.pathname, own);
    remember(url);
    show(html);
    keep(here(), html);
    current = here();
    scrollTo(0, 0);
    results.focus({ preventScroll: true });
    return;
  }
  const part = document.createElement("template");
  part.innerHTML = html;
  const heading = part.content.querySelector("h1");
  status.textContent = "";
  upload.open = true;
  failure.textContent = `${heading.textContent}. ${heading.nextElementSibling.textContent}`;
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.closest(".upload")) {
    const file = form.elements.picture.files[0];
    if (!file) return;
    event.preventDefault();
    searchWith(file);
    form.reset();
    return;
  }
  event.preventDefault();
  const url = formAddress(form, event.submitter);
  if (form.closest(".refine")) {
    goToWherever(url);
    return;
  }
  const wasTyping = isTyping;
  isTyping = false;
  clearTimeout(pause);
  // Hides a phone's keyboard, which would cover the results.
  if (matchMedia("(pointer: coarse)").matches) input.blur();
  if (!fetching && url.pathname + url.search === current) scrollTo(0, 0);
  else go(url, { replaces: wasTyping });
});

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href]");
  if (!link || link.hasAttribute("download") || event.button || event.metaKey || event.ctrlKey
    || event.shiftKey || event.altKey) return;
  const url = new URL(link.href);
  // The browser knows the way to a place in this page.
  if (!isSearch(url) || (url.hash && url.pathname + url.search === here())) return;
  event.preventDefault();
  // From the list and back: the browser's own history has the list and its position.
  if (link.matches(".back") && history.state?.list) {
    history.back();
    return;
  }
  const isStep = link.matches(".step, .film a");
  if (link.matches(".back, [rel=prev], [rel=next]") && kept(url.pathname + url.search)) {
    remember(url);
    show(kept(here()));
    place(url.hash);
  } else go(url, { replaces: isStep, list: link.matches(".grid .frame") });
});

// To the picture's own pixels, or twice the size, around the point that was clicked.
function zoom(image, { clientX, clientY }) {
  const stage = image.parentElement;
  const box = image.getBoundingClientRect();
  const fit = Math.min(box.width / image.naturalWidth, box.height / image.naturalHeight);
  const [width, height] = [image.naturalWidth * fit, image.naturalHeight * fit];
  const x = (clientX - box.left - (box.width - width) / 2) / width;
  const y = (clientY - box.top - (box.height - height) / 2) / height;
  const scale = Math.max(2, 1 / fit);
  stage.classList.add("zoomed");
  [image.style.width, image.style.height] = [`${width * scale}px`, `${height * scale}px`];
  stage.scrollTo(x * width * scale - stage.clientWidth / 2, y * height * scale - stage.clientHeight / 2);
}

function unzoom(stage) {
  stage.classList.remove("zoomed");
  stage.querySelector("img").removeAttribute("style");
}

results.addEventListener("click", async (event) => {
  const image = event.target.closest(".stage img");
  if (image?.parentElement.matches(".zoomed")) unzoom(image.parentElement);
  else if (image) zoom(image, event);
  const copy = event.target.closest(".copy");
  if (!copy) return;
  await navigator.clipboard.writeText(location.href);
  copy.textContent = status.textContent = "Link copied";
});

// A finger moved sideways goes to the next picture.
let touch = null;
results.addEventListener("touchstart", (event) => {
  const isOnPicture = event.target.closest(".stage:not(.zoomed)") && event.touches.length === 1;
  touch = isOnPicture ? event.touches[0] : null;
}, { passive: true });
results.addEventListener("touchend", (event) => {
  if (!touch) return;
  const across = event.changedTouches[0].clientX - touch.clientX;
  const down = event.changedTouches[0].clientY - touch.clientY;
  touch = null;
  if (Math.abs(across) < 60 || Math.abs(down) > Math.abs(across) / 2) return;
  results.querySelector(across < 0 ? "a[rel=next].step" : "a[rel=prev].step")?.click();
});

// Puts the next pictures below those there are. The address then shows them all, unless they only fill the
// window.
async function showMore(link, limit) {
  nearEnd.unobserve(link);
  const list = results.querySelector(".grid");
  let html;
  try {
    const part = limit ? `${link.dataset.part}&limit=${limit}` : link.dataset.part;
    const response = await fetch(part, { headers: { "X-Fragment": limit ? "row" : "1" } });
    if (!response.ok) throw new Error();
    html = await response.text();
  } catch {
    // Following the link shows what is wrong.
    link.classList.add("failed");
    holdLastRow();
    return;
  }
  if (!link.isConnected) return;
  const part = document.createElement("template");
  part.innerHTML = html;
  list.append(...part.content.querySelectorAll(".grid > li"));
  const count = list.children.length;
  const address = new URL(link.href);
  address.hash = "";
  address.searchParams.set("limit", count);
  if (!limit && count <= 240) history.replaceState(history.state, "", address.href);
  const next = part.content.querySelector("a.more");
  if (next) {
    link.dataset.part = next.dataset.part;
    // What comes next is counted from the first picture of this page.
    address.searchParams.set("limit", count + 24);
    link.href = count + 24 > 240 ? next.href : address.href;
  } else link.remove();
  current = here();
  arrange();
  keep(here(), results.innerHTML);
  if (!limit) status.textContent = `${count} pictures`;
}

// Searching with a picture: chosen, dropped or pasted.
upload.querySelector("input").addEventListener("change", (event) => {
  if (event.target.files.length) event.target.form.requestSubmit();
});
const hasFile = (data) => data && [...data.items].some((item) => item.kind === "file");
const imageIn = (data) => data && [...data.files].find((file) => file.type.startsWith("image/"));
let depth = 0;
addEventListener("dragenter", (event) => {
  if (hasFile(event.dataTransfer) && ++depth) root.toggleAttribute("data-drop", true);
});
addEventListener("dragleave", (event) => {
  if (hasFile(event.dataTransfer) && --depth <= 0) root.toggleAttribute("data-drop", false);
});
addEventListener("dragover", (event) => {
  if (hasFile(event.dataTransfer)) event.preventDefault();
});
addEventListener("drop", (event) => {
  depth = 0;
  root.toggleAttribute("data-drop", false);
  if (!hasFile(event.dataTransfer)) return;
  event.preventDefault();
  const file = imageIn(event.dataTransfer);
  if (file) searchWith(file);
});
addEventListener("paste", (event) => {
  const file = imageIn(event.clipboardData);
  if (!file) return;
  event.preventDefault();
  searchWith(file);
});

addEventListener("keydown", (event) => {
  if (event.metaKey || event.ctrlKey || event.altKey) return;
  if (event.key === "Escape" && upload.open) {
    upload.open = false;
    upload.querySelector("summary").focus();
    return;
  }
  const stage = results.querySelector(".stage.zoomed");
  if (event.key === "Escape" && stage) {
    unzoom(stage);
    return;
  }
  if (event.key === "Backspace" && event.target === input && !input.value) {
    givens.querySelector(".given:last-of-type a")?.click();
    return;
  }
  if (event.target.matches("input, select, textarea")) return;
  if (event.key === "/") {
    event.preventDefault();
    input.focus();
    input.select();
    return;
  }
  const links = { ArrowLeft: "a[rel=prev].step", ArrowRight: "a[rel=next].step", Escape: "a.back" };
  const link = links[event.key] && results.querySelector(links[event.key]);
  if (link) {
    event.preventDefault();
    link.click();
  }
});
document.addEventListener("click", (event) => {
  if (upload.open && !upload.contains(event.target)) upload.open = false;
});

history.scrollRestoration = "manual";
addEventListener("popstate", async (event) => {
  // A link to a place in the page, such as the one past the search box, changes nothing else.
  if (here() === current && !fetching) {
    if (event.state) scrollTo(0, event.state.y ?? 0);
    return;
  }
  fetching?.abort();
  fetching = null;
  busy(false);
  const y = event.state?.y ?? 0;
  const was = root.dataset.view === "picture" && current ? current.match(/&at=\d+$/)?.[0] : null;
  if (location.pathname === "/" || isSearch(location)) {
    const html = kept(here());
    if (html !== null) {
      show(html);
      current = here();
    } else if (!await load(here())) return;
    input.value = section()?.dataset.query ?? "";
  } else {
    location.reload();
    return;
  }
  scrollTo(0, y);
  // Where the keyboard was.
  const seen = was && results.querySelector(`a.frame[href$="${CSS.escape(was)}"]`);
  seen?.focus({ preventScroll: true });
});
addEventListener("pagehide", () => history.replaceState({ ...history.state, y: scrollY }, ""));

// What the server put into the page.
if (results.querySelector(".found, .strip")) keep(here(), results.innerHTML);
if (history.state?.y) scrollTo(0, history.state.y);
else if (location.hash) place(location.hash);
arrange();
