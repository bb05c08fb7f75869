//! One view call over proven state, bounded in gas. No fee, no nonce, no balance of a caller, as `eth_call`; a revert, a
//! halt or a missing contract is an error and never an answer.

use crate::{
    HardforkRule, PolicyError, ProvenState, Reads, Stop, block::WatchedBlock, database::View,
    window::TimeWatch,
};
use alloy_primitives::{Address, Bytes, TxKind, U256};
use alloy_trie::KECCAK_EMPTY;
use revm::{
    Context, Journal, MainBuilder,
    context::{CfgEnv, TxEnv},
    context_interface::{
        JournalTr,
        result::{EVMError, ExecutionResult, HaltReason},
    },
    handler::{FrameResult, Handler, MainnetEvm},
    inspector::InspectorHandler,
    interpreter::{InitialAndFloorGas, interpreter::EthInterpreter},
    primitives::hardfork::SpecId,
};

/// What a contract's execution depends on besides state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EvmRules {
    /// Chain id the contract sees.
    pub chain_id: u64,
    /// Rules of the EVM.
    pub hardfork: HardforkRule,
    /// Gas one call may use.
    pub gas_limit: u64,
}

/// An answer and what it rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome<T> {
    /// The answer.
    pub value: T,
    /// What was read to find it.
    pub reads: Reads,
    /// Gas it took.
    pub gas_used: u64,
}

impl<T> Outcome<T> {
    /// The same reads under what the answer means.
    pub(crate) fn with<U>(self, value: U) -> Outcome<U> {
        Outcome {
            value,
            reads: self.reads,
            gas_used: self.gas_used,
        }
    }
}

type ViewContext<'a> = Context<WatchedBlock, TxEnv, CfgEnv, View<'a>, Journal<View<'a>>, ()>;
type ViewEvm<'a> = MainnetEvm<ViewContext<'a>, TimeWatch>;
type ViewError = EVMError<crate::Missing>;

/// Calls `contract` with `data` over `state`.
///
/// # Errors
/// [`Stop::Missing`] when the account, or anything the run reads, is not in `state`; [`Stop::Failed`] when `contract` has
/// no code, reverts, halts, or the EVM refuses the call.
pub fn execute(
    state: &ProvenState,
    rules: &EvmRules,
    contract: Address,
    data: Bytes,
) -> Result<Outcome<Bytes>, Stop> {
    // C6: a call to an address without code succeeds with an empty answer.
    let account = state.account(contract)?;
    if account.is_none_or(|account| account.code_hash == KECCAK_EMPTY) {
        let block = state.header().number();
        return Err(PolicyError::NoCode { contract, block }.into());
    }
    let mut evm = prepare(state, rules, contract, data)?;
    let result = ViewCall::default().inspect_run(&mut evm);
    let (block_read, blob_fee) = (evm.ctx.block.was_read(), evm.ctx.block.was_blob_fee_read());
    let view = evm.ctx.journaled_state.db_mut();
    // C3: a read that failed decides the whole run, whatever the contract made of it.
    if let Some(missing) = view.missing {
        return Err(missing.into());
    }
    // C3: a value no header proves is no answer, as the hash of an earlier block is none.
    if blob_fee {
        let read = "the contract read the blob base fee, which no header proves";
        return Err(PolicyError::Evm(read.to_owned()).into());
    }
    let mut reads = std::mem::take(&mut view.reads);
    let window = evm.inspector.window();
    reads.window = window.filter(|_| !block_read);
    reads.beneficiary = state.header().fields().beneficiary;
    reads.fork = Some(rules.hardfork.at(state.header()));
    answer(result, rules, contract).map(|(value, gas_used)| Outcome {
        value,
        reads,
        gas_used,
    })
}

fn prepare<'a>(
    state: &'a ProvenState,
    rules: &EvmRules,
    contract: Address,
    data: Bytes,
) -> Result<ViewEvm<'a>, PolicyError> {
    let spec = SpecId::from(rules.hardfork.at(state.header()));
    let mut cfg = CfgEnv::new()
        .with_chain_id(rules.chain_id)
        .with_spec_and_mainnet_gas_params(spec);
    cfg.tx_gas_limit_cap = Some(u64::MAX);
    cfg.disable_block_gas_limit = true;
    cfg.disable_base_fee = true;
    let tx = TxEnv::builder()
        .caller(Address::ZERO)
        .kind(TxKind::Call(contract))
        .data(data)
        .gas_limit(rules.gas_limit)
        .gas_price(0)
        .chain_id(Some(rules.chain_id))
        .build()
        .map_err(|refused| PolicyError::Evm(format!("{refused:?}")))?;
    let context: ViewContext<'a> = Context {
        block: WatchedBlock::new(state.header()),
        tx,
        cfg,
        journaled_state: Journal::new(View::new(state)),
        chain: (),
        local: Default::default(),
        error: Ok(()),
    };
    let time = U256::from(state.header().timestamp().0);
    Ok(context.build_mainnet_with_inspector(TimeWatch::new(time)))
}

/// C6: only a call that returned is an answer.
fn answer(
    result: Result<ExecutionResult<HaltReason>, ViewError>,
    rules: &EvmRules,
    contract: Address,
) -> Result<(Bytes, u64), Stop> {
    let gas_limit = rules.gas_limit;
    match result {
        Ok(ExecutionResult::Success { output, gas, .. }) => Ok((output.into_data(), gas.tx_gas_used())),
        Ok(ExecutionResult::Revert { output, .. }) => {
            let head: Vec<u8> = output.iter().take(68).copied().collect();
            let data = alloy_primitives::hex::encode(head);
            Err(PolicyError::Reverted { contract, data }.into())
        }
        Ok(ExecutionResult::Halt { reason, .. }) => {
            let reason = format!("{reason:?}");
            Err(PolicyError::Halted {
                contract,
                gas_limit,
                reason,
            }
            .into())
        }
        Err(EVMError::Database(missing)) => Err(missing.into()),
        Err(refused) => Err(PolicyError::Evm(format!("{refused:?}").chars().take(200).collect()).into()),
    }
}

/// The mainnet handler without the parts that touch a caller's or a block producer's account.
#[derive(Debug, Default)]
struct ViewCall<'a>(std::marker::PhantomData<&'a ()>);

impl InspectorHandler for ViewCall<'_> {
    type IT = EthInterpreter;
}

impl<'a> Handler for ViewCall<'a> {
    type Evm = ViewEvm<'a>;
    type Error = ViewError;
    type HaltReason = HaltReason;

    fn validate_against_state_and_deduct_caller(
        &self,
        _evm: &mut Self::Evm,
        _gas: &mut InitialAndFloorGas,
    ) -> Result<(), ViewError> {
        Ok(())
    }

    fn load_accounts(&self, evm: &mut Self::Evm) -> Result<(), ViewError> {
        revm::handler::pre_execution::load_accounts::<_, ViewError>(evm)?;
        // The EVM's own look at the block ends here; from now on it is the contract that looks.
        evm.ctx.block.forget();
        Ok(())
    }

    fn reimburse_caller(&self, _evm: &mut Self::Evm, _result: &mut FrameResult) -> Result<(), ViewError> {
        Ok(())
    }

    fn reward_beneficiary(&self, _evm: &mut Self::Evm, _result: &mut FrameResult) -> Result<(), ViewError> {
        Ok(())
    }
}
