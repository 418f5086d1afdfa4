//! Queries at random: joins, chains of joins over one key, aggregates, top-N, `OVER`, set operations and subqueries over each other.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// A query whose columns are `a STRING, x BIGINT, y BIGINT`.
pub fn query(seed: u64) -> String {
    let mut generator = Generator { random: StdRng::seed_from_u64(seed), aliases: 0 };
    let depth = generator.random.random_range(1..4);
    generator.relation(depth)
}

struct Generator {
    random: StdRng,
    aliases: usize,
}

impl Generator {
    fn one_of<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.random.random_range(0..of.len())]
    }

    fn alias(&mut self) -> String {
        self.aliases += 1;
        format!("r{}", self.aliases)
    }

    /// As what stands in FROM.
    fn from(&mut self, depth: usize) -> (String, String) {
        let (relation, alias) = (self.relation(depth), self.alias());
        (format!("({relation}) AS {alias}"), alias)
    }

    fn relation(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.table();
        }
        match self.random.random_range(0..13) {
            0 | 1 => self.aggregate(depth - 1),
            2..=4 => self.join(depth - 1),
            5 => self.set_operation(depth - 1),
            6 => self.top_n(depth - 1),
            7 => self.filtered(depth - 1),
            8 => self.with_scalar(depth - 1),
            9 => self.over(depth - 1),
            10 | 11 => self.chain(depth - 1),
            _ => self.distinct(depth - 1),
        }
    }

    fn table(&mut self) -> String {
        let table = self.one_of(&["t", "u"]);
        let (x, y) = (self.one_of(&["CAST(g AS BIGINT)", "v"]), self.one_of(&["v", "CAST(g AS BIGINT)", "v + 1"]));
        let condition =
            self.one_of(&["", " WHERE b", " WHERE v > 2", " WHERE g IS NOT NULL", " WHERE k <> 'ann' OR v < 5"]);
        format!("SELECT k AS a, {x} AS x, {y} AS y FROM {table}{condition}")
    }

    /// Without keys, there is no row before the first one comes, as in Flink; in batch there is.
    fn aggregate(&mut self, depth: usize) -> String {
        let (from, _) = self.from(depth);
        let y = self.one_of(&["SUM(y)", "MIN(x)", "MAX(y)", "COUNT(DISTINCT y)", "COUNT(x) FILTER (WHERE y > 1)"]);
        match self.random.random_range(0..4) {
            0 => format!("SELECT CAST(MAX(a) AS STRING) AS a, COUNT(*) AS x, {y} AS y FROM {from} HAVING COUNT(*) > 0"),
            1 => format!("SELECT MIN(a) AS a, x, {y} AS y FROM {from} GROUP BY x HAVING COUNT(*) > 1"),
            2 => format!("SELECT a, x, {y} AS y FROM {from} GROUP BY a, x"),
            _ => format!("SELECT a, COUNT(*) AS x, {y} AS y FROM {from} GROUP BY a"),
        }
    }

    fn join(&mut self, depth: usize) -> String {
        let (left, l) = self.from(depth);
        let below = self.random_below(depth);
        let (right, r) = self.from(below);
        let kind = self.one_of(&["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]);
        let key = match self.random.random_range(0..4) {
            0 => format!("{l}.a = {r}.a AND {l}.x = {r}.x"),
            1 => format!("{l}.x = {r}.y"),
            2 => format!("{l}.x = {r}.x AND {l}.a IS NOT DISTINCT FROM {r}.a"),
            _ => format!("{l}.y = {r}.y AND {l}.a = {r}.a"),
        };
        let rest = match self.random.random_range(0..3) {
            0 => format!(" AND {l}.x < {r}.y"),
            1 => format!(" AND {l}.a <> {r}.a"),
            _ => String::new(),
        };
        format!("SELECT {l}.a AS a, {r}.x AS x, {l}.y AS y FROM {left} {kind} {right} ON {key}{rest}")
    }

    /// Three or four inputs over one key.
    fn chain(&mut self, depth: usize) -> String {
        let key = [["a", "x"], ["y", "a"], ["x", "y"]][self.random.random_range(0..3)];
        let (mut from, first) = self.from(depth);
        let mut aliases = vec![first];
        for _ in 0..self.random.random_range(2..4) {
            let below = self.random_below(depth);
            let (input, r) = if self.random.random_bool(0.3) { self.pair(below, key) } else { self.from(below) };
            let kind = self.one_of(&["JOIN", "JOIN", "LEFT JOIN"]);
            let mut on = key.map(|column| {
                let l = &aliases[self.random.random_range(0..aliases.len())];
                format!("{l}.{column} = {r}.{column}")
            });
            if self.random.random_bool(0.3) {
                on.reverse();
            }
            let l = &aliases[self.random.random_range(0..aliases.len())];
            let rest = match self.random.random_range(0..5) {
                0 => format!(" AND {l}.y < {r}.x + 4"),
                1 => format!(" AND {l}.a <> CONCAT({r}.a, 'b')"),
                _ => String::new(),
            };
            from.push_str(&format!(" {kind} {input} ON {}{rest}", on.join(" AND ")));
            aliases.push(r);
        }
        let [a, x, y] = [0; 3].map(|_| aliases[self.random.random_range(0..aliases.len())].clone());
        format!("SELECT {a}.a AS a, {x}.x AS x, {y}.y AS y FROM {from}")
    }

    /// A join over this key, as what stands in FROM.
    fn pair(&mut self, depth: usize, key: [&str; 2]) -> (String, String) {
        let ((left, l), (right, r), alias) = (self.from(depth), self.from(depth), self.alias());
        let kind = self.one_of(&["JOIN", "JOIN", "LEFT JOIN"]);
        let on = key.map(|column| format!("{l}.{column} = {r}.{column}")).join(" AND ");
        let rest = match self.random.random_range(0..4) {
            0 => format!(" AND {l}.y <= {r}.x + 4"),
            _ => String::new(),
        };
        (
            format!("(SELECT {l}.a AS a, {l}.x AS x, {r}.y AS y FROM {left} {kind} {right} ON {on}{rest}) AS {alias}"),
            alias,
        )
    }

    fn random_below(&mut self, depth: usize) -> usize {
        self.random.random_range(0..=depth)
    }

    fn set_operation(&mut self, depth: usize) -> String {
        let operation = self.one_of(&["UNION", "UNION ALL", "INTERSECT", "INTERSECT ALL", "EXCEPT", "EXCEPT ALL"]);
        let ((left, _), (right, _)) = (self.from(depth), self.from(depth));
        format!("SELECT a, x, y FROM {left} {operation} SELECT a, x, y FROM {right}")
    }

    /// All columns are in the order, so that equal rows are the only ties.
    fn top_n(&mut self, depth: usize) -> String {
        let (from, _) = self.from(depth);
        let (first, last) = (self.random.random_range(1..3), self.random.random_range(2..5));
        let direction = self.one_of(&["", " DESC"]);
        match self.random.random_range(0..4) {
            0 => {
                format!("SELECT a, x, y FROM {from} ORDER BY y{direction}, x, a DESC LIMIT {last} OFFSET {}", first - 1)
            }
            1 => format!(
                "SELECT a, x, n AS y FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY a ORDER BY x{direction}, y) AS n FROM {from}) \
                 WHERE n BETWEEN {first} AND {last}"
            ),
            2 => format!(
                "SELECT a, x, y FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY x ORDER BY y{direction}, a) AS n FROM {from}) \
                 WHERE n <= {first}"
            ),
            _ => {
                let rank = self.one_of(&["RANK", "DENSE_RANK"]);
                format!(
                    "SELECT a, x, y FROM (SELECT *, {rank}() OVER (PARTITION BY a ORDER BY y{direction}) AS n FROM {from}) \
                     WHERE n <= {last}"
                )
            }
        }
    }

    /// Rows that are equal in the order have the same result, or are equal.
    fn over(&mut self, depth: usize) -> String {
        let (from, _) = self.from(depth);
        let key = self.one_of(&["", "PARTITION BY a ", "PARTITION BY x "]);
        let direction = self.one_of(&["", " DESC"]);
        let function = match self.random.random_range(0..4) {
            0 => format!("SUM(y) OVER ({key}ORDER BY x{direction})"),
            1 => format!("COUNT(x) OVER ({key}ORDER BY y{direction}, a, x ROWS BETWEEN 2 PRECEDING AND 1 FOLLOWING)"),
            2 => {
                let neighbour = self.one_of(&["LAG(y)", "LEAD(x)", "LEAD(y, 2)", "NTILE(2)", "ROW_NUMBER()"]);
                format!("{neighbour} OVER ({key}ORDER BY x{direction}, y, a)")
            }
            _ => format!("MAX(x) OVER ({key})"),
        };
        format!("SELECT a, x, {function} AS y FROM {from}")
    }

    fn filtered(&mut self, depth: usize) -> String {
        let (from, l) = self.from(depth);
        let below = self.random_below(depth);
        let (other, r) = self.from(below);
        let condition = match self.random.random_range(0..5) {
            0 => format!("{l}.x IN (SELECT y FROM {other})"),
            1 => format!("{l}.y NOT IN (SELECT x FROM {other} WHERE x IS NOT NULL)"),
            2 => format!("EXISTS (SELECT 1 FROM {other} WHERE {r}.a = {l}.a AND {r}.y > {l}.y)"),
            3 => format!("NOT EXISTS (SELECT 1 FROM {other} WHERE {r}.x = {l}.x)"),
            _ => format!("{l}.x > (SELECT MIN(x) FROM {other})"),
        };
        format!("SELECT a, x, y FROM {from} WHERE {condition}")
    }

    fn with_scalar(&mut self, depth: usize) -> String {
        let (from, l) = self.from(depth);
        let below = self.random_below(depth);
        let (other, r) = self.from(below);
        match self.random.random_range(0..2) {
            0 => format!("SELECT a, x, (SELECT MAX(y) FROM {other}) AS y FROM {from}"),
            _ => format!("SELECT a, x, (SELECT SUM({r}.y) FROM {other} WHERE {r}.x = {l}.x) AS y FROM {from}"),
        }
    }

    fn distinct(&mut self, depth: usize) -> String {
        let (from, _) = self.from(depth);
        format!("SELECT DISTINCT a, x, y FROM {from}")
    }
}
