"""Runs one query in another engine: peers.py ENGINE QUERY (TABLE FORMAT PATH COLUMNS)...

Prints wall and CPU seconds since the engine was loaded, the peak memory in kilobytes, and the last row.
"""

import glob
import os
import resource
import sys
import time


def files(path):
    return sorted(glob.glob(path + "/*")) if os.path.isdir(path) else [path]


def in_duckdb(query, tables):
    import duckdb

    def run():
        database = duckdb.connect()
        for name, format, path, columns in tables:
            kinds = {column: {"STRING": "VARCHAR"}.get(kind, kind.split("(")[0]) for column, kind in columns}
            described = "{" + ", ".join(f"'{column}': '{kind}'" for column, kind in kinds.items()) + "}"
            source = {
                "parquet": f"read_parquet({files(path)})",
                "csv": f"read_csv({files(path)}, header=false, columns={described})",
                "json": f"read_json({files(path)}, format='newline_delimited', columns={described})",
                "text": f"read_csv({files(path)}, header=false, quote='', escape='', delim='\x01', columns={described})",
            }[format]
            database.execute(f"CREATE VIEW {name} AS SELECT * FROM {source}")
        words = "unnest(string_split(line, ' '))"
        result = database.execute(spell(query, lambda s: f"(epoch_ms(ts) // {s * 1000})", words))
        return result.to_arrow_reader(8192)

    return run


def in_datafusion(query, tables):
    import datafusion
    import pyarrow

    kinds = {"BIGINT": pyarrow.int64(), "STRING": pyarrow.string(), "TIMESTAMP(3)": pyarrow.timestamp("ms")}

    def run():
        context = datafusion.SessionContext()
        for name, format, path, columns in tables:
            schema = pyarrow.schema([(column, kinds[kind]) for column, kind in columns])
            if format == "parquet":
                context.register_parquet(name, path + "/", file_extension="")
            elif format == "json":
                context.register_json(name, path + "/", schema=schema, file_extension="")
            else:
                delimiter = "\x01" if format == "text" else ","
                where = path if format == "text" else path + "/"
                extension = ".txt" if format == "text" else ""
                context.register_csv(
                    name, where, schema=schema, has_header=False, delimiter=delimiter, file_extension=extension
                )
        pane = lambda s: f"(CAST(CAST(ts AS TIMESTAMP(3)) AS BIGINT) / {s * 1000})"
        words = "unnest(string_to_array(line, ' '))"
        return context.sql(spell(query, pane, words)).execute_stream()

    return run


def spell(query, pane, words):
    for seconds in (2, 10):
        query = query.replace(f"PANE({seconds})", pane(seconds))
    return query.replace("WORDS(line)", words)


def main():
    engine, query, rest = sys.argv[1], sys.argv[2], sys.argv[3:]
    tables = []
    for name, format, path, columns in zip(*(rest[place::4] for place in range(4))):
        tables.append((name, format, path, [column.split(" ", 1) for column in columns.split(",")]))
    run = {"duckdb": in_duckdb, "datafusion": in_datafusion}[engine](query, tables)
    used = lambda: sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    wall, cpu = time.perf_counter(), used()
    last = None
    for batch in run():
        batch = batch.to_pyarrow() if hasattr(batch, "to_pyarrow") else batch
        last = batch if batch.num_rows else last
    wall, cpu = time.perf_counter() - wall, used() - cpu
    row = ",".join(str(column[-1].as_py()) for column in last.columns) if last is not None else ""
    print(wall, cpu, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, row.replace(" ", "_"))


main()
