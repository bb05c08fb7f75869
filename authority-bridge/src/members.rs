//! The endpoints several parts share, and how each of them does: failures and how long it is left alone after them, lies,
//! last fault. Asking them one after the other without waiting for one that hangs is here too.

use crate::{BridgeConfig, BridgeError, Endpoint, HeaderSource};
use authority_policy::PolicyError;
use futures_util::{StreamExt, stream::FuturesUnordered};
use std::{
    collections::VecDeque,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Pause after a first failure, doubled with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Pause of an endpoint without which too few are left.
const NEEDED_PAUSE: Duration = Duration::from_millis(500);
/// Pause of an endpoint whose evidence proved nothing.
const AFTER_LIE: Duration = Duration::from_secs(600);
/// How long evidence that failed or was false is held against an endpoint after its pause.
const MEMORY: Duration = Duration::from_secs(60);
/// An answer may take twice as long as most endpoints take, within these bounds, before the next is asked as well.
const LEAST_PATIENCE: Duration = Duration::from_millis(25);
const MOST_PATIENCE: Duration = Duration::from_millis(250);
/// Late answers in a row after which an endpoint is named for it.
const OFTEN: u32 = 3;

/// What happens to one kind of request.
#[derive(Debug, Default)]
struct Record {
    failures: u32,
    failed_at: Option<Instant>,
    pause: Duration,
    error: Option<String>,
}

impl Record {
    fn succeeded(&mut self) {
        *self = Self::default();
    }

    fn failed(&mut self, error: Option<String>, least: Duration) {
        self.failures = self.failures.saturating_add(1);
        let doubled = FIRST_PAUSE.saturating_mul(1 << self.failures.saturating_sub(1).min(8));
        self.pause = doubled.min(LONGEST_PAUSE).max(least);
        self.failed_at = Some(Instant::now());
        self.error = error;
    }

    /// Whether its failures still count: whoever fails is asked last, and so might never show that it is well again.
    fn is_recent(&self) -> bool {
        self.failed_at
            .is_some_and(|at| at.elapsed() < self.pause.saturating_add(MEMORY))
    }

    /// Whether it is left alone now, waiting for `longest` at most.
    fn rests(&self, longest: Duration) -> bool {
        self.failed_at
            .is_some_and(|at| at.elapsed() < self.pause.min(longest))
    }
}

#[derive(Debug, Default)]
struct Health {
    headers: Record,
    evidence: Record,
    /// When it last gave evidence that proves nothing.
    false_at: Option<Instant>,
    /// Its chain is not the agreed one.
    dispute: Option<String>,
    lies: u64,
    /// How long it takes to answer, smoothed.
    latency: Option<Duration>,
}

/// How an endpoint does.
pub(crate) struct Report {
    /// Whether it answered when last asked for headers.
    pub(crate) healthy: bool,
    /// Whether its evidence was good when it was last asked for some, as far as that is remembered.
    pub(crate) proves: bool,
    /// What was last wrong with it.
    pub(crate) last_error: Option<String>,
    /// Answers that cannot be true.
    pub(crate) lies: u64,
}

/// One endpoint.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) endpoint: Endpoint,
    health: Mutex<Health>,
}

impl Member {
    pub(crate) fn name(&self) -> &str {
        HeaderSource::name(&self.endpoint)
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it may be asked for headers now.
    pub(crate) fn is_due(&self, is_needed: bool) -> bool {
        let longest = if is_needed { NEEDED_PAUSE } else { Duration::MAX };
        !self.health().headers.rests(longest)
    }

    pub(crate) fn answered(&self, after: Duration) {
        let mut health = self.health();
        health.headers.succeeded();
        let smooth = |before: Duration| before.saturating_mul(7).saturating_add(after) / 8;
        health.latency = Some(health.latency.map_or(after, smooth));
    }

    pub(crate) fn failed(&self, error: &BridgeError) {
        let (text, mut health) = (error.to_string(), self.health());
        let is_lie = matches!(
            error,
            BridgeError::Evidence { .. } | BridgeError::WrongChain { .. }
        );
        health.lies += u64::from(is_lie);
        if health.headers.error.as_ref() != Some(&text) {
            tracing::warn!(endpoint = self.name(), error = text, "an endpoint fails");
        }
        health.headers.failed(Some(text), Duration::ZERO);
    }

    /// An answer that cannot be true, or a chain that contradicts what is final.
    pub(crate) fn lied(&self, text: &str) {
        tracing::warn!(endpoint = self.name(), text, "an endpoint lies");
        self.health().lies += 1;
    }

    /// Notes whether its chain is the agreed one, and if not, why.
    pub(crate) fn disputes(&self, dispute: Option<String>) {
        let mut health = self.health();
        if let Some(text) = dispute.as_ref().filter(|_| health.dispute.is_none()) {
            tracing::warn!(endpoint = self.name(), text, "an endpoint disagrees");
        }
        health.dispute = dispute;
    }

    pub(crate) fn gave_evidence(&self) {
        let mut health = self.health();
        // What was proven now does not undo what was lied about before.
        if !health.evidence.rests(Duration::MAX) {
            health.evidence.succeeded();
        }
    }

    /// Whether it gave evidence that proved nothing a short while ago.
    pub(crate) fn is_avoided(&self) -> bool {
        self.health().false_at.is_some_and(|at| at.elapsed() < AFTER_LIE)
    }

    /// Evidence that does not come.
    pub(crate) fn owes_evidence(&self, text: String) {
        self.health().evidence.failed(Some(text), Duration::ZERO);
    }

    /// Evidence that came from another one first. One slow answer says little, so it only changes who is asked first.
    fn was_late(&self) {
        let mut health = self.health();
        let often = health.evidence.failures.saturating_add(1) >= OFTEN;
        let text = || format!("{}: evidence: late {OFTEN} times or more in a row", self.name());
        let error = health.evidence.error.take().or_else(|| often.then(text));
        health.evidence.failed(error, Duration::ZERO);
    }

    /// Evidence that does not prove what it claims.
    pub(crate) fn gave_false_evidence(&self, fault: &PolicyError) {
        tracing::warn!(endpoint = self.name(), %fault, "an endpoint gives false evidence");
        let mut health = self.health();
        health.lies += 1;
        health.false_at = Some(Instant::now());
        let text = format!("{}: {fault}", self.name());
        health.evidence.failed(Some(text), AFTER_LIE);
    }

    /// How it does.
    pub(crate) fn report(&self) -> Report {
        let health = self.health();
        let evidence = health
            .evidence
            .error
            .as_ref()
            .filter(|_| health.evidence.is_recent());
        let faults = [health.headers.error.as_ref(), health.dispute.as_ref(), evidence];
        Report {
            healthy: health.latency.is_some() && health.headers.failures == 0,
            proves: evidence.is_none(),
            last_error: faults.into_iter().flatten().next().cloned(),
            lies: health.lies,
        }
    }

    /// Less is better.
    fn rank(&self) -> (bool, bool, bool, u32) {
        let health = self.health();
        let failures = match health.evidence.is_recent() {
            true => health.evidence.failures,
            false => 0,
        };
        (
            health.evidence.rests(Duration::MAX),
            health.headers.failures > 0,
            health.dispute.is_some(),
            failures,
        )
    }
}

/// All of them, in the order of the configuration.
#[derive(Debug, Clone)]
pub(crate) struct Members(Arc<[Member]>);

impl Members {
    pub(crate) fn new(config: &BridgeConfig) -> Result<Self, BridgeError> {
        let named = config.endpoints.iter().zip(config.names());
        let members = named.map(|(endpoint, name)| {
            Ok(Member {
                endpoint: Endpoint::named(config, endpoint, name)?,
                health: Mutex::default(),
            })
        });
        Ok(Self(members.collect::<Result<_, BridgeError>>()?))
    }

