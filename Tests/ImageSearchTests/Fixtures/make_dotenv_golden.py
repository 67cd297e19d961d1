#!/usr/bin/env python3
"""Write dotenv-golden.json: what python-dotenv reads from .env files of every shape.

    pip install python-dotenv==1.2.2
    python make_dotenv_golden.py
"""
import io, json, logging, os, pathlib, random

from dotenv import dotenv_values
from dotenv.main import DotEnv

CASES = [
    "", "A=1", "A=1\n", "A=1\r\nB=2\r\n", "A=1\rB=2", "  A = 1  ", "export A=1", "export\tA=1",
    "exportA=1", "export A", "A", "A=", "A=\nB=2", "# comment\nA=1", "A=1 # comment", "A=1# no comment",
    "A=#x", "A= #x", "A='single # quoted'", 'A="double # quoted"', 'A="x" # comment', "A='x' y\nB=2",
    'A="unterminated\nB=2', "A='unterminated\nB=2", 'A="two\nlines"\nB=2', "A='two\nlines'",
    r'A="tab\tnew\nline\\ \" \q \a\b\f\r\v"', r"A='it\'s \\ \n raw'", r"A=plain\nback\\slash",
    "'quoted key'=1", "'A=1", "=1\nB=2", "A=1=2=3", "A==1", "A B=1\nC=2", "A=a b c", "A=a\tb",
    "A=1\nA=2", "A=1\nB=${A}", "A=1\nB=${A}2${A}", "B=${A}", "B=${A:-fallback}", "B=${A:-}", "B=${:-x}",
    "A=1\nB=${A:-fallback}", "B=${A:x}", "B=$A", "B=${A", "B=$", "B='${A}'\nC=\"${A}\"", "HOST=h\nU=postgres://u:p@${HOST}/db",
    "FROM_ENV=file\nB=${FROM_ENV}", "B=${FROM_ENV}", "A=é ü 日本\nB=🚀", "A=1\n\n\n  \nB=2", "\ufeffA=1", "A=1\x0bB=2",
    "PG_SERVICE_URI=postgres://avnadmin:p%40ss@host:20184/defaultdb?sslmode=require",
    'PG_SERVICE_URI="postgres://u:p#w@h/db"', "PG_SERVICE_URI=postgres://u:p#w@h/db", "A=x #", "A=x#", "A=# ", "A='' B", "A=\"\"",
    "A='a' # c\nB=\"b\"# c", "A = 'x'", "A\t=\tx", "A:1", "A: 1\nB=2", "A.B-C=1", "1A=2", "A=${B:-${C}}",
]

logging.disable()
random.seed(11)
PIECES = ["A", "B", "=", " ", "'", '"', "#", "\n", "\r\n", "\\", "\\n", "x", "y z", "export ", "${A}", "${B:-d}", "\t", "$", "{", "}", "é"]
CASES += ["".join(random.choice(PIECES) for _ in range(random.randint(1, 14))) for _ in range(1500)]

environment = {"FROM_ENV": "real", "C": "see"}
os.environ.clear()
os.environ.update(environment)
rows = []
for text in CASES:
    values = DotEnv(None, stream=io.StringIO(text), interpolate=True, override=False).dict()
    rows.append({"text": text, "values": {k: v for k, v in values.items() if v is not None}})
out = pathlib.Path(__file__).with_name("dotenv-golden.json")
out.write_text(json.dumps({"environment": environment, "cases": rows}, ensure_ascii=True, separators=(",", ":")) + "\n")
print(len(rows), "cases,", out.stat().st_size, "bytes")
