//! Which name means which address, and who may ask. No I/O: a query's bytes and its sender in, a decision out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, PTR};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

/// Seconds an answer may be kept: a container's address changes when it starts again.
const TTL: u32 = 2;

/// A container that may ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Client {
    /// Networks whose names it sees.
    pub(crate) networks: BTreeSet<String>,
    /// Whether it is on a network with a way out.
    pub(crate) external: bool,
    /// Resolvers of its own for other names; the host's when empty.
    pub(crate) upstreams: Vec<IpAddr>,
}

/// Names and askers of one project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Zone {
    pub(crate) clients: BTreeMap<Ipv4Addr, Client>,
    /// Network, name in lower case, addresses.
    pub(crate) names: BTreeMap<String, BTreeMap<String, BTreeSet<Ipv4Addr>>>,
}

/// What to do with a query.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Decision {
    /// Send these bytes back.
    Answer(Vec<u8>),
    /// Ask others; none named: the host's.
    Forward(Vec<IpAddr>),
    /// Say nothing.
    Ignore,
}

impl Zone {
    /// Adds a name of a container on a network.
    pub(crate) fn add(&mut self, network: &str, name: &str, address: Ipv4Addr) {
        let names = self.names.entry(network.to_owned()).or_default();
        names
            .entry(name.to_ascii_lowercase())
            .or_default()
            .insert(address);
    }

    /// Decides about a query.
    pub(crate) fn decide(&self, from: Ipv4Addr, bytes: &[u8]) -> Decision {
        let Ok(query) = Message::from_vec(bytes) else {
            return Decision::Ignore;
        };
        if query.metadata.message_type != MessageType::Query {
            return Decision::Ignore;
        }
        // A resolver that answers anyone on the network helps to hit third parties.
        let Some(client) = self.clients.get(&from) else {
            return reply(&query, ResponseCode::Refused, vec![]);
        };
        let [question] = query.queries.as_slice() else {
            return reply(&query, ResponseCode::FormErr, vec![]);
        };
        if query.metadata.op_code != OpCode::Query {
            return reply(&query, ResponseCode::NotImp, vec![]);
        }
        let name = question
            .name()
            .to_ascii()
            .trim_end_matches('.')
            .to_ascii_lowercase();
        if question.query_class() != DNSClass::IN {
            return forward(client, &query);
        }
        if question.query_type() == RecordType::PTR
            && let Some(address) = reverse(&name)
            && let Some(found) = self.name_of(client, address)
            && let Ok(target) = Name::from_ascii(&found)
        {
            let record = Record::from_rdata(question.name().clone(), TTL, RData::PTR(PTR(target)));
            return reply(&query, ResponseCode::NoError, vec![record]);
        }
        let addresses = self.addresses(client, &name);
        if addresses.is_empty() {
            // A bare name is nobody's but ours: a resolver outside learns nothing of a misspelled service.
            let ours = !name.contains('.') && !name.is_empty();
            return match ours {
                true => reply(&query, ResponseCode::NXDomain, vec![]),
                false => forward(client, &query),
            };
        }
        let wanted = matches!(question.query_type(), RecordType::A | RecordType::ANY);
        let records = addresses
            .into_iter()
            .filter(|_| wanted)
            .map(|address| Record::from_rdata(question.name().clone(), TTL, RData::A(A(address))))
            .collect();
        reply(&query, ResponseCode::NoError, records)
    }

    fn visible<'a>(
        &'a self,
        client: &'a Client,
    ) -> impl Iterator<Item = &'a BTreeMap<String, BTreeSet<Ipv4Addr>>> {
        client
            .networks
            .iter()
            .filter_map(|network| self.names.get(network))
    }

    fn addresses(&self, client: &Client, name: &str) -> BTreeSet<Ipv4Addr> {
        self.visible(client)
            .filter_map(|names| names.get(name))
            .flatten()
            .copied()
            .collect()
    }

    fn name_of(&self, client: &Client, address: Ipv4Addr) -> Option<String> {
        let mut all = self.visible(client).flatten();
        all.find(|(_, addresses)| addresses.contains(&address))
            .map(|(name, _)| name.clone())
    }
}

/// The answer that says the resolvers outside could not be asked.
pub(super) fn failure(bytes: &[u8]) -> Option<Vec<u8>> {
    let query = Message::from_vec(bytes).ok()?;
    match reply(&query, ResponseCode::ServFail, vec![]) {
        Decision::Answer(bytes) => Some(bytes),
        _ => None,
    }
}

