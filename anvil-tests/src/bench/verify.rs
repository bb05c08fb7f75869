//! Time to verify one quote on one core: with nothing known, and with the platform's certification known.

use super::{COMPOSE, median, rounded};
use crate::{AppSpec, Network};
use anyhow::{Context, Result, ensure};
use attestation::{Collateral, TrustRoots, Verifier, verify_td};
use kms_types::{AppId, ReportData, UnixTime};
use serde_json::{Map, Value};
use std::{
    hint::black_box,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use td_quote::Td;

const QUOTES: usize = 200;
const ROUNDS: usize = 9;

pub(super) fn measure(network: &Network, figures: &mut Map<String, Value>) -> Result<()> {
    let td = network.launch(&AppSpec::new(AppId::new([7; 20]), COMPOSE, "bench"))?;
    let quotes = (0..QUOTES).map(|n| {
        let mut data = [0; ReportData::LEN];
        data.iter_mut()
            .zip(n.to_be_bytes())
            .for_each(|(to, from)| *to = from);
        td.quote(&ReportData::new(data))
    });
    let quotes = quotes.collect::<Result<Vec<_>, _>>()?;
    let now = UnixTime(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs());
    let collateral = Collateral::from_json(&network.platform()?.collateral(now)?.to_json()?)?;
    let roots = TrustRoots::new([network.root()]);

    let cold = rounds(&quotes, |quote| {
        verify_td(quote, &collateral, now, &roots)
            .map(drop)
            .map_err(Into::into)
    })?;
    let verifier = Verifier::new(8);
    verifier.verify(quotes.first().context("quotes")?, &collateral, now, &roots)?;
    let warm = rounds(&quotes, |quote| {
        let td = verifier.verify(quote, &collateral, now, &roots)?;
        ensure!(td.certified_warm(), "the certification was not remembered");
        black_box(&td);
        Ok(())
    })?;
    figures.insert("verify_cold_us".to_owned(), rounded(cold));
    figures.insert("verify_warm_us".to_owned(), rounded(warm));
    Ok(())
}

/// Median over rounds of the mean time per quote, in microseconds.
fn rounds(quotes: &[Vec<u8>], verify: impl Fn(&[u8]) -> Result<()>) -> Result<f64> {
    let mut means = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        for quote in quotes {
            verify(black_box(quote))?;
        }
        let took: Duration = begun.elapsed();
        means.push(took.as_secs_f64() * 1e6 / quotes.len() as f64);
    }
    Ok(median(&mut means))
}
