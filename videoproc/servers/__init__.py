"""Private servers: PostgreSQL, RabbitMQ, Redis and Valkey as child processes, for `up`, the tests and the benchmarks.

Each server is one object over one folder: own port or socket on loopback, own data, no service, nothing of the machine
touched. Invariant: a server never outlives the process that started it, whatever kills that process.
"""
