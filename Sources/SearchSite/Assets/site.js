const root = document.documentElement;
const input = document.getElementById("query");
const results = document.getElementById("results");
const status = document.getElementById("status");
const upload = document.querySelector(".upload");
const homeTitle = document.querySelector('meta[property="og:site_name"]').content;
const asFragment = { "X-Fragment": "1" };

// Fragments by address, so that going back is instant. Links to pictures expire after an hour.
const shown = new Map();
const freshFor = 50 * 60 * 1000;
let fetching = null;

const here = () => location.pathname + location.search;
// What is shown; null when that failed.
let current = here();
const isSearch = (url) => url.origin === location.origin
  && (url.pathname === "/search" || url.pathname.startsWith("/search/"));

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

// A picture that cannot be loaded says so; the style sheet has the words.
function markIfBroken(image) {
  if (image.complete && image.naturalWidth === 0) {
    (image.closest(".frame") ?? image).classList.add("broken");
  }
}

results.addEventListener("error", (event) => {
  if (event.target instanceof HTMLImageElement) markIfBroken(event.target);
}, true);

// More pictures come by themselves when the end of the page comes near.
const nearEnd = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) showMore(entry.target, false);
}, { rootMargin: "600px" });

// Not before the visitor scrolls in a list: its last row changes when pictures are added to it.
let hasScrolled = false;
function scrolled() {
  if (hasScrolled) return;
  hasScrolled = true;
  const more = results.querySelector("a.more");
  if (more) nearEnd.observe(more);
}
for (const type of ["wheel", "touchmove"]) addEventListener(type, scrolled, { passive: true });
// A new list is shown from its top, which is an event too.
addEventListener("scroll", () => { if (scrollY > 0) scrolled(); }, { passive: true });

function arrange() {
  results.querySelectorAll("img").forEach(markIfBroken);
  const copy = results.querySelector(".copy");
  if (copy) copy.hidden = !navigator.clipboard;
  nearEnd.disconnect();
  const more = results.querySelector("a.more");
  if (more && hasScrolled) nearEnd.observe(more);
}

function show(html) {
  hasScrolled = false;
  results.innerHTML = html;
  const section = results.firstElementChild;
  root.dataset.view = section?.dataset.view ?? "results";
  document.title = section?.dataset.title ?? homeTitle;
  status.textContent = section?.dataset.status ?? "";
  if (section && document.activeElement !== input) input.value = section.dataset.query ?? "";
  upload.open = false;
  arrange();
}

function showHome() {
  results.replaceChildren();
  root.dataset.view = "home";
  document.title = homeTitle;
  status.textContent = "";
  input.value = "";
  current = here();
}

async function textOf(response) {
  const isPage = (response.headers.get("content-type") ?? "").startsWith("text/html");
  return isPage ? await response.text() : document.getElementById("unreachable").innerHTML;
}

