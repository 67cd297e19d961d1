/// Texts to try.
let examplesTemplate = """
    <p class="examples"><span>Try</span>
    {{#examples}}
    <a href="{{address}}">{{text}}</a>
    {{/examples}}
    </p>

    """
