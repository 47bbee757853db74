// Enqueues by each driver in each way: the idempotency key is the name of the way. What a driver or Postgres refuses is printed.
import { drizzle } from 'drizzle-orm/node-postgres';
import { sql as drizzled } from 'drizzle-orm';
import createKnex from 'knex';
import pg from 'pg';
import postgres from 'postgres';
import { Sequelize } from 'sequelize';
import { DataSource } from 'typeorm';

const url = process.env.DATABASE_URL;
const odd = '{ "b":1,\t"a" : 2}';
const value = { b: 1, a: 2 };
const tenant = '0192f0c1-0000-7000-8000-000000000017';

async function tried(name, call) {
  try {
    await call(name);
  } catch (error) {
    console.log(name, 'is refused:', (error.cause ?? error).message);
  }
}

const pool = new pg.Pool({ connectionString: url });
const untyped = 'SELECT outhook.enqueue($1, $2, $3, $4)';
const text = 'SELECT outhook.enqueue($1, $2, $3::text, $4)';
const withPg = (name, statement, id, payload) => tried(`pg ${name}`, (key) => pool.query(statement, [id, 'a.b', payload, key]));
await withPg('untyped', untyped, 'acme', odd);
await withPg('text', text, 'acme', odd);
await withPg('number', untyped, 17, odd);
await withPg('bigint', 'SELECT outhook.enqueue($1::bigint, $2, $3, $4)', 17n, odd);
await withPg('uuid', untyped, tenant, odd);
await withPg('uuid::uuid', 'SELECT outhook.enqueue($1::uuid, $2, $3, $4)', tenant, odd);
await withPg('object', untyped, 'acme', value);
await withPg('empty list', untyped, 'acme', []);
await withPg('list', untyped, 'acme', [1]);
await withPg('text::jsonb', 'SELECT outhook.enqueue($1, $2, $3::jsonb, $4)', 'acme', odd);

const sql = postgres(url);
for (const [name, id, payload] of [
  ['untyped', 'acme', sql`${odd}`], ['text', 'acme', sql`${odd}::text`], ['number', 17, sql`${odd}::text`], ['bigint', 17n, sql`${odd}::text`],
  ['sql.json', 'acme', sql`${sql.json(value)}`], ['value::jsonb', 'acme', sql`${value}::jsonb`],
  ['text::json', 'acme', sql`${odd}::json`], ['text::jsonb', 'acme', sql`${odd}::jsonb`],
]) {
  await tried(`postgres.js ${name}`, (key) => sql`SELECT outhook.enqueue(${id}, ${'a.b'}, ${payload}, ${key})`);
}
await tried('postgres.js undefined', (key) => sql`SELECT outhook.enqueue(${'acme'}, ${'a.b'}, ${odd}, ${key}, ${undefined})`);
await sql.end();

const knex = createKnex({ client: 'pg', connection: url });
const marks = 'SELECT outhook.enqueue(?, ?, ?, ?)';
await tried('knex text', (key) => knex.raw('SELECT outhook.enqueue(?, ?, ?::text, ?)', ['acme', 'a.b', odd, key]));
await tried('knex named', (key) => knex.raw('SELECT outhook.enqueue(:t, :y, :p::text, :k)', { t: 'acme', y: 'a.b', p: odd, k: key }));
await tried('knex empty list', (key) => knex.raw(marks, ['acme', 'a.b', [], key]));
await tried('knex bound ?', (key) => knex.raw(marks, ['acme', 'a.b', '{"q": "why?"}', key]));
await tried('knex undefined', () => knex.raw(marks, ['acme', 'a.b', odd, undefined]));
await tried('knex written ?', () => knex.raw(`SELECT outhook.enqueue('acme', 'a.b', '{"q": "why?"}', 'knex written ' || chr(63))`));
await knex.destroy();

const sequelize = new Sequelize(url, { logging: false });
await tried('sequelize bind', (key) => sequelize.query(text, { bind: ['acme', 'a.b', odd, key] }));
await tried('sequelize empty list', (key) => sequelize.query(untyped, { bind: ['acme', 'a.b', [], key] }));
await tried('sequelize replacements', (key) => sequelize.query('SELECT outhook.enqueue(:t, :y, :p::text, :k)',
  { replacements: { t: 'acme', y: 'a.b', p: odd, k: key } }));
await sequelize.close();

const source = await new DataSource({ type: 'postgres', url }).initialize();
await tried('typeorm text', (key) => source.query(text, ['acme', 'a.b', odd, key]));
await tried('typeorm empty list', (key) => source.query(untyped, ['acme', 'a.b', [], key]));
await source.destroy();

const db = drizzle(pool);
await tried('drizzle text', (key) => db.execute(drizzled`SELECT outhook.enqueue(${'acme'}, ${'a.b'}, ${odd}::text, ${key})`));
await tried('drizzle list', (key) => db.execute(drizzled`SELECT outhook.enqueue(${'acme'}, ${'a.b'}, ${[]}, ${key})`));
await pool.end();
