//! Every benchmark runs.

#![allow(dead_code, unreachable_pub, reason = "a benchmark's `main` is not called here")]

#[path = "../graph.rs"]
mod graph;
#[path = "../merge.rs"]
mod merge;
#[path = "../output.rs"]
mod output;
#[path = "../sling.rs"]
mod sling;
#[path = "../store.rs"]
mod store;

use gastown_benches::Options;

fn brief(run: fn(&Options) -> Result<(), String>) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    run(&Options::quick(folder.path())).expect("it runs to its end");
}

#[test]
fn the_store_benchmark_runs() {
    brief(store::run);
}

#[test]
fn the_graph_benchmark_runs() {
    brief(graph::run);
}

#[test]
fn the_output_benchmark_runs() {
    brief(output::run);
}

#[test]
fn the_sling_benchmark_runs() {
    brief(sling::run);
}

#[test]
fn the_merge_benchmark_runs() {
    brief(merge::run);
}
