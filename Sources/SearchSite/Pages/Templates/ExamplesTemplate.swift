/// Texts to try, as links that the script turns into searches.
let examplesTemplate = """
    <p class="examples"><span>Try</span>
    {{#examples}}
    <a href="{{address}}" data-query="{{text}}">{{text}}</a>
    {{/examples}}
    </p>

    """
