//! A network whose owner and guardian do random things, on a chain whose time jumps, with apps of every kind. A block
//! holds several transactions; some of them revert, as they would.

use crate::{
    dice::Dice,
    fixture::{COMPOSE, Net},
    odd_apps::{clone_of, deployment, flip, odd_apps},
};
use alloy::{
    primitives::{Address, B256, Bytes},
    sol_types::SolCall,
};
use authority_contracts::{
    abi::{AppAuthority, KmsAuthority},
    deploy::{AppParams, deploy_app},
};
use kms_types::ChainAddress;
use serde_json::{Value, json};

pub const ADVISORIES: [&str; 4] = ["INTEL-SA-00001", "INTEL-SA-00002", "", "ÏNTEL-\u{1F512}\n"];
pub const DAY: u64 = 86_400;

/// The n-th value of a kind; the first one is what records of the fixture have.
pub fn device(n: u8) -> B256 {
    B256::repeat_byte(0xde + n)
}
pub fn compose(n: u8) -> B256 {
    B256::repeat_byte(0xc0 + n)
}
pub fn image(n: u8) -> B256 {
    B256::repeat_byte(0x05 + n)
}
pub fn root(n: u8) -> B256 {
    B256::repeat_byte(0xa1 + n)
}
pub fn measurement(n: u8) -> B256 {
    B256::repeat_byte(0x31 + n)
}
pub fn seam(n: u8) -> [u8; 48] {
    [0x5e + n; 48]
}
pub fn fmspc(n: u8) -> [u8; 6] {
    [0x90 + n, 0xc0, 0x6f, 0, 0, 0]
}

/// Something sent to a contract.
type Action = (Address, Vec<u8>);

pub struct World {
    pub net: Net,
    /// Apps that are this project's contract, behind one proxy or two.
    pub apps: Vec<Address>,
    /// Apps that are not, with whether the bridge may refuse to answer for them.
    pub odd: Vec<(Address, &'static str, bool)>,
    pub now: u64,
    /// What was done, for a report.
    pub log: Vec<String>,
    client: reqwest::Client,
    accounts: Vec<Address>,
    nonces: Vec<u64>,
}

impl World {
    pub async fn new() -> Self {
        let net = Net::settled().await;
        let accounts = net.anvil.addresses()[..3].to_vec();
        let mut world = Self {
            now: 0,
            log: Vec::new(),
            apps: vec![address(net.app.to_bytes())],
            odd: Vec::new(),
            client: reqwest::Client::new(),
            accounts,
            nonces: vec![0; 3],
            net,
        };
        world.deploy().await;
        for index in 0..3 {
            let count = world.rpc(vec![(
                "eth_getTransactionCount",
                json!([world.accounts[index], "latest"]),
            )]);
            world.nonces[index] = number(&count.await[0]["result"]);
        }
        world.net.raw("evm_setAutomine", json!([false])).await;
        let head = world
            .net
            .raw("eth_getBlockByNumber", json!(["latest", false]))
            .await;
        world.now = number(&head["timestamp"]);
        world
    }

    async fn deploy(&mut self) {
        let (owner, network) = (&self.net.owner, &self.net.network);
        let app = AppParams {
            compose_hash: Some(COMPOSE),
            ..AppParams::default()
        };
        let app = deploy_app(owner, network.kms_authority, &app).await.unwrap();
        self.apps.push(address(app.app_id.to_bytes()));
        self.apps
            .push(address(network.kms_app.unwrap().app_id.to_bytes()));
        let code = deployment(&clone_of(address(self.net.app.to_bytes())));
        // A clone of a proxy runs the proxy's code over its own storage, where no implementation is set; of the
        // implementation it is an app.
        let broken = owner
            .deploy("clone of a proxy", &code.into(), Vec::new())
            .await
            .unwrap();
        let code = deployment(&clone_of(address(network.app_implementation.to_bytes())));
        let clone = owner.deploy("clone", &code.into(), Vec::new()).await.unwrap();
        let initialize = AppAuthority::initialize_0Call {
            initialOwner: self.accounts[0],
            disableUpgrades_: false,
            allowAnyDevice_: true,
            initialDeviceId: B256::ZERO,
            initialComposeHash: compose(0),
        };
        owner.send("initialize", clone, &initialize).await.unwrap();
        self.apps.push(address(clone.to_bytes()));
        let mut odd = vec![(address(broken.to_bytes()), "clone of a proxy", false)];
        for app in odd_apps() {
            let code = deployment(&app.code);
            let at = owner.deploy(app.name, &code.into(), Vec::new()).await.unwrap();
            odd.push((address(at.to_bytes()), app.name, app.bounded));
        }
        odd.push((Address::repeat_byte(0x77), "account without code", false));
        odd.push((self.accounts[1], "account with a balance", false));
        // EIP-7702: an account that says whose code to run instead.
        let delegating = Address::repeat_byte(0x70);
        let code = delegation(network.app_implementation);
        self.net.raw("anvil_setCode", json!([delegating, code])).await;
        odd.push((delegating, "delegation", false));
        for at in self.apps.iter().chain(odd.iter().map(|(at, _, _)| at)) {
            let call = KmsAuthority::registerAppCall { appId: *at };
            owner
                .send("register", network.kms_authority, &call)
                .await
                .unwrap();
        }
        odd.push((Address::repeat_byte(0x99), "not registered", false));
        self.odd = odd;
        let guardian = self.accounts[1];
        self.net
            .kms(KmsAuthority::setGuardianCall {
                newGuardian: guardian,
            })
            .await;
        for app in &self.apps {
            let call = AppAuthority::setGuardianCall {
                newGuardian: guardian,
            };
            owner
                .send("guardian", ChainAddress::new(app.0.0), &call)
                .await
                .unwrap();
        }
    }

