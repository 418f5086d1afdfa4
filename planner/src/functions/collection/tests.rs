//! Values from what Flink printed, and from its documentation.

use super::super::function::testing::*;
use super::*;
use datafusion::common::ScalarValue;

fn call(name: &str, args: &[Arg]) -> String {
    show(all(), name, args)
}

fn made(name: &str, args: &[Arg]) -> Arg {
    value(all(), name, args)
}

fn ints(values: &[i32]) -> Arg {
    made("__array", &values.iter().map(|value| int(*value)).collect::<Vec<_>>())
}

fn texts(values: &[Option<&str>]) -> Arg {
    let args: Vec<Arg> = values.iter().map(|value| value.map_or(null(), text)).collect();
    made("__array", &args)
}

#[test]
fn an_array_has_the_common_type_of_its_elements() {
    let half = || Arg::Literal(ScalarValue::Decimal128(Some(25), 2, 1));
    assert_eq!(call("__array", &[int(1), half()]), "ARRAY<DECIMAL(11, 1) NOT NULL> NOT NULL: [1.0, 2.5]");
    let column = column("INT", &[Some("1"), None]);
    assert_eq!(call("__array", &[column, int(7)]), "ARRAY<INT> NOT NULL: [1, 7], [NULL, 7]");
    assert_eq!(call("__array", &[int(1), text("x")]), "the elements of ARRAY have no common type");
}

#[test]
fn a_map_keeps_the_last_of_equal_keys() {
    let column = column("INT", &[Some("1"), None]);
    assert_eq!(call("__map", &[text("k"), column]), "MAP<CHAR(1) NOT NULL, INT> NOT NULL: {k=1}, {k=NULL}");
    assert_eq!(
        call("__map", &[text("a"), int(1), text("a"), int(2)]),
        "MAP<CHAR(1) NOT NULL, INT NOT NULL> NOT NULL: {a=2}"
    );
}

#[test]
fn cardinality_counts_elements_and_entries() {
    assert_eq!(call("cardinality", &[ints(&[1, 2])]), "INT NOT NULL: 2");
    assert_eq!(call("cardinality", &[made("__map", &[text("a"), int(1)])]), "INT NOT NULL: 1");
    assert_eq!(call("cardinality", &[null()]), "INT: NULL");
    assert_eq!(call("cardinality", &[int(1)]), "argument 1 of CARDINALITY is INT NOT NULL");
}

#[test]
fn element_is_the_only_one() {
    assert_eq!(call("element", &[ints(&[7])]), "INT: 7");
    assert_eq!(call("element", &[ints(&[7, 8])]), "ELEMENT got an array of 2 elements");
}

#[test]
fn arrays_are_searched() {
    assert_eq!(call("array_contains", &[texts(&[Some("x"), Some("y")]), text("x")]), "BOOLEAN NOT NULL: TRUE");
    assert_eq!(call("array_contains", &[texts(&[Some("z"), None]), text("x")]), "BOOLEAN NOT NULL: FALSE");
    assert_eq!(call("array_contains", &[texts(&[Some("z"), None]), null()]), "BOOLEAN NOT NULL: TRUE");
    assert_eq!(call("array_position", &[ints(&[5, 6, 6]), int(6)]), "BIGINT NOT NULL: 2");
    assert_eq!(call("array_position", &[ints(&[5]), Arg::Literal(ScalarValue::from(9i64))]), "BIGINT NOT NULL: 0");
    assert_eq!(call("array_max", &[ints(&[5, 7, 6])]), "INT: 7");
    assert_eq!(call("array_min", &[texts(&[None, Some("b"), Some("a")])]), "CHAR(1): a");
}

#[test]
fn arrays_are_joined_without_their_nulls() {
    assert_eq!(call("array_join", &[texts(&[Some("x"), Some("y")]), text("-")]), "STRING NOT NULL: x-y");
    assert_eq!(call("array_join", &[texts(&[Some("z"), None]), text("-")]), "STRING NOT NULL: z");
    assert_eq!(call("array_join", &[texts(&[None, Some("z")]), text("-"), text("?")]), "STRING NOT NULL: ?-z");
    assert_eq!(call("array_join", &[null(), text("-")]), "STRING: NULL");
}

#[test]
fn arrays_are_cut_and_ordered() {
    let slice = |start, end| call("array_slice", &[ints(&[1, 2, 3, 4]), int(start), int(end)]);
    assert_eq!(slice(2, 3), "ARRAY<INT NOT NULL> NOT NULL: [2, 3]");
    assert_eq!(slice(-2, -1), "ARRAY<INT NOT NULL> NOT NULL: [3, 4]");
    assert_eq!(slice(0, 9), "ARRAY<INT NOT NULL> NOT NULL: [1, 2, 3, 4]");
    assert_eq!(slice(3, 2), "ARRAY<INT NOT NULL> NOT NULL: []");
    assert_eq!(call("array_reverse", &[ints(&[1, 2])]), "ARRAY<INT NOT NULL> NOT NULL: [2, 1]");
    let mixed = || texts(&[Some("b"), None, Some("a")]);
    assert_eq!(call("array_sort", &[mixed()]), "ARRAY<CHAR(1)> NOT NULL: [NULL, a, b]");
    let no = || Arg::Literal(ScalarValue::from(false));
    assert_eq!(call("array_sort", &[mixed(), no()]), "ARRAY<CHAR(1)> NOT NULL: [b, a, NULL]");
}

