# Enqueues by each driver in each way: the idempotency key is the name of the way. What a driver or Postgres refuses is printed.
require "active_record"
require "pg"

URL = ENV.fetch("DATABASE_URL")
ODD = "{ \"b\":1,\t\"a\" : 2}".freeze
VALUE = { b: 1, a: 2 }.freeze
SQL = "SELECT outhook.enqueue($1, $2, $3, $4)".freeze

def tried(name)
  yield name
rescue StandardError => e
  puts "#{name} is refused: #{e.message.lines.first}"
end

pg = PG.connect(URL)
tried("pg untyped") { |key| pg.exec_params(SQL, ["acme", "a.b", ODD, key]) }
tried("pg integer") { |key| pg.exec_params(SQL, [17, "a.b", ODD, key]) }
pg.type_map_for_queries = PG::BasicTypeMapForQueries.new(pg)
tried("pg mapped list") { |key| pg.exec_params(SQL, ["acme", "a.b", [], key]) }

ActiveRecord::Base.establish_connection(URL)
CONNECTION = ActiveRecord::Base.connection
STRING = ActiveRecord::Type::String.new
JSON_TYPE = ActiveRecord::Type::Json.new

def rails(name, tenant, payload, tenant_type: STRING, payload_type: STRING)
  tried("rails #{name}") do |key|
    binds = [[tenant, tenant_type], ["a.b", STRING], [payload, payload_type], [key, STRING]]
    CONNECTION.exec_query(SQL, "Outhook", binds.map { |v, type| ActiveRecord::Relation::QueryAttribute.new("", v, type) })
  end
end

rails("string", "acme", ODD)
rails("big integer", 17, ODD, tenant_type: ActiveRecord::Type::BigInteger.new)
rails("list", "acme", [])
rails("json value", "acme", VALUE, payload_type: JSON_TYPE)
rails("json text", "acme", ODD, payload_type: JSON_TYPE)
tried("rails sanitized") do |key|
  CONNECTION.execute(ActiveRecord::Base.sanitize_sql(["SELECT outhook.enqueue(?, ?, ?, ?)", "acme", "a.b", ODD, key]))
end
