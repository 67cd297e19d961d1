"""What schemathesis may send; loaded by test_server.py.

The HTTP server's parser refuses a request whose head exceeds 16 KiB with an empty 400, before any of the
site's code sees it. Parameters that are all as long as each may be, in characters of four bytes, exceed that.
"""

import urllib.parse

import schemathesis


@schemathesis.hook
def filter_query(context, query):
    return len(urllib.parse.urlencode(query or {}, doseq=True)) < 15_000