// Fetches a part of a page and shows it. Resolves to whether it is there, and not a newer one.
async function load(address, options = {}, arrived = () => {}) {
  fetching?.abort();
  const mine = fetching = new AbortController();
  busy(true);
  try {
    const response = await fetch(address,
      { ...options, headers: asFragment, signal: mine.signal });
    const html = await textOf(response);
    if (fetching !== mine) return false;
    arrived(response);
    show(html);
    // The list stays however many pictures are looked at.
    if (response.ok && root.dataset.view !== "picture") keep(here(), html);
    current = response.ok ? here() : null;
  } catch (error) {
    if (fetching !== mine) return false;
    current = null;
    show(document.getElementById("unreachable").innerHTML);
  }
  fetching = null;
  busy(false);
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

function formAddress(form, submitter) {
  const url = new URL(form.action, location.href);
  const fields = new FormData(form, submitter);
  for (const [name, value] of [...fields]) if (!value.trim()) fields.delete(name);
  // As the server writes addresses.
  url.search = new URLSearchParams(fields).toString().replaceAll("+", "%20");
  return url;
}

// The server turns further words into the address of the search with them.
async function goToWherever(url) {
  const wanted = await load(url.pathname + url.search, {}, (response) => {
    remember(new URL(response.url || url.href));
  });
  if (wanted) scrollTo(0, 0);
}

const failure = upload.querySelector(".failure");

// What goes wrong is said in the panel, and the results stay.
async function searchWith(file) {
  const body = new FormData();
  body.append("picture", file);
  fetching?.abort();
  const mine = fetching = new AbortController();
  busy(true);
  failure.textContent = "";
  status.textContent = "Searching with the picture";
  const part = document.createElement("template");
  try {
    const response = await fetch("/search",
      { method: "POST", body, headers: asFragment, signal: mine.signal });
    part.innerHTML = await textOf(response);
    if (fetching !== mine) return;
    const url = new URL(response.url || location.href);
    if (response.ok && response.redirected && isSearch(url)) {
      input.value = "";
      remember(url);
      show(part.innerHTML);
      keep(here(), part.innerHTML);
      current = here();
      scrollTo(0, 0);
      results.focus({ preventScroll: true });
      part.innerHTML = "";
    }
  } catch {
    if (fetching !== mine) return;
    part.innerHTML = document.getElementById("unreachable").innerHTML;
  }
  fetching = null;
  busy(false);
  const heading = part.content.querySelector("h1");
  if (!heading) return;
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
  input.value = input.value.trim();
  // Hides a phone's keyboard, which would cover the results.
  if (matchMedia("(pointer: coarse)").matches) input.blur();
  go(url);
});

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href]");
  if (!link || link.hasAttribute("download") || event.button || event.metaKey || event.ctrlKey
    || event.shiftKey || event.altKey) return;
  const url = new URL(link.href);
  // The browser knows the way to a place in this page.
  if (!isSearch(url) || (url.hash && url.pathname + url.search === here())) return;
  event.preventDefault();
  if (link.matches("a.more")) {
    showMore(link, true);
    return;
  }
  // From the list and back: the browser's own history has the list and its position.
  if (link.matches(".back") && history.state?.list) {
    history.back();
    return;
  }
  // The link goes away with what is shown now.
  results.focus({ preventScroll: true });
  const isStep = link.matches(".step, .film a");
  if (link.matches(".back, [rel=prev], [rel=next]") && kept(url.pathname + url.search)) {
    remember(url);
    show(kept(here()));
    place(url.hash);
  } else go(url, { replaces: isStep, list: link.matches(".grid .frame") });
});

results.addEventListener("click", async (event) => {
  const image = event.target.closest(".stage img");
  if (image) image.parentElement.classList.toggle("zoomed");
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

// Puts the next pictures below those there are; the address then shows them all.
async function showMore(link, byHand) {
  if (link.hasAttribute("aria-busy")) return;
  link.setAttribute("aria-busy", "true");
  nearEnd.unobserve(link);
  const list = results.querySelector(".grid");
  let html;
  try {
    const response = await fetch(link.dataset.part, { headers: asFragment });
    if (!response.ok) throw new Error();
    html = await response.text();
  } catch {
    // The link stays: following it shows what is wrong.
    link.removeAttribute("aria-busy");
    if (byHand) go(new URL(link.href));
    return;
  }
  if (!link.isConnected) return;
  const part = document.createElement("template");
  part.innerHTML = html;
  const items = [...part.content.querySelectorAll(".grid > li")];
  list.append(...items);
  const address = new URL(link.href);
  const next = part.content.querySelector("a.more");
  if (next) {
    // What comes next is counted from the first picture of this page.
    const limit = Number(address.searchParams.get("limit") ?? list.children.length);
    const longer = new URL(link.href);
    longer.searchParams.set("limit", String(Math.min(limit + items.length, 240)));
    link.dataset.part = next.dataset.part;
    if (limit >= 240) link.href = next.href;
    else link.href = longer.pathname + longer.search;
    link.removeAttribute("aria-busy");
    nearEnd.observe(link);
  } else link.remove();
  address.hash = "";
  history.replaceState(history.state, "", address.href);
  current = here();
  keep(here(), results.innerHTML);
  status.textContent = `${list.children.length} pictures`;
  if (byHand) items[0]?.querySelector("a")?.focus();
  items.forEach((item) => item.querySelectorAll("img").forEach(markIfBroken));
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
    stage.classList.remove("zoomed");
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
  if (location.pathname === "/") showHome();
  else if (isSearch(location)) {
    const html = kept(here());
    if (html !== null) {
      show(html);
      current = here();
    } else if (!await load(here())) return;
    input.value = results.firstElementChild?.dataset.query ?? "";
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
if (results.querySelector(".found")) keep(here(), results.innerHTML);
if (history.state?.y) scrollTo(0, history.state.y);
else if (location.hash) place(location.hash);
arrange();
