/// What a search found, as a fragment: the page holds it, and the script puts it there.
///
/// `data-title` and `data-status` are for the script: the document's new title, and what a screen
/// reader says.
let resultsTemplate = """
    <section class="found" data-title="{{title}}" data-status="{{status}}">
    <div class="heading">
    <h1><span class="unseen">Pictures for </span><q dir="auto">{{query}}</q></h1>
    <p>{{count}}</p>
    </div>
    {{#isTruncated}}
    <p class="note">Your text is longer than the 77 tokens that CLIP reads. \
    Only its beginning was searched for.</p>
    {{/isTruncated}}
    <ol class="grid">
    {{#hits}}
    <li><figure>
    {{#address}}
    <a class="frame" href="{{address}}"><img src="{{address}}" alt="Picture {{rank}}: {{key}}" \
    decoding="async"{{#isFarDown}} loading="lazy"{{/isFarDown}}></a>
    {{/address}}
    {{^address}}
    <div class="frame broken"></div>
    {{/address}}
    <figcaption>
    <span class="rank" aria-hidden="true">{{rank}}</span>
    <bdi class="key" title="{{key}}">{{key}}</bdi>
    <span class="score" title="Cosine similarity of text and picture">\
    <span class="unseen">Similarity </span>{{score}}</span>
    </figcaption>
    </figure></li>
    {{/hits}}
    </ol>
    </section>

    """
