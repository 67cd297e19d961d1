/// The site's mark: a picture seen through a lens.
let iconTemplate = """
    <svg viewBox="0 0 32 32" width="32" height="32" aria-hidden="true" focusable="false">
    <rect width="32" height="32" rx="8" fill="#b8400e"/>
    <circle cx="14" cy="14" r="7.5" fill="none" stroke="#fff" stroke-width="2.5"/>
    <path d="M19.8 19.8 25.5 25.5" stroke="#fff" stroke-width="3" stroke-linecap="round"/>
    <path d="m9.2 17.2 3.2-4 2.3 2.6 1.4-1.6 2.7 3" fill="none" stroke="#fff" stroke-width="1.7" \
    stroke-linejoin="round" stroke-linecap="round"/>
    </svg>

    """

/// Beside the search box: a search with a picture.
let cameraTemplate = """
    <svg viewBox="0 0 24 24" width="24" height="24" fill="none" stroke="currentColor" \
    stroke-width="1.8" stroke-linejoin="round" stroke-linecap="round" aria-hidden="true" \
    focusable="false">
    <path d="M4 7.5h3.4L9 5h6l1.6 2.5H20a1 1 0 0 1 1 1V18a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1V8.5a1 1 0 \
    0 1 1-1Z"/>
    <circle cx="12" cy="13" r="3.6"/>
    </svg>
    """
