//! Whatever is typed: an answer, soon, and no panic.

use super::super::*;

const WORDS: &str = "SELECT FROM WHERE GROUP BY ORDER HAVING LIMIT OFFSET FETCH FIRST ROWS ONLY UNION ALL EXCEPT JOIN LEFT ON USING WITH AS \
    INSERT INTO OVERWRITE VALUES CREATE TABLE VIEW TEMPORARY DATABASE DROP ALTER ADD MODIFY RENAME TO IF NOT EXISTS EXPLAIN SHOW DESCRIBE SET \
    RESET USE EXECUTE STATEMENT BEGIN END CASE WHEN THEN ELSE CAST TRY_CAST ARRAY MAP ROW INTERVAL DATE TIMESTAMP SECOND DAY YEAR MONTH \
    JSON_VALUE JSON_QUERY JSON_OBJECT JSON_ARRAY JSON_OBJECTAGG RETURNING EMPTY ERROR DEFAULT NULL ABSENT KEY VALUE IS JSON TRIM EXTRACT \
    OVERLAY PLACING POSITION IN CEIL FLOOR TIMESTAMPADD TABLE DESCRIPTOR PARTITION LATERAL UNNEST ORDINALITY MATCH_RECOGNIZE PATTERN WITHIN \
    DEFINE MEASURES OVER WINDOW BETWEEN SYMMETRIC AND OR LIKE ESCAPE SIMILAR OVERLAPS WATERMARK FOR PRIMARY ENFORCED METADATA VIRTUAL \
    COMMENT INT STRING DECIMAL MULTISET a b ev t x";

const SIGNS: [&str; 44] = [
    "(",
    ")",
    "(",
    ")",
    ",",
    ",",
    ".",
    "*",
    "+",
    "-",
    "/",
    "%",
    "=",
    "<",
    ">",
    "<>",
    ">=",
    "<=",
    "||",
    "::",
    ":",
    ";",
    "[",
    "]",
    "{",
    "}",
    "'text'",
    "`name`",
    "'",
    "`",
    "\"",
    "--",
    "/*",
    "*/",
    "/*+ OPTIONS('a'='b') */",
    "1",
    "2.5",
    "1e3",
    "é",
    "?",
    "$",
    "${x:-1}",
    "=>",
    "\n",
];

/// A small generator, so that a failing seed can be run again.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % bound as u64).expect("it is below a usize")
    }
}

#[test]
fn no_soup_of_tokens_makes_it_panic_or_hang() {
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let started = std::time::Instant::now();
    for seed in 0..4_000 {
        let mut random = Random(seed);
        let length = 1 + random.below(60);
        let mut soup =
            String::from(["", "SELECT ", "CREATE TABLE t (", "SELECT * FROM ", "INSERT INTO t "][random.below(5)]);
        for _ in 0..length {
            let token =
                if random.below(3) == 0 { SIGNS[random.below(SIGNS.len())] } else { words[random.below(words.len())] };
            soup.push_str(token);
            soup.push_str([" ", " ", ""][random.below(3)]);
        }
        is_complete(&soup);
        for result in statements(&soup, &|_| None) {
            if let Err(error) = result {
                assert!(error.place().is_some(), "seed {seed}: {error} has no place in {soup}");
                assert!(render(&error, &soup).contains('^'), "seed {seed}: {soup}");
            }
        }
        assert!(started.elapsed().as_secs() < 120, "seed {seed} takes too long: {soup}");
    }
}

#[test]
fn valid_statements_that_lose_or_double_a_token_do_not_panic() {
    let script = "CREATE TABLE t (a INT NOT NULL, b ROW<x INT, y ARRAY<STRING>>, c AS a + 1, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '5' SECOND, \
        PRIMARY KEY (a) NOT ENFORCED) PARTITIONED BY (a) WITH ('connector' = 'x') ; \
        INSERT INTO t PARTITION (a = 1) SELECT CASE WHEN a > 1 THEN CAST(b AS DECIMAL(5, 2)) ELSE NULL END , JSON_VALUE(x, '$.a' RETURNING INT NULL ON EMPTY) , \
        COUNT(DISTINCT k) FILTER (WHERE v > 3) OVER (PARTITION BY k ORDER BY ts ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) \
        FROM TABLE(TUMBLE(TABLE ev /*+ OPTIONS('a'='b') */ , DESCRIPTOR(ts), INTERVAL '10' SECOND)) AS w LEFT JOIN LATERAL TABLE(f(x)) AS l (y) ON TRUE \
        WHERE a IN (SELECT b FROM u) GROUP BY GROUPING SETS ((a), ()) HAVING x IS NOT JSON ARRAY ORDER BY 1 LIMIT 5";
    let tokens: Vec<&str> = script.split(' ').collect();
    for index in 0..tokens.len() {
        let mut without = tokens.clone();
        without.remove(index);
        let mut doubled = tokens.clone();
        doubled.insert(index, tokens[index]);
        let ended = &tokens[..index];
        for changed in [without.join(" "), doubled.join(" "), ended.join(" ")] {
            for result in statements(&changed, &|_| None) {
                if let Err(error) = result {
                    assert!(error.place().is_some(), "{error} has no place in {changed}");
                }
            }
        }
    }
}

#[test]
fn nesting_ends_in_an_answer_however_deep() {
    for depth in [10, 18, 25, 40, 100, 1_000, 10_000] {
        for open in [
            "(",
            "CAST(",
            "CASE WHEN ",
            "f(a => ",
            "((SELECT * FROM (",
            "(SELECT * FROM ",
            "ARRAY[",
            "NOT ",
            "x.f(",
            "- ",
            "a BETWEEN ",
            "ROW<",
            "CAST(a AS ROW<a ",
        ] {
            for script in
                [format!("SELECT {}FROM t", open.repeat(depth)), format!("SELECT * FROM {} WHERE", open.repeat(depth))]
            {
                let _ = parse(&script, &|_| None);
            }
        }
    }
}

#[test]
fn nesting_that_people_write_is_accepted() {
    let calls = format!("SELECT {}1{}", "f(".repeat(100), ")".repeat(100));
    let queries = format!("SELECT * FROM {}t{}", "(SELECT * FROM ".repeat(30), ")".repeat(30));
    let chain = format!("SELECT * FROM t WHERE {}", vec!["a = 1"; 4_900].join(" OR "));
    let sum = format!("SELECT {} FROM t", vec!["a"; 9_900].join(" + "));
    let list = format!("SELECT * FROM t WHERE a IN ({})", vec!["-1"; 50_000].join(", "));
    for script in [calls, queries, chain, sum, list] {
        assert!(parse(&script, &|_| None).is_ok(), "{}", &script[..100]);
    }
}

#[test]
fn a_chain_too_long_to_let_go_of_is_refused() {
    let script = format!("SELECT {} FROM t", vec!["a"; 50_000].join(" + "));
    let error = parse(&script, &|_| None).unwrap_err();
    assert!(error.what().contains("operators in a row"), "{error}");
}
