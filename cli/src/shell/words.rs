//! The words of the dialect that are worth coloring and completing.

/// Words a statement begins with.
pub const STARTERS: &[&str] = &[
    "ALTER", "BEGIN", "CLEAR", "CREATE", "DESCRIBE", "DROP", "END", "EXECUTE", "EXIT", "EXPLAIN", "HELP", "INSERT",
    "QUIT", "RESET", "SELECT", "SET", "SHOW", "STOP", "USE", "VALUES", "WITH",
];

/// Sorted, so that looking one up is a binary search.
#[rustfmt::skip]
const KEYWORDS: &[&str] = &[
    "ADD", "AFTER", "ALL", "ALTER", "AND", "ANTI", "ARRAY", "AS", "ASC", "BEGIN", "BETWEEN", "BIGINT", "BINARY", "BOOLEAN",
    "BY", "BYTES", "CASE", "CAST", "CATALOG", "CATALOGS", "CHAR", "CLEAR", "COLUMNS", "COMMENT", "COMPUTE", "CREATE", "CROSS",
    "CUBE", "CUMULATE", "CURRENT", "DATABASE", "DATABASES", "DATE", "DAY", "DECIMAL", "DEFINE", "DESC", "DESCRIBE",
    "DESCRIPTOR", "DISTINCT", "DISTRIBUTED", "DOUBLE", "DROP", "ELSE", "END", "ENFORCED", "ESCAPE", "EXCEPT", "EXECUTE",
    "EXISTS", "EXIT", "EXPLAIN", "EXTRACT", "FALSE", "FETCH", "FILTER", "FIRST", "FLOAT", "FOLLOWING", "FOR", "FROM", "FULL",
    "FUNCTION", "FUNCTIONS", "GROUP", "GROUPING", "HAVING", "HELP", "HOP", "HOUR", "IF", "IN", "INNER", "INSERT", "INT",
    "INTEGER", "INTERSECT", "INTERVAL", "INTO", "IS", "JOB", "JOBS", "JOIN", "KEY", "LAST", "LATERAL", "LEFT", "LIKE", "LIMIT",
    "MAP", "MATCH", "MATCH_RECOGNIZE", "MATERIALIZED", "MEASURES", "METADATA", "MINUTE", "MODIFY", "MONTH", "NATURAL", "NEXT",
    "NOT", "NULL", "NULLS", "OF", "OFFSET", "ON", "ONE", "ONLY", "OR", "ORDER", "ORDINALITY", "OUTER", "OVER", "OVERWRITE",
    "PARTITION", "PARTITIONED", "PAST", "PATTERN", "PER", "PLAN", "PRECEDING", "PRIMARY", "PROCTIME", "QUIT", "RANGE", "RENAME",
    "REPLACE", "RESET", "RIGHT", "ROLLUP", "ROW", "ROWS", "SAVEPOINT", "SECOND", "SELECT", "SEMI", "SESSION", "SET", "SETS",
    "SHOW", "SKIP", "SMALLINT", "STATEMENT", "STOP", "STRING", "SYSTEM_TIME", "TABLE", "TABLES", "TEMPORARY", "THEN", "TIME",
    "TIMESTAMP", "TIMESTAMP_LTZ", "TINYINT", "TO", "TRUE", "TUMBLE", "UNBOUNDED", "UNION", "UNNEST", "UPDATE", "USE", "USING",
    "VALUES", "VARBINARY", "VARCHAR", "VIEW", "VIEWS", "VIRTUAL", "WATERMARK", "WHEN", "WHERE", "WINDOW", "WITH", "WITHIN",
    "YEAR",
];

pub fn keywords() -> &'static [&'static str] {
    KEYWORDS
}

pub fn is_keyword(word: &str) -> bool {
    KEYWORDS.binary_search(&word.to_ascii_uppercase().as_str()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_sorted() {
        assert!(KEYWORDS.is_sorted());
        assert!(is_keyword("Select") && !is_keyword("amount"));
    }
}