    /// One batch of requests, answered in their order.
    pub async fn rpc(&self, requests: Vec<(&'static str, Value)>) -> Vec<Value> {
        let batch: Vec<Value> = requests
            .iter()
            .enumerate()
            .map(|(id, (method, params))| json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))
            .collect();
        let sent = self
            .client
            .post(self.net.anvil.endpoint_url())
            .json(&batch)
            .send()
            .await
            .unwrap();
        let mut answers: Vec<Value> = sent.json().await.unwrap();
        assert_eq!(answers.len(), requests.len());
        answers.sort_by_key(|answer| answer["id"].as_u64());
        answers
    }

    /// Mines one block with `actions` at `self.now + step`.
    async fn block(&mut self, step: u64, actions: Vec<(usize, Action)>) {
        self.now += step;
        let (count, mut sent) = (actions.len() as u64, Vec::new());
        for (index, (who, (to, data))) in actions.into_iter().enumerate() {
            // The price orders the block, so that a seed gives the same block again.
            let price = (1_000 + count - index as u64) * 1_000_000_000;
            let (from, nonce) = (self.accounts[who], self.nonces[who]);
            self.nonces[who] += 1;
            sent.push((
                "eth_sendTransaction",
                json!([{
                    "from": from, "to": to, "data": Bytes::from(data), "nonce": format!("{nonce:#x}"),
                    "gas": "0x80000", "gasPrice": format!("{price:#x}"),
                }]),
            ));
        }
        if !sent.is_empty() {
            for answer in self.rpc(sent).await {
                assert!(answer["error"].is_null(), "{answer}");
            }
        }
        let time = json!([format!("{:#x}", self.now)]);
        self.net.raw("evm_setNextBlockTimestamp", time).await;
        self.net.raw("evm_mine", json!([])).await;
    }

    /// Some blocks of random actions; now and then everything is granted first, so that allowed records stay common.
    pub async fn change(&mut self, dice: &mut Dice) {
        if dice.chance(45) {
            let heal = self.heal(dice);
            self.log.push(format!("heal at {}", self.now));
            self.block(1, heal.into_iter().map(|action| (0, action)).collect())
                .await;
        }
        if dice.chance(25) {
            let announced = self.announced(dice);
            self.log.push(format!("announce at {}", self.now));
            self.block(1, announced.into_iter().map(|action| (0, action)).collect())
                .await;
        }
        for _ in 0..=dice.below(3) {
            let mut actions = Vec::new();
            for _ in 0..dice.below(5) {
                // The owner, the guardian, or a stranger, who is refused.
                let who = dice.pick(&[0, 0, 0, 0, 1, 1, 2]);
                let (name, action) = self.action(dice);
                self.log.push(format!("{who} {name} at {}", self.now));
                actions.push((who, action));
            }
            let step = dice.pick(&[1, 1, 1, 2, 9, 10, 11, 60, 3600, DAY]);
            self.block(step, actions).await;
        }
        // Sometimes all of it is final.
        for _ in 0..dice.pick(&[0, 0, 1, 2]) {
            self.block(1, Vec::new()).await;
        }
    }

    fn kms(&self, call: impl SolCall) -> Action {
        (self.net.contract(), call.abi_encode())
    }

