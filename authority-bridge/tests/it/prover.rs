//! Runs a call over state that is fetched from an endpoint and proven piece by piece, and nothing else.

use crate::fixture::Net;
use alloy::primitives::{B256, Bytes};
use authority_bridge::{BridgeConfig, Endpoint, EvidenceSource, HardforkRule, HeaderSource, Want};
use authority_policy::{EvmRules, Missing, PolicyError, ProvenState, Stop, execute};

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    Returned(Bytes),
    Reverted(Bytes),
    /// Out of gas, or an instruction that is none.
    Halted,
    /// Not executed to the end.
    Refused(String),
}

pub struct Prover {
    endpoint: Endpoint,
    state: ProvenState,
    rules: EvmRules,
}

impl Prover {
    pub async fn at(net: &Net, config: &BridgeConfig, block: B256) -> Self {
        let endpoint = Endpoint::new(config, &config.endpoints[0]).unwrap();
        let header = endpoint.by_hash(block).await.unwrap().unwrap();
        let rules = EvmRules {
            chain_id: 31337,
            hardfork: HardforkRule::HeaderShape,
            gas_limit: config.gas_limit,
        };
        assert_eq!(net.anvil.chain_id(), rules.chain_id);
        Self {
            endpoint,
            state: ProvenState::new(header, Default::default()),
            rules,
        }
    }

    pub async fn call(&mut self, net: &Net, data: &Bytes) -> Ended {
        for round in 0..64 {
            let missing = match execute(&self.state, &self.rules, net.contract(), data.clone()) {
                Ok(outcome) => return Ended::Returned(outcome.value),
                Err(Stop::Failed(PolicyError::Reverted { data, .. })) => {
                    return Ended::Reverted(data.parse().unwrap());
                }
                Err(Stop::Failed(PolicyError::Halted { .. })) => return Ended::Halted,
                Err(Stop::Failed(fault)) => return Ended::Refused(fault.to_string()),
                Err(Stop::Missing(missing)) => missing,
            };
            let mut wants = match missing {
                Missing::Account(address) | Missing::Code { address, .. } => {
                    vec![Want {
                        code: true,
                        ..Want::account(address)
                    }]
                }
                Missing::Slot { address, slot } => vec![Want {
                    slots: vec![slot],
                    ..Want::account(address)
                }],
                Missing::BlockHash(_) => return Ended::Refused(missing.to_string()),
            };
            let block = self.state.header().hash();
            if round == 0
                && let Ok(hinted) = self.endpoint.hint(block, net.contract(), data.clone()).await
            {
                wants.extend(hinted.into_iter().filter(|want| want.slots.len() < 1000));
            }
            for evidence in self.endpoint.evidence(block, &wants).await.unwrap() {
                let address = evidence.account.address;
                self.state.add_account(&evidence.account).unwrap();
                if let Some(code) = evidence.code
                    && self.state.add_code(address, code).is_err()
                {
                    return Ended::Refused("code that cannot run".to_owned());
                }
                for slot in &evidence.slots {
                    self.state.add_slot(address, slot).unwrap();
                }
            }
        }
        Ended::Refused("too many rounds".to_owned())
    }
}
