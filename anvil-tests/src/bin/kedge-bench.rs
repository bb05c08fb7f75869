//! Measures, and writes `target/bench.json`.

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    anvil_tests::bench::run().await
}
