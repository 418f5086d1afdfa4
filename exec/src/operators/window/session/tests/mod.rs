//! Sessions: transcripts, and random streams against a plain model.

mod random;

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use expect_test::expect;

use super::{SessionAggregate, SessionAssign};
use crate::operators::window::{TimeKind, window_fields};
use crate::testing::{aggregate_column as column, check};
use crate::window::{LocalClock, Session};

/// With a gap of 5 seconds.
const FIVE: Session = Session { gap: 5_000, clock: LocalClock::UTC };

/// Over columns `key, ts, value`: by key, `COUNT(*)` and `functions` of value.
fn aggregate(input: &SchemaRef, kind: TimeKind, functions: &[&str], retracting: bool) -> SessionAggregate {
    let mut columns = vec![column(input, "COUNT", None, retracting)];
    columns.extend(functions.iter().map(|function| column(input, function, Some(2), retracting)));
    let mut fields = vec![Arc::clone(&input.fields()[0])];
    fields.extend(window_fields(None));
    fields.extend(columns.iter().map(|column| Arc::clone(&column.call.result)));
    let (input, schema) = (Arc::clone(input), Arc::new(Schema::new(fields)));
    SessionAggregate { session: FIVE, kind, time: 1, keys: vec![0], columns, input, schema }
}

