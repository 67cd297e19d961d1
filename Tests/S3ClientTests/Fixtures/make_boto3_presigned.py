"""Writes boto3-presigned.json: URLs that boto3 presigns and headers that it signs.

Needs boto3 (made with 1.44.5). Everything is seeded and the clock stands still, so the output is
the same each time. Run it in this directory: python3 make_boto3_presigned.py
"""

import datetime
import json
import random
import urllib.parse

import botocore.auth
import boto3
from botocore.config import Config

NOW = datetime.datetime(2026, 2, 28, 23, 59, 7, tzinfo=datetime.timezone.utc)
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
TOKEN = "FwoGZXIvYXdzE//////////wEaD+token/with=all+of&it=="

botocore.auth.get_current_datetime = lambda remove_tzinfo=True: (
    NOW.replace(tzinfo=None) if remove_tzinfo else NOW
)


def keys():
    fixed = [
        "test.txt", "a b", "a+b", "a%b", "a%20b", "%", "%%41", "a//b", "/a", "//a", "a/", "a//",
        "/", "//", ".", "..", "./a", "../a", "a/./b", "a/../b", "a/..", "a/.", "...", "a?b", "a#b",
        "a&b=c", "a=b", "~a~", "~/a", "'", '"', "`", "a\\b", "<>", "{}", "[x]", "^|", "a;b", "a:b",
        "a@b", "a,b", "a!b", "a*b", "(1)", "$x", "-._~", "\t", "\n", "\r", "\r\n", "\x01", "\x1f",
        "\x7f", "\x80", "\u200b", "\ufeff", "é", "e\u0301", "日本語/写真.jpg", "Ελλάδα.png",
        "العربية.jpg", "😀.png", "👨\u200d👩\u200d👧/a.jpg", "\U0010fffd", "\ufffd", "a" * 1024,
        "é" * 512, "😀" * 256, "/" * 1024, " " * 1024, " lead", "trail ", "http://x/y?z",
        "X-Amz-Signature=1", "photos/2024/IMG 0001 (1).JPG",
    ]
    fixed += ["x" + chr(code) + "y" for code in range(1, 127)]
    random.seed(2)
    alphabet = "abcXYZ019 +%/.?#&=~'\"!*()éñ漢字😀\t\\-_:;@$,"
    fixed += [
        "".join(random.choice(alphabet) for _ in range(random.randint(1, 40))) for _ in range(200)
    ]
    return list(dict.fromkeys(fixed))


def client(case):
    return boto3.client(
        "s3",
        region_name=case["region"],
        endpoint_url=case["endpoint"] or None,
        aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
        aws_secret_access_key=SECRET,
        aws_session_token=TOKEN if case["token"] else None,
        config=Config(
            signature_version="s3v4",
            # Without it boto3 presigns for AWS's old global host, which redirects elsewhere.
            s3={
                "us_east_1_regional_endpoint": "regional",
                "addressing_style": case["style"],
            },
        ),
    )


def presign(case, key):
    return client_of_case.generate_presigned_url(
        "get_object", Params={"Bucket": case["bucket"], "Key": key}, ExpiresIn=case["expires"]
    )


def case(endpoint, region, bucket, style="auto", token=False, expires=3600):
    return {
        "endpoint": endpoint, "region": region, "bucket": bucket, "style": style, "token": token,
        "expires": expires,
    }


everything = keys()
few = ["test.txt", "/a//b/../c d+%é😀?#&="]
cases = [
    (case("https://s3.gra.io.cloud.ovh.net", "gra", "examplebucket"), everything),
    (case("", "eu-west-3", "examplebucket", "virtual"), everything),
    (case("", "us-east-1", "examplebucket", "virtual", token=True), few),
    (case("", "us-east-1", "ab", "path"), few),
    (case("", "eu-west-3", "dotted.name", "path"), few),
    (case("", "eu-west-3", "under_score", "path"), few),
    (case("", "cn-north-1", "examplebucket", "virtual"), few),
    (case("", "us-gov-west-1", "examplebucket", "virtual"), few),
    (case("", "eusc-de-east-1", "examplebucket", "virtual"), few),
    (case("", "us-iso-east-1", "examplebucket", "virtual"), few),
    (case("https://s3.eu-west-3.amazonaws.com", "eu-west-3", "examplebucket"), few),
    (case("https://S3.GRA.io.cloud.ovh.net:443/", "gra", "examplebucket"), few),
    (case("http://127.0.0.1:9000", "us-east-1", "examplebucket", expires=1), few),
    (case("http://localhost:80", "us-east-1", "a.b", expires=604800), few),
    (case("http://[::1]:9000/pre/fix/", "us-east-1", "examplebucket"), few),
    (case("https://[2001:db8::1]", "us-east-1", "examplebucket"), few),
    (case("https://acc.r2.cloudflarestorage.com", "auto", "Upper_case", token=True), few),
    (case("https://s3.gra.io.cloud.ovh.net", "gra", "examplebucket", "virtual"), few),
]
presigned = []
for one, names in cases:
    client_of_case = client(one)
    entries = []
    for name in names:
        url = presign(one, name)
        # Only what differs: the rest of the query is the same for all keys of a case.
        start, _, signature = url.rpartition("&X-Amz-Signature=")
        address, _, query = start.partition("?")
        one["query"] = query
        entries.append([name, address, signature])
    presigned.append(one | {"entries": entries})

# What boto3 sends with a listing.
listed = []
for one, _ in [cases[0], cases[2], cases[14]]:
    caught = []
    c = client(one)
    c.meta.events.register(
        "before-send.s3.*", lambda request, **_: caught.append(request) or _stop()
    )


    class Stop(Exception):
        pass


    def _stop():
        raise Stop

    for arguments in (
        {}, {"Prefix": "a b/+é"}, {"ContinuationToken": "1/x+y=="}, {"StartAfter": "a&b"},
    ):
        try:
            c.list_objects_v2(Bucket=one["bucket"], MaxKeys=1000, **arguments)
        except Stop:
            pass
        request = caught[-1]
        parts = urllib.parse.urlsplit(request.url)
        headers = {
            name.lower(): value.decode() if isinstance(value, bytes) else value
            for name, value in request.headers.items()
        }
        listed.append(
            one | {
                "path": parts.path,
                "query": urllib.parse.parse_qsl(parts.query, keep_blank_values=True),
                "authorization": headers["authorization"],
            }
        )

with open("boto3-presigned.json", "w") as file:
    json.dump(
        {"now": int(NOW.timestamp()), "secret": SECRET, "token": TOKEN, "presigned": presigned,
         "listed": listed},
        file, ensure_ascii=True, indent=0, separators=(",", ":"),
    )
    file.write("\n")
