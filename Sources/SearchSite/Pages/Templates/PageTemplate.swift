/// A whole page. `view` is `home`, `results` or `picture`; the style sheet and the script go by it.
/// `content` is HTML made by another template.
let pageTemplate = """
    <!doctype html>
    <html lang="en" data-view="{{view}}">
    <head>
    <meta charset="utf-8">
    <title>{{title}}</title>
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <meta name="theme-color" media="(prefers-color-scheme: light)" content="#faf8f5">
    <meta name="theme-color" media="(prefers-color-scheme: dark)" content="#161412">
    <meta name="description" content="{{description}}">
    <meta property="og:type" content="website">
    <meta property="og:site_name" content="{{siteName}}">
    <meta property="og:title" content="{{title}}">
    <meta property="og:description" content="{{description}}">
    <link rel="icon" type="image/svg+xml" href="{{iconAddress}}">
    <link rel="stylesheet" href="{{styleAddress}}">
    <script type="module" src="{{scriptAddress}}"></script>
    </head>
    <body>
    <a class="skip" href="#results">Skip to the results</a>
    <header class="masthead">
    <a class="brand" href="/">{{>icon}}<span>{{siteName}}</span></a>
    <div class="hero">
    <h1>Find pictures by what they&nbsp;show</h1>
    <p>Describe a thing, a scene or a mood in your own words, or show a picture like&nbsp;it.</p>
    </div>
    <div class="ask">
    <form class="search" role="search" action="/search" method="get">
    <label class="unseen" for="query">Describe a picture</label>
    <input id="query" name="q" type="search" value="{{query}}" placeholder="Describe a picture" \
    dir="auto" autocomplete="off" autocapitalize="none" enterkeyhint="search" \
    maxlength="1000"{{#autofocus}} autofocus{{/autofocus}}>
    <button type="submit"><span>Search</span></button>
    </form>
    <details class="upload">
    <summary title="Search with a picture">{{>camera}}<span class="unseen">Search with a \
    picture</span></summary>
    <form action="/search" method="post" enctype="multipart/form-data">
    <label for="picture">Find pictures that look like yours</label>
    <input id="picture" name="picture" type="file" accept="image/*" required>
    <button type="submit">Search with this picture</button>
    <p class="aside">You can also drop a picture onto this page, or paste one. It is compared and \
    forgotten, not kept.</p>
    </form>
    </details>
    </div>
    {{>examples}}
    </header>
    <main id="results" tabindex="-1">
    {{{content}}}
    </main>
    <p id="status" class="unseen" role="status"></p>
    <footer><p>Pictures and words are compared by CLIP. File names and tags play no part.</p></footer>
    <template id="unreachable">{{{unreachable}}}</template>
    <div id="drop" aria-hidden="true"><p>Drop the picture to search with it</p></div>
    </body>
    </html>

    """
