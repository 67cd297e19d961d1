/// Makes searching quicker where JavaScript runs: results are fetched and put into the page. Every
/// link and the form work without it, too.
let scriptText = """
    const root = document.documentElement;
    const form = document.querySelector("form.search");
    const input = form.querySelector("input");
    const results = document.getElementById("results");
    const status = document.getElementById("status");
    const homeTitle = document.querySelector('meta[property="og:site_name"]').content;

    // Fragments by address, so that going back is instant. Links to pictures expire after an hour.
    const shown = new Map();
    const freshFor = 50 * 60 * 1000;
    let fetching = null;

    const addressOf = (text) => text ? "/search?q=" + encodeURIComponent(text) : "/search";
    const here = () => location.pathname + location.search;

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
        image.closest(".frame")?.classList.add("broken");
      }
    }
    results.addEventListener("error", (event) => {
      if (event.target instanceof HTMLImageElement) markIfBroken(event.target);
    }, true);
    results.querySelectorAll("img").forEach(markIfBroken);

    function show(html) {
      results.innerHTML = html;
      root.dataset.view = "results";
      const section = results.firstElementChild;
      document.title = section?.dataset.title ?? homeTitle;
      status.textContent = section?.dataset.status ?? "";
    }

    function showHome() {
      results.replaceChildren();
      root.dataset.view = "home";
      document.title = homeTitle;
      status.textContent = "";
    }

    // Resolves to whether the results are there, and not a newer search's or none.
    async function find(text, address) {
      fetching?.abort();
      const mine = fetching = new AbortController();
      busy(true);
      try {
        const response = await fetch("/search_form", {
          method: "POST",
          body: new URLSearchParams({ search_text: text }),
          signal: mine.signal,
        });
        const isPage = (response.headers.get("content-type") ?? "").startsWith("text/html");
        const html = isPage ? await response.text() : document.getElementById("unreachable").innerHTML;
        if (fetching !== mine) return false;
        if (response.ok) keep(address, html);
        show(html);
      } catch (error) {
        if (fetching !== mine) return false;
        show(document.getElementById("unreachable").innerHTML);
      }
      fetching = null;
      busy(false);
      return true;
    }

    async function search(text) {
      text = text.trim();
      const address = addressOf(text);
      if (here() === address) history.replaceState(null, "", address);
      else history.pushState(null, "", address);
      input.value = text;
      if (await find(text, address)) scrollTo(0, 0);
    }

    form.addEventListener("submit", (event) => {
      event.preventDefault();
      // Hides a phone's keyboard, which would cover the results.
      if (matchMedia("(pointer: coarse)").matches) input.blur();
      search(input.value);
    });

    document.addEventListener("click", (event) => {
      const link = event.target.closest("a[data-query]");
      if (!link || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) {
        return;
      }
      event.preventDefault();
      // The link goes away with the first page.
      results.focus({ preventScroll: true });
      search(link.dataset.query);
    });

    addEventListener("popstate", () => {
      fetching?.abort();
      fetching = null;
      busy(false);
      if (location.pathname === "/") {
        input.value = "";
        showHome();
      } else if (location.pathname === "/search") {
        const text = new URLSearchParams(location.search).get("q") ?? "";
        input.value = text;
        const html = kept(here());
        if (html === null) find(text, here());
        else show(html);
      } else {
        location.reload();
      }
    });

    // What the server put into the page.
    if (results.querySelector(".found")) keep(here(), results.innerHTML);

    """