#[test]
fn arrays_grow_and_shrink() {
    assert_eq!(call("array_append", &[ints(&[1]), int(2)]), "ARRAY<INT NOT NULL> NOT NULL: [1, 2]");
    assert_eq!(call("array_prepend", &[ints(&[1]), null()]), "ARRAY<INT> NOT NULL: [NULL, 1]");
    assert_eq!(call("array_remove", &[ints(&[1, 2, 1]), int(1)]), "ARRAY<INT NOT NULL> NOT NULL: [2]");
    assert_eq!(call("array_concat", &[ints(&[1]), ints(&[1, 2])]), "ARRAY<INT NOT NULL> NOT NULL: [1, 1, 2]");
}

#[test]
fn arrays_are_sets() {
    assert_eq!(call("array_distinct", &[ints(&[1, 2, 1])]), "ARRAY<INT NOT NULL> NOT NULL: [1, 2]");
    assert_eq!(call("array_union", &[ints(&[1, 2]), ints(&[3, 2])]), "ARRAY<INT NOT NULL> NOT NULL: [1, 2, 3]");
    assert_eq!(call("array_except", &[ints(&[1, 2, 1]), ints(&[2])]), "ARRAY<INT NOT NULL> NOT NULL: [1]");
    assert_eq!(call("array_intersect", &[ints(&[1, 2, 2]), ints(&[2])]), "ARRAY<INT NOT NULL> NOT NULL: [2]");
    assert_eq!(call("array_union", &[null(), ints(&[2])]), "ARRAY<INT>: NULL");
}

#[test]
fn null_rows_stay_null() {
    let tags = || {
        let (_, one) = evaluate(all(), "__array", &[column("STRING", &[Some("x"), Some("y")])]).unwrap();
        let nulls = arrow::buffer::NullBuffer::from(vec![true, false]);
        let one = one.as_list::<i32>();
        let item = crate::types::item_field(one.data_type()).unwrap().clone();
        let one = ListArray::try_new(item, one.offsets().clone(), one.values().clone(), Some(nulls)).unwrap();
        Arg::Column("ARRAY<STRING>", Arc::new(one))
    };
    assert_eq!(call("cardinality", &[tags()]), "INT: 1, NULL");
    assert_eq!(call("array_contains", &[tags(), text("x")]), "BOOLEAN: TRUE, NULL");
    assert_eq!(call("array_reverse", &[tags()]), "ARRAY<STRING>: [x], NULL");
    assert_eq!(call("array_max", &[tags()]), "STRING: x, NULL");
    assert_eq!(call("array_concat", &[tags(), tags()]), "ARRAY<STRING>: [x, x], NULL");
}

#[test]
fn maps_come_apart_and_together() {
    let map = || made("__map", &[text("a"), int(1), text("b"), int(2)]);
    assert_eq!(call("map_keys", &[map()]), "ARRAY<CHAR(1) NOT NULL> NOT NULL: [a, b]");
    assert_eq!(call("map_values", &[map()]), "ARRAY<INT NOT NULL> NOT NULL: [1, 2]");
    assert_eq!(
        call("map_entries", &[map()]),
        "ARRAY<ROW<`key` CHAR(1) NOT NULL, `value` INT NOT NULL> NOT NULL> NOT NULL: [(a, 1), (b, 2)]"
    );
    assert_eq!(
        call("map_from_arrays", &[ints(&[1, 2]), texts(&[Some("x"), None])]),
        "MAP<INT NOT NULL, CHAR(1)> NOT NULL: {1=x, 2=NULL}"
    );
    assert_eq!(call("map_from_arrays", &[ints(&[1]), ints(&[])]), "MAP_FROM_ARRAYS got 1 keys and 0 values");
    assert_eq!(
        call("map_union", &[map(), made("__map", &[text("b"), int(3)])]),
        "MAP<CHAR(1) NOT NULL, INT NOT NULL> NOT NULL: {a=1, b=3}"
    );
}

#[test]
fn text_becomes_a_map() {
    assert_eq!(call("str_to_map", &[text("k1=v1,k2=v2,k3")]), "MAP<STRING, STRING> NOT NULL: {k1=v1, k2=v2, k3=NULL}");
    assert_eq!(
        call("str_to_map", &[text("a:1;b:2"), text(";"), text(":")]),
        "MAP<STRING, STRING> NOT NULL: {a=1, b=2}"
    );
    assert_eq!(call("str_to_map", &[text("")]), "MAP<STRING, STRING> NOT NULL: {}");
}
