/// What a search found, as a fragment: the page holds it, and the script puts it there.
///
/// `data-title`, `data-status` and `data-query` are for the script: the document's new title, what a
/// screen reader says, and what belongs into the search box. Addresses that begin with `?` keep the
/// page's path, which for an uploaded picture is long.
let resultsTemplate = """
    <section class="found" data-title="{{title}}" data-status="{{status}}" data-query="{{query}}">
    <div class="heading">
    {{#reference}}
    <img class="reference" src="{{.}}" alt="" width="56" height="56" decoding="async">
    {{/reference}}
    <h1><span class="unseen">Pictures for </span>{{#isText}}<q dir="auto">{{subject}}</q>{{/isText}}\
    {{^isText}}<span dir="auto">{{subject}}</span>{{/isText}}</h1>
    <p>{{count}}</p>
    </div>
    <div class="refine">
    {{#hasTerms}}
    <ul class="terms" aria-label="Also asked for">
    {{#terms}}
    <li><a href="{{address}}" title="Leave this out again"><span class="sign">{{sign}}</span>\
    <bdi>{{text}}</bdi><span class="cross" aria-hidden="true">×</span>\
    <span class="unseen">: leave this out again</span></a></li>
    {{/terms}}
    </ul>
    {{/hasTerms}}
    <form method="get" action="{{path}}">
    {{#hidden}}
    <input type="hidden" name="{{name}}" value="{{value}}">
    {{/hidden}}
    <label class="unseen" for="add">Further words</label>
    <input id="add" name="add" dir="auto" autocomplete="off" autocapitalize="none" \
    placeholder="further words" maxlength="1000" required>
    <button name="sign" value="more" title="Pictures that show this as well">More<span \
    class="unseen"> of this</span></button>
    <button name="sign" value="less" title="Pictures that do not show this">Less<span \
    class="unseen"> of this</span></button>
    </form>
    </div>
    {{#isTruncated}}
    <p class="note">Your text is longer than the 77 tokens that CLIP reads. \
    Only its beginning was searched for.</p>
    {{/isTruncated}}
    <ol class="grid" start="{{first}}">
    {{#hits}}
    {{>hit}}
    {{/hits}}
    </ol>
    {{#hasPages}}
    <nav class="pages" aria-label="More pictures">
    {{#back}}<a class="button quiet" rel="prev" href="{{.}}">Nearer pictures</a>{{/back}}
    {{#more}}<a class="button more" rel="next" href="{{address}}" data-part="{{part}}">More \
    pictures</a>{{/more}}
    </nav>
    {{/hasPages}}
    </section>

    """

/// One picture of a search.
let hitTemplate = """
    <li id="n{{rank}}"><figure>
    {{#thumbnail}}
    <a class="frame" href="{{view}}"><img src="{{thumbnail}}" alt="Picture {{rank}}: {{key}}" \
    width="480" height="480" decoding="async"{{#isFarDown}} loading="lazy"{{/isFarDown}}></a>
    {{/thumbnail}}
    {{^thumbnail}}
    <div class="frame broken"></div>
    {{/thumbnail}}
    <figcaption>
    <bdi class="key" title="{{key}}">{{key}}</bdi>
    <span class="score" title="Cosine similarity, -1 to 1"><span class="unseen">Similarity \
    </span>{{score}}</span>
    <a class="like" href="{{like}}">More like this<span class="unseen">: {{key}}</span></a>
    </figcaption>
    </figure></li>

    """
