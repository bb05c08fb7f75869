//! One account that sends transactions and waits for their receipts. Every wait is bounded.

use super::DeployError;
use crate::explain_revert;
use alloy::{
    network::{EthereumWallet, TransactionBuilder},
    providers::{DynProvider, Provider, ProviderBuilder},
    rpc::types::{TransactionReceipt, TransactionRequest},
    signers::local::PrivateKeySigner,
    transports::{RpcError, TransportError},
};
use alloy_primitives::{Address, Bytes};
use alloy_sol_types::{SolCall, SolEvent};
use kms_types::ChainAddress;
use std::time::Duration;

/// Longest wait for one request or one receipt.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// Connects over HTTP or WebSocket with a key of one's own.
///
/// Nonces are asked for each time: a cached one leaves a gap for ever when a reorganisation drops a transaction.
///
/// # Errors
/// When the URL is malformed or nobody listens (WebSocket).
pub async fn connect(url: &str, key: PrivateKeySigner) -> Result<Sender, DeployError> {
    let from = key.address();
    let provider = ProviderBuilder::new()
        .with_simple_nonce_management()
        .wallet(EthereumWallet::from(key))
        .connect(url)
        .await
        .map_err(|source| DeployError::Connect {
            url: url.to_owned(),
            source,
        })?;
    provider.client().set_poll_interval(POLL);
    Ok(Sender::new(
        provider.erased(),
        ChainAddress::new(from.into_array()),
    ))
}

/// A provider with the account it sends from.
#[derive(Debug, Clone)]
pub struct Sender {
    provider: DynProvider,
    from: Address,
}

impl Sender {
    /// Takes a provider that can sign for `from`, or whose endpoint can.
    pub fn new(provider: DynProvider, from: ChainAddress) -> Self {
        Self {
            provider,
            from: Address::from(from.to_bytes()),
        }
    }

    /// The account.
    pub fn address(&self) -> ChainAddress {
        ChainAddress::new(self.from.into_array())
    }

    /// The provider underneath.
    pub fn provider(&self) -> &DynProvider {
        &self.provider
    }

    /// Calls a function in a transaction and waits until it is mined.
    ///
    /// # Errors
    /// [`DeployError::Refused`] when the contract would revert; the others name where it stopped.
    pub async fn send<C: SolCall>(
        &self,
        step: &'static str,
        to: ChainAddress,
        call: &C,
    ) -> Result<TransactionReceipt, DeployError> {
        let request = TransactionRequest::default()
            .with_to(Address::from(to.to_bytes()))
            .with_input(call.abi_encode());
        self.transact(step, request).await
    }

    /// Deploys code followed by its encoded constructor arguments.
    ///
    /// # Errors
    /// As [`Sender::send`].
    pub async fn deploy(
        &self,
        step: &'static str,
        code: &Bytes,
        arguments: Vec<u8>,
    ) -> Result<ChainAddress, DeployError> {
        let code = [code.as_ref(), &arguments].concat();
        let receipt = self
            .transact(step, TransactionRequest::default().with_deploy_code(code))
            .await?;
        let address = receipt.contract_address.ok_or(DeployError::Receipt {
            step,
            expected: "a contract",
        })?;
        Ok(ChainAddress::new(address.into_array()))
    }

    /// Asks a view function at the newest block.
    ///
    /// # Errors
    /// As [`Sender::send`], and when the answer is not the function's.
    pub async fn ask<C: SolCall>(
        &self,
        step: &'static str,
        to: ChainAddress,
        call: &C,
    ) -> Result<C::Return, DeployError> {
        let request = TransactionRequest::default()
            .with_from(self.from)
            .with_to(Address::from(to.to_bytes()))
            .with_input(call.abi_encode());
        let answer = bounded(step, async { self.provider.call(request).await }).await?;
        if answer.is_empty() {
            return Err(DeployError::NoContract { step, address: to });
        }
        C::abi_decode_returns_validate(&answer).map_err(|_| DeployError::Receipt {
            step,
            expected: "the function's return values",
        })
    }

    async fn transact(
        &self,
        step: &'static str,
        request: TransactionRequest,
    ) -> Result<TransactionReceipt, DeployError> {
        let request = request.with_from(self.from);
        let pending = bounded(step, async { self.provider.send_transaction(request).await }).await?;
        let transaction = pending.tx_hash().to_string();
        let receipt = pending
            .with_timeout(Some(PATIENCE))
            .get_receipt()
            .await
            .map_err(|source| DeployError::Pending {
                step,
                transaction: transaction.clone(),
                source,
            })?;
        if !receipt.status() {
            let block = receipt.block_number.unwrap_or_default();
            return Err(DeployError::Failed {
                step,
                transaction,
                block,
            });
        }
        Ok(receipt)
    }
}

/// The first event of a kind that `emitter` wrote in a transaction.
///
/// # Errors
/// When there is none.
pub(super) fn event<E: SolEvent>(
    step: &'static str,
    receipt: &TransactionReceipt,
    emitter: ChainAddress,
) -> Result<E, DeployError> {
    receipt
        .logs()
        .iter()
        .filter(|log| log.address().into_array() == emitter.to_bytes())
        .find_map(|log| E::decode_log(&log.inner).ok())
        .map(|log| log.data)
        .ok_or(DeployError::Receipt {
            step,
            expected: E::SIGNATURE,
        })
}

async fn bounded<T>(
    step: &'static str,
    request: impl Future<Output = Result<T, TransportError>>,
) -> Result<T, DeployError> {
    tokio::time::timeout(PATIENCE, request)
        .await
        .map_err(|_| DeployError::Silent {
            step,
            seconds: PATIENCE.as_secs(),
        })?
        .map_err(|source| match revert_data(&source) {
            Some(data) => DeployError::Refused {
                step,
                reason: explain_revert(&data),
            },
            None => DeployError::Transport { step, source },
        })
}

fn revert_data(error: &TransportError) -> Option<Bytes> {
    match error {
        RpcError::ErrorResp(payload) => payload.as_revert_data(),
        _ => None,
    }
}