#[test]
fn a_gap_inside_one_batch_ends_a_session() {
    check(
        |input| aggregate(input, TimeKind::Event, &["SUM"], false),
        expect![[r#"
            columns user text, ts time, amount int

            + ann 0:01 1
            + ann 0:03 2
            + bob 0:04 100
            + ann 0:08.001 4  // a millisecond more than the gap
            + ann 0:20 8
            ~ 0:07.998
                => ~ 0:07.998
            ~ 0:08            // 0:07.999 has passed, and the first session of ann was over then; bob's lasts to 0:08.999
                => ~ 0:08
            | 1
            ~ 0:20
                => + bob  0:04  0:09  0:08.999  1  100
                => + ann  0:01  0:13  0:12.999  3  7
                => ~ 0:20
            $
                => + ann  0:20  0:25  0:24.999  1  8
                => $
        "#]],
    );
}

#[test]
fn rows_exactly_one_gap_apart_share_a_session() {
    check(
        |input| aggregate(input, TimeKind::Event, &["SUM"], false),
        expect![[r#"
            columns user text, ts time, amount int

            + ann 0:10 2
            + ann 0:05 1
            + ann 0:15 4
            + ann 0:20.001 8
            + bob 0:05 1
            + bob 0:15 2
            + bob 0:10 4      // reaches just both
            $
                => + ann  0:05  0:20  0:19.999  3  7
                => + bob  0:05  0:20  0:19.999  3  7
                => + ann  0:20.001  0:25.001  0:25  1  8
                => $
        "#]],
    );
}

#[test]
fn a_row_that_bridges_two_sessions_merges_them() {
    check(
        |input| aggregate(input, TimeKind::Event, &["MIN", "LISTAGG"], false),
        expect![[r#"
            columns user text, ts time, word text

            + ann 0:10 d
            + ann 0:01 a
            + ann 0:16 f
            + ann 0:30 z
            | 1
            + ann 0:11 e
            + ann 0:05.500 c  // joins the first two; the first one's rows lead
            ~ 0:14
                => ~ 0:14
            | 2
            + ann 0:20 g      // still open, by the row at 0:16
            ~ 0:25
                => + ann  0:01  0:25  0:24.999  6  a  a,d,f,e,c,g
                => ~ 0:25
            $
                => + ann  0:30  0:35  0:34.999  1  z  z
                => $
        "#]],
    );
}

#[test]
fn a_late_row_still_extends_an_open_session() {
    check(
        |input| aggregate(input, TimeKind::Event, &["SUM"], false),
        expect![[r#"
            columns user text, ts time, amount int

            + ann 0:10 1
            + bob 0:01 1
            ~ 0:12
                => + bob  0:01  0:06  0:05.999  1  1
                => ~ 0:12
            + ann 0:07 2      // alone it would have ended with 0:11.999
            + ann 0:04.999 4  // touches neither, and is late
            + bob 0:07 8      // late: its session has closed
            + cid 0:07.001 16 // just in time
            | 1
            + ann 0:02 32     // joins by the row at 0:07
            ~ 0:14.998
                => ~ 0:14.998
            + ann 0:15 64     // open to the last moment
            ~ 0:14.999
                => ~ 0:14.999
            ~ 0:19.999
                => + ann  0:02  0:20  0:19.999  5  103
                => ~ 0:19.999
            + ann 0:20 128    // a gap after the last row, but that session is gone
            $
                => + ann  0:20  0:25  0:24.999  1  128
                => $
        "#]],
    );
}

#[test]
fn sessions_before_1970_begin_with_their_first_row() {
    check(
        |input| aggregate(input, TimeKind::Event, &["SUM"], false),
        expect![[r#"
            columns user text, ts time, amount int

            + ann -1:00 1
            + ann -1:04 2
            + ann -1:10 4
            + null -1:58 8    // null is a key like any other
            ~ -1:15.500
                => + ann  -1:00  -1:09  -1:08.999  2  3
                => + ann  -1:10  -1:15  -1:14.999  1  4
                => ~ -1:15.500
            | 1
            + ann 0:02 16
            $
                => + null  -1:58  0:03  0:02.999  1  8
                => + ann  0:02  0:07  0:06.999  1  16
                => $
        "#]],
    );
}

#[test]
fn retractions_are_taken_out_of_the_session_they_were_in() {
    check(
        |input| aggregate(input, TimeKind::Event, &["SUM", "MAX"], true),
        expect![[r#"
            columns user text, ts time, amount int

            + ann 0:01 1
            + ann 0:04 8
            + bob 0:02 2
            - ann 0:04 8
            + cid 0:02 3
            - cid 0:02 3
            + cid 0:02 5
            | 1
            - bob 0:02 2      // nothing is left of it: no result
            ~ 0:09            // the row that went at 0:04 was there, so ann's session ends with 0:08.999
                => + cid  0:02  0:07  0:06.999  1  5  5
                => + ann  0:01  0:09  0:08.999  1  1  1
                => ~ 0:09
            - ann 0:01 1      // late
            $
                => $
        "#]],
    );
}

#[test]
fn sessions_of_processing_time_close_at_the_first_barrier_behind_their_end() {
    check(
        |input| aggregate(input, TimeKind::Processing, &["SUM"], false),
        expect![[r#"
            columns user text, ts time, amount int

            + ann 0:01 1
            + bob 0:02 2
            ~ 0:50            // says nothing about processing time
                => ~ 0:50
            + ann 0:04 4
            | 1 0:06.999
            | 2 0:07          // what ends at the barrier's time is complete
                => + bob  0:02  0:07  0:06.999  1  2
            + ann 0:08 8
            | 3 0:12.999
            ! crash
            + ann 0:20 16
            $
                => + ann  0:01  0:13  0:12.999  3  13
                => + ann  0:20  0:25  0:24.999  1  16
                => $
        "#]],
    );
}

#[test]
fn without_keys_all_rows_share_sessions() {
    check(
        |input| {
            let spec = aggregate(input, TimeKind::Event, &[], false);
            let fields: Vec<_> = spec.schema.fields()[1..].to_vec();
            SessionAggregate { keys: vec![], schema: Arc::new(Schema::new(fields)), ..spec }
        },
        expect![[r#"
            columns user text, ts time

            + ann 0:01
            + bob 0:05
            + cid 0:30
            ~ 0:20
                => + 0:01  0:10  0:09.999  2
                => ~ 0:20
            | 1
            $
                => + 0:30  0:35  0:34.999  1
                => $
        "#]],
    );
}

#[test]
fn rows_come_out_with_their_session_when_it_closes() {
    check(
        |schema| {
            let fields = schema.fields().iter().cloned().chain(window_fields(None)).collect::<Vec<_>>();
            let schema = Arc::new(Schema::new(fields));
            SessionAssign { session: FIVE, kind: TimeKind::Event, time: 1, keys: vec![0], schema }
        },
        expect![[r#"
            columns user text, ts time, amount int

            + ann 0:01 1
            + bob 0:02 2
            + ann 0:11 3
            | 1
            + ann 0:06 4      // joins both
            + bob 0:03 5
            ~ 0:08
                => + bob  0:02  2  0:02  0:08  0:07.999
                => + bob  0:03  5  0:02  0:08  0:07.999
                => ~ 0:08
            + bob 0:02 6      // late
            | 2
            $
                => + ann  0:01  1  0:01  0:16  0:15.999
                => + ann  0:11  3  0:01  0:16  0:15.999
                => + ann  0:06  4  0:01  0:16  0:15.999
                => $
        "#]],
    );
}
