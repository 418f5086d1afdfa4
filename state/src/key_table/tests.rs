use std::sync::Arc;

use super::*;
use arrow::array::{AsArray, Int64Array, StringArray, UInt32Array};

fn text(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

#[test]
fn keys_of_another_table_are_known_by_their_bytes() {
    let column = |words: &[Option<&str>]| vec![text(words)];
    let table = || KeyTable::new(&[DataType::Utf8]).expect("strings are keys");
    let (mut from, mut to) = (table(), table());
    let mut groups = Vec::new();
    let words = [Some("short"), None, Some("longer than what fits into an entry"), Some("")];
    from.intern(&column(&words), 4, &mut groups).expect("strings are keys");
    to.intern(&column(&[Some("another"), words[2], words[0]]), 3, &mut groups).expect("strings are keys");
    to.intern_from(&from, &[0, 1, 2, 3], &mut groups);
    assert_eq!(groups, [2, 3, 1, 4]);
    assert_eq!(&to.columns(&groups).expect("groups are live")[..], &column(&words)[..]);
}

#[test]
fn equal_keys_share_a_group_and_null_is_a_key_of_its_own() {
    let mut table = KeyTable::new(&[DataType::Utf8]).unwrap();
    let mut groups = vec![];
    let keys = text(&[Some("a"), None, Some(""), Some("a"), None]);
    table.intern(&[keys], 5, &mut groups).unwrap();
    assert_eq!(groups, [0, 1, 2, 0, 1]);
    let back = table.columns(&[2, 1, 0]).unwrap();
    assert_eq!(back[0].as_ref(), text(&[Some(""), None, Some("a")]).as_ref());
}

#[test]
fn a_removed_group_is_reused_and_the_rest_survives_compaction() {
    let mut table = KeyTable::new(&[DataType::Int64, DataType::Utf8]).unwrap();
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter(0..10_000));
    let words: ArrayRef = Arc::new(StringArray::from_iter_values((0..10_000).map(|n| format!("word number {n}"))));
    let mut groups = vec![];
    table.intern(&[Arc::clone(&numbers), Arc::clone(&words)], 10_000, &mut groups).unwrap();
    (0..9_000).for_each(|group| table.remove(group));
    assert_eq!(table.len(), 1_000);
    let back = table.columns(&(9_000..10_000).collect::<Vec<u32>>()).unwrap();
    assert_eq!(back[0].as_ref(), numbers.slice(9_000, 1_000).as_ref());
    assert_eq!(back[1].as_ref(), words.slice(9_000, 1_000).as_ref());
    table.intern(&[numbers, words], 10_000, &mut groups).unwrap();
    assert_eq!(table.groups(), 10_000);
}

#[test]
fn without_columns_every_row_has_the_same_key() {
    let mut table = KeyTable::new(&[]).unwrap();
    let mut groups = vec![];
    table.intern(&[], 3, &mut groups).unwrap();
    assert_eq!(groups, [0, 0, 0]);
}

#[test]
fn keys_of_every_length_around_the_inline_limit_are_told_apart_and_come_back() {
    let alphabet = "abcdefghijklmnop\0";
    let mut words: Vec<String> = (0..=16).map(|len| alphabet[..len].to_string()).collect();
    words.extend((1..=16).map(|len| format!("{}\0", &alphabet[..len])));
    words.extend(
        (1..=16).flat_map(|len| {
            (0..len).map(move |at| (0..len).map(|n| if n == at { 'X' } else { 'a' }).collect::<String>())
        }),
    );
    words.sort();
    words.dedup();
    let mut table = KeyTable::new(&[DataType::Utf8]).unwrap();
    let mut groups = vec![];
    let column: ArrayRef = Arc::new(StringArray::from_iter_values(&words));
    for _ in 0..2 {
        table.intern(&[Arc::clone(&column)], words.len(), &mut groups).unwrap();
        assert_eq!(groups, (0..words.len() as u32).collect::<Vec<_>>());
    }
    assert_eq!(table.columns(&groups).unwrap()[0].as_ref(), column.as_ref());
    assert_eq!(table.columns(&[0]).unwrap()[0].as_string::<i32>().value(0), "");
}

