/// How the site looks: one column of type, a sheet of pictures; light and dark by the system's
/// choice. Contrasts are at least those of WCAG 2.2, level AA.
let styleSheetText = """
    :root {
      color-scheme: light dark;
      --paper: #faf8f5;
      --raised: #ffffff;
      --ink: #1d1a17;
      --soft: #645c54;
      --line: #ddd6cd;
      --edge: #8d8379;
      --accent: #b8400e;
      --accent-strong: #96330a;
      --on-accent: #ffffff;
      --tint: #f6e9e0;
      --glow: #f8ede5;
      --hollow: #ece7e0;
      --shadow: 0 1px 2px rgb(60 40 20 / .06), 0 8px 28px rgb(60 40 20 / .09);
      --gap: clamp(.75rem, 1.6vw, 1.5rem);
      --side: clamp(1rem, 4vw, 4rem);
    }
    @media (prefers-color-scheme: dark) {
      :root {
        --paper: #161412;
        --raised: #211e1b;
        --ink: #f3eee8;
        --soft: #b0a69b;
        --line: #38322d;
        --edge: #857a6f;
        --accent: #ff9a62;
        --accent-strong: #ffb489;
        --on-accent: #2a1204;
        --tint: #33241a;
        --glow: #271d16;
        --hollow: #26221f;
        --shadow: 0 1px 2px rgb(0 0 0 / .4), 0 8px 28px rgb(0 0 0 / .35);
      }
    }

    *, *::before, *::after { box-sizing: border-box; }
    html {
      font: clamp(1rem, .9rem + .25vw, 1.3rem)/1.5 system-ui, -apple-system, "Segoe UI", Roboto,
        "Helvetica Neue", "Noto Sans", "Liberation Sans", Arial, sans-serif;
      -webkit-text-size-adjust: 100%;
      text-size-adjust: 100%;
      background: var(--paper);
      color: var(--ink);
      accent-color: var(--accent);
    }
    body { margin: 0; min-height: 100vh; min-height: 100svh; display: flex; flex-direction: column; }
    h1, p, figure, ol { margin: 0; padding: 0; }
    h1 { font-weight: 700; letter-spacing: -.025em; line-height: 1.15; text-wrap: balance; }
    a { color: var(--accent); }
    :focus-visible { outline: 3px solid var(--accent); outline-offset: 3px; border-radius: .25rem; }
    main:focus { outline: none; }
    .unseen {
      position: absolute; width: 1px; height: 1px; margin: -1px; padding: 0; border: 0;
      overflow: hidden; clip-path: inset(50%); white-space: nowrap;
    }
    .skip {
      position: absolute; left: .5rem; top: .5rem; z-index: 3; padding: .5rem 1rem;
      background: var(--raised); color: var(--ink); border-radius: .5rem; translate: 0 -200%;
    }
    .skip:focus { translate: 0 0; }

    /* Search box */
    .brand {
      display: inline-flex; align-items: center; gap: .6rem; color: var(--ink);
      font-weight: 650; letter-spacing: -.01em; text-decoration: none; white-space: nowrap; flex: none;
    }
    .brand svg { width: 2rem; height: 2rem; flex: none; }
    .ask {
      position: relative; display: flex; align-items: center; gap: .5rem; flex: 0 1 48rem;
      min-width: 0; width: 100%; max-width: 48rem;
    }
    .search {
      display: flex; flex: 1; min-width: 0; padding: .3rem;
      background: var(--raised); border: 1px solid var(--edge); border-radius: 999px;
      transition: border-color .15s, box-shadow .15s;
    }
    .search:focus-within { border-color: var(--accent); box-shadow: 0 0 0 3px var(--accent); }
    .search input {
      flex: 1; min-width: 0; padding: .5rem .5rem .5rem 1.1rem; font: inherit; color: inherit;
      background: none; border: 0; outline: 0; -webkit-appearance: none; appearance: none;
      text-overflow: ellipsis;
    }
    .search input::placeholder, .refine input::placeholder { color: var(--soft); opacity: 1; }
    .search input::-webkit-search-cancel-button {
      -webkit-appearance: none; appearance: none; width: 1.1em; height: 1.1em; margin-inline: .4rem;
      cursor: pointer; background: var(--soft);
      mask: url("data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E\
    %3Cpath d='m4 4 8 8m0-8-8 8' stroke='%23000' stroke-width='2' stroke-linecap='round'/%3E%3C/svg%3E")
        center / contain no-repeat;
    }
    button, .button {
      position: relative; display: inline-block; padding: .5rem 1.3rem; font: inherit;
      font-weight: 600; cursor: pointer; color: var(--on-accent); background: var(--accent); border: 0;
      border-radius: 999px; text-decoration: none; transition: background-color .15s;
    }
    button:hover, .button:hover { background: var(--accent-strong); }
    .button.quiet {
      color: var(--ink); background: var(--raised); box-shadow: inset 0 0 0 1px var(--edge);
    }
    .button.quiet:hover { background: var(--hollow); }
    .search button:focus-visible { outline-color: var(--ink); outline-offset: -5px; }
    [data-busy] .search button span { visibility: hidden; }
    [data-busy] .search button::after {
      content: ""; position: absolute; inset: 0; margin: auto; width: 1.2em; height: 1.2em;
      border: .18em solid; border-right-color: transparent; border-radius: 50%;
      animation: turn .8s linear infinite;
    }
    @keyframes turn { to { rotate: 1turn; } }

    /* Searching with a picture */
    .upload { flex: none; }
    .upload summary {
      display: grid; place-items: center; width: 3rem; height: 3rem; cursor: pointer; list-style: none;
      color: var(--soft); border-radius: 50%; transition: background-color .15s, color .15s;
    }
    .upload summary::-webkit-details-marker { display: none; }
    .upload summary:hover, .upload[open] summary { color: var(--ink); background: var(--hollow); }
    .upload summary:focus-visible { border-radius: 50%; outline-offset: -3px; }
    .upload form {
      position: absolute; z-index: 4; right: 0; top: calc(100% + .6rem);
      width: min(25rem, calc(100vw - 2 * var(--side))); display: grid; gap: .9rem; padding: 1.2rem;
      text-align: left; background: var(--raised); border: 1px solid var(--line);
      border-radius: 1rem; box-shadow: var(--shadow);
    }
    .upload label { font-weight: 650; }
    .upload input {
      width: 100%; padding: .9rem; font: inherit; font-size: .875rem; color: var(--soft);
      border: 2px dashed var(--edge); border-radius: .7rem; cursor: pointer;
    }
    .upload input::file-selector-button {
      margin-right: .8rem; padding: .35rem .9rem; font: inherit; font-weight: 600; cursor: pointer;
      color: var(--ink); background: var(--hollow); border: 1px solid var(--edge);
      border-radius: 999px;
    }
    .aside { color: var(--soft); font-size: .875rem; }
    #drop { display: none; }
    [data-drop] #drop {
      display: grid; place-items: center; position: fixed; inset: 0; z-index: 5; padding: 1.5rem;
      pointer-events: none; background: color-mix(in srgb, var(--paper) 80%, transparent);
    }
    #drop p {
      display: grid; place-items: center; width: 100%; height: 100%; font-size: 1.5rem;
      font-weight: 650; border: 3px dashed var(--accent); border-radius: 1.2rem;
    }

    .examples { display: flex; flex-wrap: wrap; gap: .5rem; align-items: center; }
    .examples span { color: var(--soft); margin-right: .2rem; }
    .examples a {
      padding: .3rem .9rem; color: var(--ink); background: var(--raised); border: 1px solid var(--line);
      border-radius: 999px; text-decoration: none;
      transition: background-color .15s, border-color .15s, color .15s;
    }
    .examples a:hover {
      color: var(--on-accent); background: var(--accent); border-color: var(--accent);
    }

    /* First page: everything around the search box */
    [data-view=home] .masthead {
      flex: 1; display: flex; flex-direction: column; align-items: center; justify-content: center;
      gap: 1.6rem; padding: 2rem var(--side) 14vh; text-align: center;
      background: radial-gradient(closest-side, var(--glow), transparent) center 42% / 110% 90%
        no-repeat;
    }
    [data-view=home] .brand { position: absolute; left: var(--side); top: 1.1rem; }
    [data-view=home] .hero h1 { font-size: clamp(1.9rem, 1.3rem + 2.6vw, 3.4rem); }
    [data-view=home] .hero p {
      margin-top: .8rem; color: var(--soft); font-size: clamp(1rem, .95rem + .4vw, 1.3rem);
    }
    [data-view=home] .ask { flex: none; }
    [data-view=home] .search { box-shadow: var(--shadow); padding: .45rem; }
    [data-view=home] .search:focus-within { box-shadow: 0 0 0 3px var(--accent), var(--shadow); }
    [data-view=home] .examples { justify-content: center; }
    [data-view=home] main, [data-view=home] .skip { display: none; }

    /* Results: the search box moves into a bar */
    :not([data-view=home]) > body .hero, :not([data-view=home]) > body .masthead .examples {
      display: none;
    }
    :not([data-view=home]) > body .masthead {
      position: sticky; top: 0; z-index: 2; display: flex; align-items: center; gap: 1rem 1.5rem;
      padding: .7rem var(--side); background: var(--paper); border-bottom: 1px solid var(--line);
    }
    [data-view=results] main {
      flex: 1; width: 100%; max-width: 128rem; margin: 0 auto; padding: 1.6rem var(--side) 3rem;
      scroll-margin-top: 5rem;
    }
    main { transition: opacity .2s; }
    [data-busy] main { opacity: .45; }
    .heading {
      display: flex; flex-wrap: wrap; align-items: baseline; gap: .2rem 1rem; margin-bottom: 1.2rem;
    }
    .heading h1 {
      font-size: clamp(1.35rem, 1.1rem + 1vw, 2rem); overflow-wrap: anywhere; max-width: 100%;
      display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 3; overflow: hidden;
    }
    .heading p { color: var(--soft); }
    .reference {
      align-self: center; width: 3.5rem; height: 3.5rem; object-fit: cover; border-radius: .6rem;
      background: var(--hollow);
    }
    .refine {
      display: flex; flex-wrap: wrap; gap: .6rem 1rem; align-items: center; margin-bottom: 1.4rem;
    }
    .terms { list-style: none; display: flex; flex-wrap: wrap; gap: .5rem; margin: 0; padding: 0; }
    .terms li { max-width: 100%; }
    .terms a {
      display: flex; align-items: baseline; gap: .15rem; max-width: 100%; padding: .3rem .9rem;
      color: var(--ink); background: var(--tint); border-radius: 999px; text-decoration: none;
      overflow-wrap: anywhere;
    }
    .terms a:hover { background: var(--hollow); }
    .terms .sign { font-weight: 700; color: var(--accent); white-space: pre; }
    .terms .cross { margin-left: .4rem; color: var(--soft); font-weight: 700; }
    .refine form { display: flex; min-width: 0; }
    .refine input {
      flex: 1 1 9rem; min-width: 0; width: 11rem; padding: .3rem .9rem; font: inherit;
      font-size: .9375rem; color: inherit; background: var(--raised); border: 1px solid var(--edge);
      border-right: 0; border-radius: 999px 0 0 999px;
    }
    .refine button {
      padding: .3rem .9rem; font-size: .9375rem; color: var(--ink); background: var(--raised);
      border: 1px solid var(--edge); border-radius: 0;
    }
    .refine button + button { border-left: 0; border-radius: 0 999px 999px 0; }
    .refine button:hover { background: var(--hollow); }
    .refine :focus-visible { position: relative; z-index: 1; }
    .note {
      margin-bottom: 1.2rem; padding: .7rem 1rem; background: var(--tint); border-radius: .6rem;
      border-left: .25rem solid var(--accent); max-width: 60rem;
    }

    .grid {
      list-style: none; display: grid; gap: calc(var(--gap) * 1.1) var(--gap);
      grid-template-columns: repeat(auto-fill, minmax(min(100%, 14rem), 1fr));
    }
    .grid li { min-width: 0; scroll-margin-top: 6rem; }
    .grid figure { display: grid; grid-template-columns: minmax(0, 1fr) auto; }
    .frame {
      grid-area: 1 / 1 / 2 / 3; position: relative; display: block; aspect-ratio: 1;
      overflow: hidden; background: var(--hollow); border-radius: .8rem; text-decoration: none;
    }
    .frame img {
      display: block; width: 100%; height: 100%; object-fit: cover; color: var(--soft);
      font-size: .8rem; overflow-wrap: anywhere; transition: scale .35s cubic-bezier(.2, .7, .3, 1);
    }
    /* A white picture on white paper keeps its edge. */
    a.frame:not(.broken)::after {
      content: ""; position: absolute; inset: 0; border-radius: inherit; pointer-events: none;
      box-shadow: inset 0 0 0 1px rgb(128 128 128 / .22);
    }
    figure:hover a.frame img, a.frame:focus-visible img { scale: 1.035; }
    a.frame:focus-visible { outline-offset: 3px; border-radius: .8rem; }
    .frame.broken { display: grid; place-items: center; padding: 1rem; text-align: center; }
    .frame.broken img { display: none; }
    .broken::after { content: "This picture could not be loaded."; color: var(--soft); }
    figcaption { display: contents; font-size: .875rem; line-height: 1.35; }
    .key {
      grid-area: 2 / 1; padding: .45rem .15rem 0; color: var(--soft); font-size: .8125rem;
      overflow: hidden; white-space: nowrap; text-overflow: ellipsis; min-width: 0;
    }
    .score {
      grid-area: 2 / 2; padding: .45rem .15rem 0 .6rem; color: var(--soft); font-size: .8125rem;
      font-variant-numeric: tabular-nums;
    }
    .like { grid-area: 3 / 1 / 4 / 3; justify-self: start; padding: .2rem .15rem; font-size: .8125rem; }
    /* With a mouse or a keyboard, score and link wait on the picture until it is pointed at. */
    @media (hover: hover) {
      .key { grid-column: 1 / 3; }
      .score, .like {
        grid-area: 1 / 1; align-self: end; z-index: 1; margin: .6rem; padding: .25rem .7rem;
        color: #fff; background: rgb(20 16 12 / .82); border-radius: 999px; text-decoration: none;
        opacity: 0; transition: opacity .15s, background-color .15s;
      }
      .score { grid-column: 2; justify-self: end; pointer-events: none; }
      figure:hover .score, figure:hover .like, figure:focus-within .score,
      figure:focus-within .like { opacity: 1; }
      .like:hover, .like:focus-visible { background: #96330a; }
      .like:focus-visible { outline-color: #fff; outline-offset: -4px; border-radius: 999px; }
    }
    .pages {
      display: flex; flex-wrap: wrap; justify-content: center; gap: .8rem; margin-top: 2.4rem;
    }

    /* One picture, large */
    [data-view=picture] main { flex: 1; display: flex; flex-direction: column; }
    .picture { flex: 1; display: flex; flex-direction: column; }
    .stage {
      position: relative; height: min(72vh, 72svh); min-height: 15rem; background: #12100e;
      display: grid; place-items: center; overflow: hidden; color: #f3eee8;
    }
    .stage img {
      position: absolute; inset: 0; width: 100%; height: 100%; object-fit: contain;
      overflow-wrap: anywhere;
    }
    .stage .broken::after { color: #f3eee8; }
    .step {
      position: absolute; z-index: 1; top: 50%; translate: 0 -50%; display: grid;
      place-items: center; width: 3rem; height: 3rem; font-size: 2rem; line-height: 1; color: #fff;
      background: rgb(20 16 12 / .72); border-radius: 50%; text-decoration: none;
      padding-bottom: .3rem; transition: background-color .15s;
    }
    .step:hover { background: #96330a; }
    .step:focus-visible { outline-color: #fff; outline-offset: 2px; border-radius: 50%; }
    .step[rel=prev] { left: .8rem; }
    .step[rel=next] { right: .8rem; }
    .about { padding: 1.4rem var(--side) 2rem; display: grid; gap: 1rem; align-content: start; }
    .about h1 { font-size: 1.25rem; letter-spacing: -.01em; overflow-wrap: anywhere; }
    .about dl { display: flex; flex-wrap: wrap; gap: .6rem 2rem; margin: 0; }
    .about dt { color: var(--soft); font-size: .8125rem; }
    .about dd { margin: 0; font-variant-numeric: tabular-nums; }
    .actions { display: flex; flex-wrap: wrap; gap: .7rem; align-items: center; }
    .actions .back { padding: .5rem; }
    @media (min-width: 60rem) and (min-height: 30rem) {
      .picture { display: grid; grid-template-columns: minmax(0, 1fr) clamp(18rem, 24vw, 26rem); }
      .stage { height: auto; }
      .about { padding: 2rem clamp(1.2rem, 2vw, 2.4rem); gap: 1.4rem; }
      .about .actions { flex-direction: column; align-items: stretch; text-align: center; }
    }

    /* Said instead of shown */
    .message { max-width: 42rem; margin: clamp(1.5rem, 9vh, 7rem) auto; text-align: center; }
    .message h1 { font-size: clamp(1.5rem, 1.2rem + 1.2vw, 2.3rem); margin-bottom: .7rem; }
    .message p { color: var(--soft); }
    .message .examples, .message .actions { justify-content: center; margin-top: 1.4rem; }
    .message code {
      display: inline-block; margin-top: 1rem; padding: .5rem 1.1rem; color: var(--ink);
      background: var(--hollow); border-radius: .5rem;
      font: .95em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace;
    }
    .detail {
      margin-top: 1.8rem; padding: .9rem 1.2rem; text-align: left; background: var(--raised);
      border: 1px solid var(--line); border-left: .25rem solid var(--accent); border-radius: .6rem;
      overflow-wrap: anywhere;
    }
    .message .detail p + p { margin-top: .2rem; color: var(--ink); }

    footer {
      padding: 1.2rem var(--side); color: var(--soft); font-size: .875rem; text-align: center;
    }

    @media (max-width: 40rem) {
      .search button { padding-inline: 1rem; }
      .upload summary { width: 2.6rem; height: 2.6rem; }
      .ask { gap: .2rem; }
      :not([data-view=home]) > body .masthead { padding-block: .6rem; gap: .6rem; }
      :not([data-view=home]) > body .brand span {
        position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
      }
      .grid { grid-template-columns: repeat(2, minmax(0, 1fr)); }
      .frame { border-radius: .6rem; }
      .refine, .refine form { width: 100%; }
      .stage { height: min(62vh, 62svh); }
    }
    @media (max-width: 40rem) and (min-height: 30rem) {
      [data-view=home] .brand { left: 0; right: 0; justify-content: center; }
    }
    @media (max-height: 24rem) {
      [data-view=home] .brand { position: static; }
      :not([data-view=home]) > body .masthead { position: static; }
    }
    @media (prefers-reduced-motion: reduce) {
      *, *::before, *::after { transition: none !important; animation-duration: 2.5s !important; }
      figure:hover a.frame img, a.frame:focus-visible img { scale: none; }
    }
    @media (prefers-reduced-motion: no-preference) {
      .found, .message, .about { animation: rise .3s ease-out; }
      @keyframes rise { from { opacity: 0; translate: 0 .5rem; } }
    }

    """