    /// What makes the fixture's record allowed.
    fn heal(&self, dice: &mut Dice) -> Vec<Action> {
        let app = dice.mostly(&self.apps);
        let app = |call: Vec<u8>| (app, call);
        let mut list = vec![
            self.kms(KmsAuthority::addOsImageHashCall {
                osImageHash: image(0),
            }),
            self.kms(KmsAuthority::addAttestationRootCall { root: root(0) }),
            self.kms(KmsAuthority::allowTcbStatusCall { status: 0 }),
            self.kms(KmsAuthority::setMinTcbEvaluationDataNumberCall { number: 17 }),
            self.kms(KmsAuthority::setMinTdxModuleSvnCall { svn: 5 }),
            self.kms(KmsAuthority::setReleasePausedCall { paused: false }),
            self.kms(KmsAuthority::setMinKeyEpochCall { epoch: 1 }),
            self.kms(KmsAuthority::registerAppCall {
                appId: app(Vec::new()).0,
            }),
            self.kms(KmsAuthority::setKmsAppIdCall { appId: self.apps[2] }),
            self.kms(KmsAuthority::addKmsAggregatedMrCall {
                mrAggregated: measurement(0),
            }),
            self.kms(KmsAuthority::addKmsDeviceCall { deviceId: device(0) }),
            app(AppAuthority::addComposeHashCall {
                composeHash: compose(0),
            }
            .abi_encode()),
            app(AppAuthority::setAllowAnyDeviceCall { allowAny: true }.abi_encode()),
            app(AppAuthority::liftOsImageRestrictionCall {}.abi_encode()),
        ];
        list.extend((0..3).map(|list| self.kms(KmsAuthority::liftRestrictionCall { list })));
        list
    }

    /// A compose hash that begins to hold some seconds from now.
    fn announced(&self, dice: &mut Dice) -> Vec<Action> {
        let (app, compose_hash) = (dice.mostly(&self.apps), compose(dice.pick(&[0, 1])));
        let period = dice.pick(&[2, 10, 11]);
        vec![
            (
                app,
                AppAuthority::removeComposeHashCall {
                    composeHash: compose_hash,
                }
                .abi_encode(),
            ),
            (app, AppAuthority::setNoticePeriodCall { period }.abi_encode()),
            (
                app,
                AppAuthority::addComposeHashCall {
                    composeHash: compose_hash,
                }
                .abi_encode(),
            ),
        ]
    }

    /// One thing somebody might do.
    fn action(&self, dice: &mut Dice) -> (&'static str, Action) {
        if dice.chance(45) {
            return self.app_action(dice);
        }
        let n = dice.pick(&[0, 0, 1, 2]);
        let until = self.now + dice.pick(&[1, 2, 10, 20, 61, 3600]);
        let status = dice.below(9) as u8;
        let text = dice.pick(&ADVISORIES).to_owned();
        let flag = dice.chance(50);
        let app = if flag {
            dice.pick(&self.apps)
        } else {
            dice.pick(&self.odd).0
        };
        let action = match dice.below(24) {
            0 => self.kms(KmsAuthority::addOsImageHashCall {
                osImageHash: image(n),
            }),
            1 | 2 => self.kms(KmsAuthority::addOsImageHashUntilCall {
                osImageHash: image(n),
                validUntil: until,
            }),
            3 => self.kms(KmsAuthority::removeOsImageHashCall {
                osImageHash: image(n),
            }),
            4 => self.kms(KmsAuthority::addAttestationRootCall { root: root(n) }),
            5 => self.kms(KmsAuthority::removeAttestationRootCall { root: root(n) }),
            6 => self.kms(KmsAuthority::allowTcbStatusCall { status }),
            7 => self.kms(KmsAuthority::disallowTcbStatusCall { status }),
            8 => self.kms(KmsAuthority::setAdvisoryDeniedCall {
                advisoryId: text,
                denied: flag,
            }),
            9 => self.kms(KmsAuthority::setAdvisoryAcceptedCall {
                advisoryId: text,
                accepted: flag,
            }),
            10 => self.kms(KmsAuthority::setMinTcbEvaluationDataNumberCall {
                number: 16 + u32::from(n),
            }),
            11 => self.kms(KmsAuthority::setMinTdxModuleSvnCall { svn: 5 + n }),
            12 => self.kms(KmsAuthority::setGracePeriodDaysCall {
                numberOfDays: dice.pick(&[0, 1, 30]),
            }),
            13 => self.lists(dice, n),
            14 => self.kms(KmsAuthority::liftRestrictionCall { list: n }),
            15 => self.kms(KmsAuthority::setReleasePausedCall { paused: flag }),
            16 => self.kms(KmsAuthority::registerAppCall { appId: app }),
            17 => self.kms(KmsAuthority::unregisterAppCall { appId: app }),
            18 => self.epoch(dice),
            19 => self.kms(KmsAuthority::setMinKeyEpochCall {
                epoch: dice.below(4) as u32,
            }),
            20 => self.kms(KmsAuthority::setKmsAppIdCall {
                appId: dice.pick(&[app, Address::ZERO, self.apps[2]]),
            }),
            21 => self.kms(KmsAuthority::setGatewayAppIdCall { appId: text }),
            22 if flag => self.kms(KmsAuthority::removeKmsAggregatedMrCall {
                mrAggregated: measurement(0),
            }),
            22 => self.kms(KmsAuthority::addKmsAggregatedMrUntilCall {
                mrAggregated: measurement(0),
                validUntil: until,
            }),
            _ if flag => self.kms(KmsAuthority::removeKmsDeviceCall { deviceId: device(0) }),
            _ => self.flipped(dice),
        };
        ("network", action)
    }