    pub(crate) fn all(&self) -> &[Member] {
        &self.0
    }
    pub(crate) fn get(&self, index: usize) -> Option<&Member> {
        self.0.get(index)
    }

    /// Names, for people.
    pub(crate) fn names(&self) -> String {
        let names: Vec<&str> = self.0.iter().map(Member::name).collect();
        names.join(", ")
    }

    /// Whom to ask for evidence, best first.
    pub(crate) fn best_first(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.0.len()).collect();
        order.sort_by_cached_key(|index| self.get(*index).map(Member::rank));
        order
    }

    /// Asks in order: the next one when an answer fails, and as well when it takes too long. The first good answer counts.
    /// With `is_owed`, whoever fails or is late is asked later next time.
    pub(crate) async fn first<T, F>(
        &self,
        order: impl IntoIterator<Item = usize>,
        is_owed: bool,
        ask: impl Fn(Endpoint) -> F,
    ) -> Result<(usize, T), BridgeError>
    where
        F: Future<Output = Result<T, BridgeError>>,
    {
        let mut order: VecDeque<usize> = order.into_iter().collect();
        let (mut asked, mut failed) = (FuturesUnordered::new(), Vec::new());
        let mut waiting: Vec<usize> = Vec::new();
        loop {
            if let Some((index, member)) = order.pop_front().and_then(|i| Some((i, self.get(i)?))) {
                let answer = ask(member.endpoint.clone());
                asked.push(async move { (index, answer.await) });
                waiting.push(index);
            } else if asked.is_empty() {
                return Err(one_of(failed));
            }
            let patience = match order.is_empty() {
                true => Duration::MAX,
                false => self.patience(),
            };
            match tokio::time::timeout(patience, asked.next()).await {
                Ok(Some((index, Ok(answer)))) => {
                    let late = waiting.into_iter().take_while(|late| *late != index);
                    let late = late.filter(|_| is_owed).filter_map(|late| self.get(late));
                    late.for_each(Member::was_late);
                    return Ok((index, answer));
                }
                Ok(Some((index, Err(error)))) => {
                    waiting.retain(|waiting| *waiting != index);
                    if let Some(member) = self.get(index).filter(|_| is_owed) {
                        member.owes_evidence(error.to_string());
                    }
                    failed.push(error);
                }
                Ok(None) | Err(_) => {}
            }
        }
    }

    /// A minority cannot make this long by being slow.
    fn patience(&self) -> Duration {
        let mut latencies: Vec<Duration> = self
            .0
            .iter()
            .filter_map(|member| member.health().latency)
            .collect();
        latencies.sort_unstable();
        let median = latencies
            .get(latencies.len() / 2)
            .copied()
            .unwrap_or(MOST_PATIENCE);
        median.saturating_mul(2).clamp(LEAST_PATIENCE, MOST_PATIENCE)
    }
}

/// The only error as it is; of several, all.
fn one_of(mut errors: Vec<BridgeError>) -> BridgeError {
    match (errors.pop(), errors.is_empty()) {
        (Some(only), true) => only,
        (last, _) => {
            let texts: Vec<String> = errors.iter().chain(&last).map(ToString::to_string).collect();
            BridgeError::unavailable(texts.join("; "))
        }
    }
}
