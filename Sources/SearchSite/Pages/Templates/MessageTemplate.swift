/// A fragment that says something instead of showing pictures: a hint, an empty table, an error.
let messageTemplate = """
    <section class="message{{#isError}} error{{/isError}}" data-title="{{title}}" \
    data-status="{{heading}}" data-query="{{query}}">
    <h1>{{heading}}</h1>
    <p>{{message}}</p>
    {{#command}}
    <p><code>{{command}}</code></p>
    {{/command}}
    {{#link}}
    <p class="actions"><a class="button" href="{{address}}">{{label}}</a></p>
    {{/link}}
    {{#hasExamples}}
    {{>examples}}
    {{/hasExamples}}
    {{#operatorDetail}}
    <div class="detail"><p>For whoever runs this site:</p><p dir="auto">{{operatorDetail}}</p></div>
    {{/operatorDetail}}
    </section>

    """
