pub mod aggregates;
