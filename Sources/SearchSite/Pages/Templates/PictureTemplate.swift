/// One picture, large, with what is known of it.
let pictureTemplate = """
    <section class="picture" data-view="picture" data-title="{{title}}" data-status="{{status}}" \
    data-query="{{query}}">
    <div class="stage">
    {{#source}}
    <img src="{{.}}" alt="Picture: {{key}}" decoding="async">
    {{/source}}
    {{^source}}
    <p class="broken"></p>
    {{/source}}
    {{#previous}}<a class="step" rel="prev" href="{{.}}" title="The nearer picture (left arrow)">\
    <span aria-hidden="true">‹</span><span class="unseen">The nearer picture</span></a>{{/previous}}
    {{#next}}<a class="step" rel="next" href="{{.}}" title="The next picture (right arrow)">\
    <span aria-hidden="true">›</span><span class="unseen">The next picture</span></a>{{/next}}
    </div>
    <div class="about">
    <h1><bdi>{{key}}</bdi></h1>
    <dl>
    {{#place}}<div><dt>Place</dt><dd>{{.}}</dd></div>{{/place}}
    {{#score}}<div><dt>Similarity</dt><dd>{{.}}</dd></div>{{/score}}
    {{#size}}<div><dt>Size</dt><dd>{{.}}</dd></div>{{/size}}
    <div class="pixels" hidden><dt>Pixels</dt><dd></dd></div>
    </dl>
    <p class="actions">
    <a class="button" href="{{like}}">More like this</a>
    {{#download}}<a class="button quiet" href="{{.}}" download>Download</a>{{/download}}
    {{#original}}<a class="button quiet" href="{{.}}">Open the original</a>{{/original}}
    <a class="back" href="{{back}}">{{backLabel}}</a>
    </p>
    </div>
    </section>

    """
