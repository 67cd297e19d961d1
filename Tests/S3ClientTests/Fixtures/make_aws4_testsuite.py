"""Writes aws4-testsuite.json from AWS's Signature Version 4 test suite.

The suite is Copyright Amazon.com, Inc. or its affiliates, under the Apache License 2.0; botocore
carries it in tests/unit/auth/aws4_testsuite. Run it in this directory with that folder's path:
python3 make_aws4_testsuite.py FOLDER

Left out is what S3's rules forbid: its paths are never normalised (normalize-path), and a query
in a request line is taken apart here as S3 would, so one that holds bare spaces cannot be.
"""

import json
import os
import re
import sys
import urllib.parse

cases = []
for folder, _, files in sorted(os.walk(sys.argv[1])):
    name = os.path.basename(folder)
    if "normalize-path" in folder or f"{name}.req" not in files:
        continue

    def read(kind):
        with open(os.path.join(folder, f"{name}.{kind}"), encoding="utf-8", newline="") as file:
            return file.read().replace("\r\n", "\n")

    head, _, body = read("req").partition("\n\n")
    lines = head.split("\n")
    method, rest = lines[0].split(" ", 1)
    target, _, _ = rest.rpartition(" ")
    path, _, query = target.partition("?")
    if " " in query:
        continue
    headers = []
    for line in lines[1:]:
        if line[:1] in " \t":
            headers[-1][1] += "\n" + line
        else:
            key, _, value = line.partition(":")
            headers.append([key, value])
    # The one case whose session token is a setting rather than in the request.
    token = re.search(r"^x-amz-security-token:(.*)$", read("creq"), re.MULTILINE)
    if token and not any(key.lower() == "x-amz-security-token" for key, _ in headers):
        headers.append(["X-Amz-Security-Token", token[1]])
    cases.append(
        {
            "name": name, "method": method, "path": path,
            "query": urllib.parse.parse_qsl(query, keep_blank_values=True),
            "headers": headers, "body": body,
            "canonicalRequest": read("creq"), "stringToSign": read("sts"),
            "authorization": read("authz"),
        }
    )

with open("aws4-testsuite.json", "w") as file:
    json.dump(cases, file, indent=0)
    file.write("\n")
