//! The PCS over real HTTP: a plain client gets, byte for byte, the collateral the platform issued.

use crate::{NOW, collateral, measurement, platform, quote, verify};
use dcap_qvl::QuoteCollateralV3;
use kms_types::TcbStatus;
use reqwest::{Client, Response, StatusCode};
use soft_td::{SoftPlatform, TdConfig, pcs};
use std::sync::{Arc, RwLock};
use tokio::net::TcpListener;

struct Served {
    url: String,
    platform: Arc<RwLock<SoftPlatform>>,
    client: Client,
}

async fn serve() -> Served {
    let platform = Arc::new(RwLock::new(platform()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = pcs::router(platform.clone(), Arc::new(|| NOW));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let client = Client::builder().no_proxy().build().unwrap();
    Served {
        url,
        platform,
        client,
    }
}

impl Served {
    async fn get(&self, path: &str) -> Response {
        self.client
            .get(format!("{}{path}", self.url))
            .send()
            .await
            .unwrap()
    }

    async fn status(&self, path: &str) -> u16 {
        self.get(path).await.status().as_u16()
    }

    /// Fetches everything the way a PCS client does.
    async fn collateral(&self) -> QuoteCollateralV3 {
        let (pck_crl_issuer_chain, pck_crl) = self
            .chained(
                "/sgx/certification/v4/pckcrl?ca=platform&encoding=der",
                "SGX-PCK-CRL-Issuer-Chain",
            )
            .await;
        let root_crl = self
            .get("/sgx/certification/v4/rootcacrl")
            .await
            .text()
            .await
            .unwrap();
        let (tcb_info_issuer_chain, tcb) = self
            .chained(
                "/tdx/certification/v4/tcb?fmspc=D0C06F000000&update=standard",
                "TCB-Info-Issuer-Chain",
            )
            .await;
        let (qe_identity_issuer_chain, qe) = self
            .chained(
                "/tdx/certification/v4/qe/identity?update=early",
                "SGX-Enclave-Identity-Issuer-Chain",
            )
            .await;
        let (tcb_info, tcb_info_signature) = signed(&tcb, "tcbInfo");
        let (qe_identity, qe_identity_signature) = signed(&qe, "enclaveIdentity");
        QuoteCollateralV3 {
            pck_crl_issuer_chain,
            root_ca_crl: hex::decode(root_crl).unwrap(),
            pck_crl,
            tcb_info_issuer_chain,
            tcb_info,
            tcb_info_signature,
            qe_identity_issuer_chain,
            qe_identity,
            qe_identity_signature,
            pck_certificate_chain: None,
        }
    }

    async fn chained(&self, path: &str, header: &str) -> (String, Vec<u8>) {
        let response = self.get(path).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let chain = percent_decoded(response.headers()[header].to_str().unwrap());
        (chain, response.bytes().await.unwrap().to_vec())
    }
}

fn percent_decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let mut out = parts.next().unwrap().to_owned();
    for part in parts {
        let (digits, rest) = part.split_at(2);
        out.push(char::from(u8::from_str_radix(digits, 16).unwrap()));
        out.push_str(rest);
    }
    out
}

/// The signed text as it stands in the answer, without a JSON parser between.
fn signed(body: &[u8], name: &str) -> (String, Vec<u8>) {
    let body = std::str::from_utf8(body).unwrap();
    let rest = body.strip_prefix(&format!("{{\"{name}\":")).unwrap();
    let (document, signature) = rest.rsplit_once(",\"signature\":\"").unwrap();
    (
        document.to_owned(),
        hex::decode(signature.strip_suffix("\"}").unwrap()).unwrap(),
    )
}

#[tokio::test]
async fn fetched_collateral_is_the_issued_one() {
    let served = serve().await;
    let fetched = served.collateral().await;
    let issued = served.platform.read().unwrap().clone();
    assert_eq!(fetched, collateral(&issued));
    assert!(verify(&issued, &quote(&issued, TdConfig::new(measurement())), &fetched).is_ok());
    let der = served.get("/IntelSGXRootCA.der").await.bytes().await.unwrap();
    assert_eq!(der.as_ref(), fetched.root_ca_crl.as_slice());
}

#[tokio::test]
async fn what_is_published_can_change_while_served() {
    let served = serve().await;
    let changed = platform()
        .changed(|c| {
            c.published.tcb_status = TcbStatus::OutOfDate;
            c.published.tcb_info_evaluation = 21;
        })
        .unwrap();
    *served.platform.write().unwrap() = changed.clone();
    assert_eq!(served.collateral().await, collateral(&changed));
}

#[tokio::test]
async fn unknown_is_404_and_wrong_is_400() {
    let served = serve().await;
    let tcb = "/tdx/certification/v4/tcb";
    for (path, status) in [
        (format!("{tcb}?fmspc=00906ED50000"), 404),
        (format!("{tcb}?fmspc=d0c06f000000"), 200),
        (
            format!("{tcb}?fmspc=D0C06F000000&tcbEvaluationDataNumber=20"),
            200,
        ),
        (
            format!("{tcb}?fmspc=D0C06F000000&tcbEvaluationDataNumber=19"),
            404,
        ),
        (
            format!("{tcb}?fmspc=D0C06F000000&tcbEvaluationDataNumber=20&update=early"),
            400,
        ),
        (format!("{tcb}?fmspc=D0C06F000000&update=sometimes"), 400),
        (format!("{tcb}?fmspc=D0C0"), 400),
        (tcb.to_owned(), 400),
        ("/sgx/certification/v4/tcb?fmspc=D0C06F000000".to_owned(), 404),
        (
            "/sgx/certification/v4/pckcrl?ca=processor&encoding=der".to_owned(),
            404,
        ),
        (
            "/sgx/certification/v4/pckcrl?ca=other&encoding=der".to_owned(),
            400,
        ),
        (
            "/sgx/certification/v4/pckcrl?ca=platform&encoding=pem".to_owned(),
            400,
        ),
        (
            "/tdx/certification/v4/qe/identity?tcbEvaluationDataNumber=7".to_owned(),
            404,
        ),
    ] {
        assert_eq!(served.status(&path).await, status, "{path}");
    }
}
