//! `kedge demo`: the main job on a fresh network, with nothing acted: the real chain, contracts, KMS node and client, and a
//! software TDX platform whose root this network lists. Ends with an error when any step did not do what it should.

mod client;
mod deployed;
mod fingerprint;
mod refusals;
mod releases;
mod scenes;
mod step;

use crate::{cli::Demo, exit::Told, output::Output};
use anyhow::Result;
use step::{Shown, Story};

const INTRO: &str = "\
kedge demo: a confidential VM gets its app's keys when the app's owner registered it on-chain, and not otherwise.

  app owner ── register, revoke ──► contracts on a chain
                                        │ proven state
  confidential VM ── quote ──► KMS node ┴─► keys, sealed to the VM · or a refusal with reason and block

Chain (Anvil), contracts, KMS node and client are real. The TDX hardware is simulated by a software platform with its own
root, and this network accepts that root because its contract lists it. Fingerprints stand for keys; no key is ever shown.
";

const OUTRO: &str = "\
What to take from it
  · The KMS asked no administrator: every answer names the block in which the contract's rules gave it.
  · A grant counts once its block is final; a revocation counts as soon as a block shows it.
  · The same instance gets the same keys, another instance another disk key, another app other keys.
  · Whoever runs the machines can refuse service, but not get a key.
Next: `kedge dev up` keeps such a network; docs/architecture.md says how it works, docs/security.md numbers the checks.
";

/// Plays the demo.
///
/// # Errors
/// When a step did not do what it should.
pub(crate) async fn run(options: &Demo, output: &Output) -> Result<()> {
    output.say(INTRO);
    let mut story = Story::new(output.is_json());
    tokio::select! {
        played = both(options, &mut story) => played?,
        // Dropping the scene stops what it started and removes its folder.
        _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
    }
    output.say(OUTRO);
    Ok(())
}

/// The KMS's half, then the app owner's. Containers need root; without it the second half is left out, and that is said.
async fn both(options: &Demo, story: &mut Story) -> Result<()> {
    scenes::play(options, story).await?;
    if !rustix::process::geteuid().is_root() {
        eprintln!("… left out: an app from a compose file, whose containers need root");
        return Ok(());
    }
    deployed::play(story).await
}

/// Runs one step and shows it.
async fn step<T>(
    story: &mut Story,
    id: &'static str,
    title: &'static str,
    scene: impl Future<Output = Result<(T, Shown)>>,
) -> Result<T> {
    story.begin(id, title);
    let (value, shown) = match scene.await {
        Ok((value, shown)) => (Some(value), shown),
        Err(error) => (
            None,
            Shown {
                failure: Some(format!("{error:#}")),
                ..Shown::default()
            },
        ),
    };
    match (story.end(&shown), value) {
        (true, Some(value)) => Ok(value),
        _ => Err(Told(format!("step {id} did not do what it should")).into()),
    }
}
