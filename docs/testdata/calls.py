"""Enqueues by each driver in each way: the idempotency key is the name of the way. What a driver or Postgres refuses is printed."""
import asyncio, json, os, uuid

import asyncpg, psycopg, psycopg2, psycopg2.extras, sqlalchemy
from psycopg.types.json import Jsonb
from sqlalchemy.dialects.postgresql import JSONB

URL = os.environ["DATABASE_URL"]
ODD = '{ "b":1,\t"a" : 2}'
VALUE = {"b": 1, "a": 2}
TENANT = uuid.UUID("0192f0c1-0000-7000-8000-000000000017")


def tried(name, call):
    try:
        call()
    except Exception as error:
        print(name, "is refused:", str(error).split("\n")[0])


def with_psycopg(name, tenant, payload, cast=""):
    def call():
        with psycopg.connect(URL) as conn:
            conn.execute(f"SELECT outhook.enqueue(%s, %s, %s{cast}, %s)", (tenant, "a.b", payload, "psycopg " + name))
    tried("psycopg " + name, call)


def with_psycopg2(name, tenant, payload, cast=""):
    def call():
        conn = psycopg2.connect(URL)
        with conn, conn.cursor() as cursor:
            cursor.execute(f"SELECT outhook.enqueue(%s, %s, %s{cast}, %s)", (tenant, "a.b", payload, "psycopg2 " + name))
    tried("psycopg2 " + name, call)


for driver in with_psycopg, with_psycopg2:
    driver("untyped", "acme", ODD)
    driver("text", "acme", ODD, "::text")
    driver("int", 17, ODD)
    driver("uuid", TENANT, ODD)
    driver("text::jsonb", "acme", ODD, "::jsonb")
    driver("empty list", "acme", [])
    driver("empty list::text", "acme", [], "::text")
    driver("list", "acme", [1])
    driver("object", "acme", VALUE)
with_psycopg("Jsonb value", "acme", Jsonb(VALUE))
with_psycopg("Jsonb text", "acme", Jsonb(ODD))
with_psycopg2("Json value", "acme", psycopg2.extras.Json(VALUE))
psycopg2.extras.register_uuid()
with_psycopg2("registered uuid", TENANT, ODD)


async def with_asyncpg():
    conn = await asyncpg.connect(URL)

    async def call(name, sql, tenant, payload):
        try:
            await conn.execute(sql, tenant, "a.b", payload, "asyncpg " + name)
        except Exception as error:
            print("asyncpg", name, "is refused:", error)

    untyped = "SELECT outhook.enqueue($1, $2, $3, $4)"
    await call("text", untyped, "acme", ODD)
    await call("int", untyped, 17, ODD)
    await call("list", untyped, "acme", [])
    await call("object", untyped, "acme", VALUE)
    await call("bigint", "SELECT outhook.enqueue($1::bigint, $2, $3, $4)", 17, ODD)
    await call("uuid", "SELECT outhook.enqueue($1::uuid, $2, $3, $4)", TENANT, ODD)
    as_jsonb = "SELECT outhook.enqueue($1, $2, $3::jsonb, $4)"
    await call("text::jsonb", as_jsonb, "acme", ODD)
    await conn.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")
    await call("codec text", untyped, "acme", ODD)
    await call("codec value", as_jsonb, "acme", VALUE)
    await call("codec text::jsonb", as_jsonb, "acme", ODD)
    await conn.close()


asyncio.run(with_asyncpg())

engine = sqlalchemy.create_engine(URL.replace("postgres://", "postgresql://", 1))


def with_sqlalchemy(name, statement, **values):
    def call():
        with engine.begin() as conn:
            conn.execute(statement, {"key": "sqlalchemy " + name, **values})
    tried("sqlalchemy " + name, call)


def enqueue(payload):
    return sqlalchemy.text(f"SELECT outhook.enqueue(:tenant, 'a.b', {payload}, :key)")


with_sqlalchemy("text", enqueue("CAST(:payload AS text)"), tenant="acme", payload=ODD)
with_sqlalchemy("int", enqueue("CAST(:payload AS text)"), tenant=17, payload=ODD)
with_sqlalchemy("colons", enqueue(":payload::text"), tenant="acme", payload=ODD)
typed = enqueue("CAST(:payload AS jsonb)").bindparams(sqlalchemy.bindparam("payload", type_=JSONB))
with_sqlalchemy("JSONB value", typed, tenant="acme", payload=VALUE)
with_sqlalchemy("JSONB text", typed, tenant="acme", payload=ODD)
with_sqlalchemy("function", sqlalchemy.select(sqlalchemy.func.outhook.enqueue("acme", "a.b", ODD, "sqlalchemy function")))
