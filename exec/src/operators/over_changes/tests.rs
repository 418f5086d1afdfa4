//! Transcripts of functions that change with rows that follow.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, new_null_array};
use arrow::compute::{SortOptions, concat};
use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use datafusion_expr::{LimitEffect, PartitionEvaluator, WindowFrame};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::Column;
use datafusion_physical_expr::window::{StandardWindowExpr, StandardWindowFunctionExpr};
use expect_test::expect;

use super::OverChanges;
use crate::operators::{Emit, Order, Ttl};
use crate::testing::{check, check_undisturbed};

/// The value of the second column in the next row.
#[derive(Debug)]
struct Next(FieldRef);

impl StandardWindowFunctionExpr for Next {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn field(&self) -> datafusion_common::Result<FieldRef> {
        Ok(Arc::clone(&self.0))
    }

    fn expressions(&self) -> Vec<Arc<dyn PhysicalExpr>> {
        vec![Arc::new(Column::new(self.0.name(), 1))]
    }

    fn create_evaluator(&self) -> datafusion_common::Result<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(Evaluator))
    }

    fn limit_effect(&self) -> LimitEffect {
        LimitEffect::Unknown
    }
}

#[derive(Debug)]
struct Evaluator;

impl PartitionEvaluator for Evaluator {
    fn evaluate_all(&mut self, values: &[ArrayRef], rows: usize) -> datafusion_common::Result<ArrayRef> {
        let last = new_null_array(values[0].data_type(), 1);
        Ok(concat(&[values[0].slice(1, rows - 1).as_ref(), last.as_ref()])?)
    }
}

/// By the first column, in order of the second.
fn next(input: &SchemaRef) -> OverChanges {
    let value = Arc::clone(&input.fields()[1]);
    let result = Field::new("next", value.data_type().clone(), true);
    let frame = Arc::new(WindowFrame::new(Some(false)));
    OverChanges {
        keys: vec![0],
        order: vec![Order { column: 1, options: SortOptions { descending: false, nulls_first: true } }],
        functions: vec![Arc::new(StandardWindowExpr::new(Arc::new(Next(value)), &[], &[], frame))],
        emit: Emit::Epoch,
        ttl: None,
        schema: Arc::new(Schema::new([input.fields().to_vec(), vec![Arc::new(result)]].concat())),
    }
}

#[test]
fn an_epoch_shows_the_net_change_of_results() {
    check(
        next,
        expect![[r#"
            columns k text, v int, w int

            + x 3 1
            + x 1 2
            + null null 3
            | 1
                => + x  1  2  3
                => + x  3  1  null
                => + null  null  3  null
            ! crash
            + x 2 4
            + null 7 5
            | 2
                => - x  1  2  3
                => + x  1  2  2
                => + x  2  4  3
                => - null  null  3  null
                => + null  null  3  7
                => + null  7  5  null
            - x 2 4
            + x 2 4             // it went and came
            | 3
            - x 3 1
            - y 1 1             // never was there
            + x 3 6             // another in its place
            | 4
                => - x  3  1  null
                => + x  3  6  null
            ! crash
            - x 1 2
            - x 2 4
            - x 3 6
            | 5
                => - x  1  2  2
                => - x  2  4  3
                => - x  3  6  null
            + x 4 7
            $
                => + x  4  7  null
                => $
        "#]],
    );
}

#[test]
fn rows_that_are_equal_count_as_often_as_they_are_there() {
    check(
        |input| OverChanges { keys: vec![], ..next(input) },
        expect![[r#"
            columns k text, v int

            +2 x 1
            | 1
                => + x  1  1
                => + x  1  null
            + x 2
            + y 1               // behind the two, as it came later
            | 2
                => - x  1  null
                => + x  1  1
                => + y  1  2
                => + x  2  null
            ! crash
            - x 1
            $
                => - x  1  1
                => $
        "#]],
    );
}

#[test]
fn each_row_may_show_its_change() {
    check(
        |input| OverChanges { emit: Emit::EachRow, ..next(input) },
        expect![[r#"
            columns k text, v int

            + x 1
                => + x  1  null
            + x 3
                => - x  1  null
                => + x  1  3
                => + x  3  null
            + x 2
                => - x  1  3
                => + x  1  2
                => + x  2  3
            | 1
            ! crash
            - x 3
                => - x  3  null
                => - x  2  3
                => + x  2  null
            $
                => $
        "#]],
    );
}

#[test]
fn keys_that_are_not_used_are_forgotten_in_silence() {
    check_undisturbed(
        |[input]| OverChanges { ttl: Some(Ttl(Duration::from_secs(10))), ..next(input) },
        expect![[r#"
            columns k text, v int

            + x 5
            + y 5
            | 1 0:00
                => + x  5  null
                => + y  5  null
            | 2 0:01
            + x 6
            | 3 0:10
                => - x  5  null
                => + x  5  6
                => + x  6  null
            | 4 0:11
            + x 7
            - y 5
            + y 7
            $
                => - x  6  null
                => + x  6  7
                => + x  7  null
                => + y  7  null
                => $
        "#]],
    );
}