/// Whether `answer` belongs to `query`.
pub(super) fn matches(query: &[u8], answer: &[u8]) -> bool {
    let (Ok(query), Ok(answer)) = (Message::from_vec(query), Message::from_vec(answer)) else {
        return false;
    };
    query.metadata.id == answer.metadata.id
        && answer.metadata.message_type == MessageType::Response
        && query.queries == answer.queries
}

/// Upstream servers of a `resolv.conf`.
pub(super) fn nameservers(text: &str) -> Vec<SocketAddr> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            (words.next()? == "nameserver").then_some(())?;
            words
                .next()?
                .parse()
                .ok()
                .map(|ip: IpAddr| SocketAddr::new(ip, 53))
        })
        .take(3)
        .collect()
}

// G15: a name can carry anything out of a network that has no other way out.
fn forward(client: &Client, query: &Message) -> Decision {
    if client.external {
        Decision::Forward(client.upstreams.clone())
    } else {
        reply(query, ResponseCode::NXDomain, vec![])
    }
}

fn reverse(name: &str) -> Option<Ipv4Addr> {
    let digits = name.strip_suffix(".in-addr.arpa")?;
    let octets: Vec<&str> = digits.split('.').rev().collect();
    (octets.len() == 4)
        .then(|| octets.join(".").parse().ok())
        .flatten()
}

fn reply(query: &Message, code: ResponseCode, answers: Vec<Record>) -> Decision {
    let mut response = Message::response(query.metadata.id, query.metadata.op_code);
    response.metadata.recursion_desired = query.metadata.recursion_desired;
    response.metadata.recursion_available = true;
    response.metadata.response_code = code;
    response.add_queries(query.queries.iter().cloned());
    response.add_answers(answers);
    response.to_vec().map_or(Decision::Ignore, Decision::Answer)
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::Query;

    use super::*;

    const WEB: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 2);
    const DB: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 2);

    fn zone() -> Zone {
        let mut zone = Zone::default();
        zone.add("front", "Web", WEB);
        zone.add("back", "db", DB);
        let front = Client {
            networks: ["front".to_owned()].into(),
            external: true,
            upstreams: vec![],
        };
        zone.clients.insert(WEB, front);
        zone
    }

    fn ask(zone: &Zone, from: Ipv4Addr, name: &str, kind: RecordType) -> Decision {
        let mut message = Message::query();
        message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        zone.decide(from, &message.to_vec().unwrap())
    }

    fn answer(decision: Decision) -> (ResponseCode, Vec<RData>) {
        let Decision::Answer(bytes) = decision else {
            panic!("{decision:?}")
        };
        let message = Message::from_vec(&bytes).unwrap();
        (
            message.metadata.response_code,
            message.answers.into_iter().map(|record| record.data).collect(),
        )
    }

    #[test]
    fn names_of_own_networks_are_answered() {
        let zone = zone();
        let found = answer(ask(&zone, WEB, "wEb.", RecordType::A));
        assert_eq!(found, (ResponseCode::NoError, vec![RData::A(A(WEB))]));
        assert_eq!(
            answer(ask(&zone, WEB, "web.", RecordType::AAAA)),
            (ResponseCode::NoError, vec![])
        );
        assert_eq!(
            answer(ask(&zone, WEB, "db.", RecordType::A)).0,
            ResponseCode::NXDomain
        );
        let back = answer(ask(&zone, WEB, "2.0.1.10.in-addr.arpa.", RecordType::PTR));
        assert_eq!(back.1, [RData::PTR(PTR(Name::from_ascii("web.").unwrap()))]);
    }

    #[test]
    fn strangers_are_refused_and_other_names_forwarded() {
        let zone = zone();
        assert_eq!(
            answer(ask(&zone, DB, "web.", RecordType::A)).0,
            ResponseCode::Refused
        );
        assert_eq!(
            ask(&zone, WEB, "example.com.", RecordType::A),
            Decision::Forward(vec![])
        );
    }

    #[test]
    fn g15_a_client_without_a_way_out_has_no_name_carried_out() {
        let mut zone = zone();
        let inside = Client {
            networks: ["back".to_owned()].into(),
            external: false,
            upstreams: vec![IpAddr::V4(WEB)],
        };
        zone.clients.insert(DB, inside);
        for kind in [RecordType::A, RecordType::TXT, RecordType::PTR] {
            let got = answer(ask(&zone, DB, "stolen.example.com.", kind));
            assert_eq!(got, (ResponseCode::NXDomain, vec![]));
        }
        assert_eq!(answer(ask(&zone, DB, "db.", RecordType::A)).1, [RData::A(A(DB))]);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = zone().decide(WEB, &bytes);
        }
    }
}
