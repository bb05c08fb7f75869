//! The owner's side on-chain: the app's authority, and the compose hash it allows.

use super::instance::{Instance, Intent, Record};
use crate::{
    app,
    cli::Deploy,
    connection::{Connection, Effect, Role},
    exit::Unreachable,
    output::Output,
};
use alloy::{
    eips::BlockId,
    primitives::{Address, FixedBytes},
    providers::Provider,
    rpc::types::{Filter, TransactionRequest},
    signers::local::PrivateKeySigner,
    sol_types::{SolCall, SolEvent},
};
use anyhow::{Context, Result};
use authority_contracts::abi::{AppAuthority as authority, KmsAuthority as kms};
use kms_types::{AppId, ChainAddress, ComposeHash, KeyEpoch};
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// Longest wait for a transaction of an earlier deploy.
const PENDING: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(250);

/// Who owns the app.
pub(super) struct Owner {
    at: Connection,
    key: PrivateKeySigner,
}

impl Owner {
    /// The owner's key and the chain.
    ///
    /// # Errors
    /// When the network does not answer or the key cannot be used.
    pub(super) async fn open(state: &Path, asked: &Deploy) -> Result<Self> {
        Ok(Self {
            at: Connection::open(state, &asked.target, Role::AppOwner).await?,
            key: crate::connection::owner_key(state, &asked.target)?,
        })
    }

    pub(super) fn address(&self) -> ChainAddress {
        ChainAddress::new(self.key.address().into_array())
    }

    pub(super) fn key(&self) -> &PrivateKeySigner {
        &self.key
    }

    /// The KMS's keys of an epoch as the network's contract records them; empty when it records none.
    ///
    /// # Errors
    /// When the chain does not answer.
    pub(super) async fn recorded_kms(&self, epoch: KeyEpoch) -> Result<kms::KmsIdentity> {
        let asked = kms::kmsIdentityCall { epoch: epoch.0 };
        self.at.ask(self.at.authority, &asked).await
    }

    /// The app, with the document allowed: a new one with an authority of its own, or the one it is already.
    ///
    /// # Errors
    /// When the contract refuses, or the record cannot be kept.
    pub(super) async fn app(
        &self,
        instance: &Instance,
        record: &mut Record,
        document: &str,
        output: &Output,
    ) -> Result<AppId> {
        let hash = ComposeHash::of(document.as_bytes());
        if record.app_id.is_none()
            && let Some(intent) = &record.intent
        {
            output.waiting("an earlier deploy was cut short: looking on-chain for the app it may have made");
            record.app_id = self.made(intent).await?;
        }
        let app = match record.app_id {
            Some(app) => app,
            None => {
                record.intent = Some(Intent {
                    compose_hash: hash,
                    from_block: self.height().await?,
                });
                instance.save(record)?;
                self.create(hash, output).await?
            }
        };
        record.app_id = Some(app);
        record.intent = None;
        instance.save(record)?;
        self.allow(app, hash, output).await?;
        Ok(app)
    }

    async fn create(&self, hash: ComposeHash, output: &Output) -> Result<AppId> {
        let call = kms::deployAndRegisterApp_1Call {
            _0: self.key.address(),
            _1: false,
            _2: true,
            _3: true,
            _4: FixedBytes::ZERO,
            _5: FixedBytes(hash.to_bytes()),
        };
        let mined = self
            .at
            .transact(output, "KmsAuthority", self.at.authority, &call, Effect::Grant)
            .await?;
        app::deployed(&mined)
    }

    async fn allow(&self, app: AppId, hash: ComposeHash, output: &Output) -> Result<()> {
        let to = ChainAddress::new(app.to_bytes());
        let compose_hash = FixedBytes(hash.to_bytes());
        let asked = authority::allowedComposeHashesCall {
            composeHash: compose_hash,
        };
        if self.at.ask(to, &asked).await? {
            return self.until_final(to, &asked, output).await;
        }
        let call = authority::addComposeHashCall {
            composeHash: compose_hash,
        };
        self.at
            .transact(output, "AppAuthority", to, &call, Effect::Grant)
            .await
            .map(drop)
    }

    /// Waits for what an earlier deploy allowed and did not wait for: a KMS looks at the final state.
    async fn until_final(
        &self,
        to: ChainAddress,
        asked: &authority::allowedComposeHashesCall,
        output: &Output,
    ) -> Result<()> {
        let provider = self.at.sender.provider();
        let question = TransactionRequest::default()
            .to(Address::from(to.to_bytes()))
            .input(asked.abi_encode().into());
        let end = Instant::now() + PENDING;
        let mut said = false;
        loop {
            // Before its block is final there is not even a contract that could answer.
            let answer = provider.call(question.clone()).block(BlockId::finalized()).await;
            let answer = answer.context("the chain's final state")?;
            if authority::allowedComposeHashesCall::abi_decode_returns(&answer).unwrap_or(false) {
                return Ok(());
            }
            if Instant::now() > end {
                return Err(Unreachable(format!("the grant is not final within {PENDING:?}")).into());
            }
            if !std::mem::replace(&mut said, true) {
                output.waiting("waiting until what an earlier deploy allowed is final");
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn height(&self) -> Result<u64> {
        let asked = self.at.sender.provider().get_block_number().await;
        asked.context("the chain's height")
    }

    /// The app an earlier deploy made and did not hear of.
    async fn made(&self, intent: &Intent) -> Result<Option<AppId>> {
        let provider = self.at.sender.provider();
        let owner = self.key.address();
        let end = Instant::now() + PENDING;
        // One that is still on its way would be made a second time.
        loop {
            let mined = provider.get_transaction_count(owner).await;
            let sent = provider.get_transaction_count(owner).pending().await;
            if mined.context("the owner's transactions")? >= sent.context("the owner's transactions")? {
                break;
            }
            if Instant::now() > end {
                return Err(Unreachable(format!(
                    "a transaction of {owner} is not mined yet, and may be the app's: deploy again when it is"
                ))
                .into());
            }
            tokio::time::sleep(LOOK).await;
        }
        let filter = Filter::new()
            .address(Address::from(self.at.authority.to_bytes()))
            .event_signature(kms::AppDeployedViaFactory::SIGNATURE_HASH)
            .topic2(owner)
            .from_block(intent.from_block);
        let logs = provider.get_logs(&filter).await.context("apps made so far")?;
        let asked = authority::allowedComposeHashesCall {
            composeHash: FixedBytes(intent.compose_hash.to_bytes()),
        };
        for log in logs {
            let Ok(event) = kms::AppDeployedViaFactory::decode_log(&log.inner) else {
                continue;
            };
            let app = event.appId.into_array();
            if self.at.ask(ChainAddress::new(app), &asked).await? {
                return Ok(Some(AppId::new(app)));
            }
        }
        Ok(None)
    }
}
