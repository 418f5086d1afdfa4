//! The example for users who bring their own source and sink, run as they would run it.

#[path = "../../examples/custom_connector.rs"]
mod example;

#[tokio::test]
async fn the_example_reads_with_its_source_and_writes_with_its_sink() {
    let letters = example::run().await.expect("the example runs");
    assert_eq!(letters, ["3 squared is 9", "4 squared is 16", "5 squared is 25"]);
}