#[test]
fn keys_are_found_without_being_added() {
    let mut table = KeyTable::new(&[DataType::Utf8]).unwrap();
    let mut groups = vec![];
    table.intern(&[text(&[Some("a"), None, Some("more than twelve bytes")])], 3, &mut groups).unwrap();
    table.remove(0);
    let wanted = text(&[Some("more than twelve bytes"), Some("a"), None, Some("more than thirteen bytes")]);
    assert_eq!(table.find(&[wanted], 4).unwrap(), [Some(2), None, Some(1), None]);
    assert_eq!(table.len(), 2);
}

#[test]
fn a_cleared_table_numbers_keys_anew() {
    let mut table = KeyTable::new(&[DataType::Utf8]).unwrap();
    let mut groups = vec![];
    table.intern(&[text(&[Some("a"), Some("more than twelve bytes")])], 2, &mut groups).unwrap();
    table.clear();
    assert!(table.is_empty());
    table.intern(&[text(&[Some("more than twelve bytes"), Some("b")])], 2, &mut groups).unwrap();
    assert_eq!(groups, [0, 1]);
    assert_eq!(table.columns(&[1]).unwrap()[0].as_ref(), text(&[Some("b")]).as_ref());
}

#[test]
fn numbers_null_among_them_are_removed_found_and_come_back() {
    let numbers = |values: &[Option<i64>]| Arc::new(Int64Array::from(values.to_vec())) as ArrayRef;
    let mut table = KeyTable::new(&[DataType::Int64]).unwrap();
    let mut groups = vec![];
    table.intern(&[numbers(&[Some(0), None, Some(i64::MIN), Some(0), None])], 5, &mut groups).unwrap();
    assert_eq!(groups, [0, 1, 2, 0, 1]);
    table.remove(0);
    assert!(!table.is_live(0));
    assert_eq!(table.live().collect::<Vec<u32>>(), [1, 2]);
    let wanted = numbers(&[Some(i64::MIN), Some(0), None, Some(1)]);
    assert_eq!(table.find(&[wanted], 4).unwrap(), [Some(2), None, Some(1), None]);
    table.intern(&[numbers(&[Some(7), Some(8)])], 2, &mut groups).unwrap();
    assert_eq!((&groups[..], table.added()), (&[0, 3][..], &[0, 3][..]));
    let back = table.columns(&[3, 1, 0, 2]).unwrap();
    assert_eq!(back[0].as_ref(), numbers(&[Some(8), None, Some(7), Some(i64::MIN)]).as_ref());
    let mut other = KeyTable::new(&[DataType::Int64]).unwrap();
    other.intern_from(&table, &[1, 2], &mut groups);
    assert_eq!(other.columns(&[0, 1]).unwrap()[0].as_ref(), numbers(&[None, Some(i64::MIN)]).as_ref());
}

#[test]
fn a_number_is_another_key_in_another_group() {
    let mut table = KeyTable::in_groups(&[DataType::Int64]).unwrap();
    let mut found = vec![];
    let rows = [(0, Some(1)), (1, Some(1)), (0, None), (1, None), (0, Some(1)), (u32::MAX, Some(-1))];
    let groups: ArrayRef = Arc::new(UInt32Array::from_iter_values(rows.iter().map(|row| row.0)));
    let values: ArrayRef = Arc::new(rows.iter().map(|row| row.1).collect::<Int64Array>());
    let columns = [groups, values];
    table.intern(&columns, rows.len(), &mut found).unwrap();
    assert_eq!(found, [0, 1, 2, 3, 0, 4]);
    assert_eq!(table.columns(&found).unwrap(), columns);
    table.remove(2);
    let expected = [Some(0), Some(1), None, Some(3), Some(0), Some(4)];
    assert_eq!(table.find(&columns, rows.len()).unwrap(), expected);
}