    fn lists(&self, dice: &mut Dice, n: u8) -> Action {
        match dice.below(6) {
            0 => self.kms(KmsAuthority::addMrSeamCall {
                mrSeam: seam(n).into(),
            }),
            1 => self.kms(KmsAuthority::removeMrSeamCall {
                mrSeam: seam(n).into(),
            }),
            2 => self.kms(KmsAuthority::addFmspcCall {
                fmspc: fmspc(n).into(),
            }),
            3 => self.kms(KmsAuthority::removeFmspcCall {
                fmspc: fmspc(n).into(),
            }),
            4 => self.kms(KmsAuthority::addPlatformCall { deviceId: device(n) }),
            _ => self.kms(KmsAuthority::removePlatformCall { deviceId: device(n) }),
        }
    }

    fn epoch(&self, dice: &mut Dice) -> Action {
        let identity = KmsAuthority::KmsIdentity {
            k256Pubkey: dice.bytes::<33>().to_vec().into(),
            caSpkiHash: B256::from(dice.bytes()),
            hpkeKey: B256::from(dice.bytes()),
        };
        self.kms(KmsAuthority::recordKeyEpochCall {
            epoch: dice.pick(&[2, 2, 3, 4]),
            identity,
        })
    }

    fn flipped(&self, dice: &mut Dice) -> Action {
        let flips = self
            .odd
            .iter()
            .find(|(_, name, _)| name.ends_with("flips"))
            .unwrap();
        (flips.0, flip(dice.below(2)))
    }

    fn app_action(&self, dice: &mut Dice) -> (&'static str, Action) {
        let app = dice.mostly(&self.apps);
        let n = dice.pick(&[0, 0, 1, 2]);
        let until = self.now + dice.pick(&[1, 2, 10, 20, 61, 3600]);
        let flag = dice.chance(50);
        let data = match dice.below(12) {
            0 | 1 => AppAuthority::addComposeHashCall {
                composeHash: compose(n),
            }
            .abi_encode(),
            2 | 3 => AppAuthority::addComposeHashUntilCall {
                composeHash: compose(n),
                validUntil: until,
            }
            .abi_encode(),
            4 => AppAuthority::removeComposeHashCall {
                composeHash: compose(n),
            }
            .abi_encode(),
            5 => AppAuthority::addDeviceCall { deviceId: device(n) }.abi_encode(),
            6 => AppAuthority::removeDeviceCall { deviceId: device(n) }.abi_encode(),
            7 => AppAuthority::setAllowAnyDeviceCall { allowAny: flag }.abi_encode(),
            8 => AppAuthority::setRequireTcbUpToDateCall {
                requireUpToDate: flag,
            }
            .abi_encode(),
            9 => AppAuthority::addOsImageHashCall {
                osImageHash: image(n),
            }
            .abi_encode(),
            10 if flag => AppAuthority::removeOsImageHashCall {
                osImageHash: image(n),
            }
            .abi_encode(),
            10 => AppAuthority::liftOsImageRestrictionCall {}.abi_encode(),
            _ => AppAuthority::setNoticePeriodCall {
                period: dice.pick(&[0, 0, 2, 10, 60]),
            }
            .abi_encode(),
        };
        ("app", (app, data))
    }
}

pub fn address(bytes: [u8; 20]) -> Address {
    Address::new(bytes)
}

fn delegation(to: ChainAddress) -> String {
    format!("0xef0100{}", alloy::primitives::hex::encode(to.to_bytes()))
}

pub fn number(value: &Value) -> u64 {
    let text = value.as_str().unwrap();
    u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap()
}
