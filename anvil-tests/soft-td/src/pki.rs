//! Certificates and revocation lists of a simulated platform: root → PCK Platform CA → PCK, root → TCB signing
//! (Intel SGX PCK Certificate and CRL Profile Specification).

use crate::{
    SoftTdError,
    config::{CertificateFaults, Hardware, Names, PlatformConfig, Validity},
    der,
    seed::{Key, Keys},
};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CrlDistributionPoint,
    CustomExtension, DistinguishedName, DnType, IsCa, Issuer, KeyIdMethod, KeyUsagePurpose, RevocationReason,
    RevokedCertParams, SerialNumber,
};
use time::OffsetDateTime;

/// Intel's SGX extension of PCK certificates.
const SGX_EXTENSION: [u64; 7] = [1, 2, 840, 113_741, 1, 13, 1];
/// 2024-01-01 and 2049-12-31: outside any time a test would call now.
const NOT_BEFORE: u64 = 1_704_067_200;
const NOT_AFTER: u64 = 2_524_521_600;

/// One of the four certificates; the number is its serial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    Root = 1,
    PlatformCa = 2,
    TcbSigner = 3,
    Pck = 4,
}

/// The certificates, in PEM.
#[derive(Clone)]
pub(crate) struct Certificates {
    pub(crate) root_der: Vec<u8>,
    pub(crate) root: String,
    pub(crate) platform_ca: String,
    pub(crate) tcb_signer: String,
    pub(crate) pck: String,
}

impl Certificates {
    pub(crate) fn issue(keys: &Keys, config: &PlatformConfig, ppid: &[u8; 16]) -> Result<Self, SoftTdError> {
        let root_params = params(Subject::Root, &keys.root, config)?;
        let root = root_params.self_signed(&keys.root)?;
        let by_root = Issuer::from_params(&root_params, &keys.root);
        let platform_params = params(Subject::PlatformCa, &keys.platform_ca, config)?;
        let platform_ca = platform_params.signed_by(&keys.platform_ca, &by_root)?;
        let by_platform = Issuer::from_params(&platform_params, &keys.platform_ca);
        let tcb_signer =
            params(Subject::TcbSigner, &keys.tcb_signer, config)?.signed_by(&keys.tcb_signer, &by_root)?;
        let mut pck_params = params(Subject::Pck, &keys.pck, config)?;
        pck_params.custom_extensions = vec![CustomExtension::from_oid_content(
            &SGX_EXTENSION,
            sgx_extension(&config.hardware, ppid),
        )];
        let pck = pck_params.signed_by(&keys.pck, &by_platform)?;
        Ok(Self {
            root_der: root.der().to_vec(),
            root: root.pem(),
            platform_ca: platform_ca.pem(),
            tcb_signer: tcb_signer.pem(),
            pck: pck.pem(),
        })
    }

    /// PCK, CA, root, as quotes carry them.
    pub(crate) fn pck_chain(&self) -> String {
        [self.pck.as_str(), &self.platform_ca, &self.root].concat()
    }
    /// CA, root.
    pub(crate) fn pck_crl_chain(&self) -> String {
        [self.platform_ca.as_str(), &self.root].concat()
    }
    /// TCB signer, root.
    pub(crate) fn tcb_chain(&self) -> String {
        [self.tcb_signer.as_str(), &self.root].concat()
    }
}

/// DER of the root's revocation list, over platform CA, TCB signer and the root itself.
pub(crate) fn root_crl(
    keys: &Keys,
    config: &PlatformConfig,
    dates: (u64, u64),
) -> Result<Vec<u8>, SoftTdError> {
    let faults = &config.certificates;
    let revoked = [Subject::Root, Subject::PlatformCa, Subject::TcbSigner];
    crl(
        Subject::Root,
        &keys.root,
        config,
        dates,
        revoked.into_iter().filter(|s| s.fault(faults).revoked),
    )
}

/// DER of the platform CA's revocation list, over the PCK.
pub(crate) fn pck_crl(
    keys: &Keys,
    config: &PlatformConfig,
    dates: (u64, u64),
) -> Result<Vec<u8>, SoftTdError> {
    let revoked = config.certificates.pck.revoked.then_some(Subject::Pck);
    crl(Subject::PlatformCa, &keys.platform_ca, config, dates, revoked)
}

fn crl(
    issuer: Subject,
    key: &Key,
    config: &PlatformConfig,
    (this_update, next_update): (u64, u64),
    revoked: impl IntoIterator<Item = Subject>,
) -> Result<Vec<u8>, SoftTdError> {
    let this_update_time = date(this_update)?;
    let list = CertificateRevocationListParams {
        this_update: this_update_time,
        next_update: date(next_update)?,
        // Lists are numbered upwards; the issue time does that without a stored counter.
        crl_number: SerialNumber::from(this_update),
        issuing_distribution_point: None,
        revoked_certs: revoked
            .into_iter()
            .map(|subject| RevokedCertParams {
                serial_number: SerialNumber::from(subject as u64),
                revocation_time: this_update_time,
                reason_code: Some(RevocationReason::KeyCompromise),
                invalidity_date: None,
            })
            .collect(),
        key_identifier_method: KeyIdMethod::PreSpecified(key.identifier()),
    };
    let issuer_params = params(issuer, key, config)?;
    Ok(list
        .signed_by(&Issuer::from_params(&issuer_params, key))?
        .der()
        .to_vec())
}

impl Subject {
    fn fault(self, faults: &CertificateFaults) -> crate::config::CertificateFault {
        match self {
            Self::Root => faults.root,
            Self::PlatformCa => faults.platform_ca,
            Self::TcbSigner => faults.tcb_signer,
            Self::Pck => faults.pck,
        }
    }

    /// The word "Platform" is how verifiers tell the two PCK CAs apart.
    const fn name(self) -> &'static str {
        match self {
            Self::Root => "Root CA",
            Self::PlatformCa => "PCK Platform CA",
            Self::TcbSigner => "TCB Signing",
            Self::Pck => "PCK Certificate",
        }
    }
}

fn params(subject: Subject, key: &Key, config: &PlatformConfig) -> Result<CertificateParams, SoftTdError> {
    let (not_before, not_after) = match subject.fault(&config.certificates).validity {
        Validity::Current => (NOT_BEFORE, NOT_AFTER),
        Validity::Expired => (NOT_BEFORE, NOT_BEFORE + 86_400),
        Validity::NotYetValid => (NOT_AFTER - 86_400, NOT_AFTER),
    };
    let mut params = CertificateParams::default();
    params.distinguished_name = distinguished_name(config.names, subject.name());
    params.subject_alt_names = Vec::new();
    params.serial_number = Some(SerialNumber::from(subject as u64));
    params.not_before = date(not_before)?;
    params.not_after = date(not_after)?;
    params.key_identifier_method = KeyIdMethod::PreSpecified(key.identifier());
    params.use_authority_key_identifier_extension = true;
    // Verifiers demand the extension; nothing is served at the discard port, and nobody here follows it.
    params.crl_distribution_points = vec![CrlDistributionPoint {
        uris: vec!["http://127.0.0.1:9/simulated.crl".into()],
    }];
    match subject {
        Subject::Root | Subject::PlatformCa => {
            let below = u8::from(subject == Subject::Root);
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        }
        Subject::TcbSigner | Subject::Pck => {
            params.is_ca = IsCa::ExplicitNoCa;
            params.key_usages = vec![
                KeyUsagePurpose::DigitalSignature,
                KeyUsagePurpose::ContentCommitment,
            ];
        }
    }
    Ok(params)
}

fn distinguished_name(names: Names, what: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    match names {
        Names::Simulated => {
            name.push(DnType::CommonName, format!("Simulated TDX {what}"));
            name.push(DnType::OrganizationName, "Simulated, not Intel");
        }
        Names::AsIntel => {
            name.push(DnType::CommonName, format!("Intel SGX {what}"));
            name.push(DnType::OrganizationName, "Intel Corporation");
            name.push(DnType::LocalityName, "Santa Clara");
            name.push(DnType::StateOrProvinceName, "CA");
        }
    }
    name.push(DnType::CountryName, "US");
    name
}

pub(crate) fn date(seconds: u64) -> Result<OffsetDateTime, SoftTdError> {
    let error = SoftTdError::Time { actual: seconds };
    let Ok(signed) = i64::try_from(seconds) else {
        return Err(error);
    };
    OffsetDateTime::from_unix_timestamp(signed).map_err(|_| error)
}

/// Content of the SGX extension (the specification above, §1.3.5).
fn sgx_extension(hardware: &Hardware, ppid: &[u8; 16]) -> Vec<u8> {
    let pair = |tail: &[u8], value: Vec<u8>| der::sequence(&[der::sgx_oid(tail), value]);
    let mut tcb: Vec<Vec<u8>> = (1u8..)
        .zip(hardware.cpu_svn)
        .map(|(arc, svn)| pair(&[2, arc], der::integer(svn.into())))
        .collect();
    tcb.push(pair(&[2, 17], der::integer(hardware.pce_svn.into())));
    tcb.push(pair(&[2, 18], der::octets(&hardware.cpu_svn)));
    let settings = [
        pair(&[7, 1], der::boolean(false)), // dynamic platform
        pair(&[7, 2], der::boolean(false)), // cached keys
        pair(&[7, 3], der::boolean(hardware.smt)),
    ];
    der::sequence(&[
        pair(&[1], der::octets(ppid)),
        pair(&[2], der::sequence(&tcb)),
        pair(&[3], der::octets(&hardware.pce_id)),
        pair(&[4], der::octets(hardware.fmspc.as_ref())),
        pair(&[5], der::enumerated(1)), // scalable
        pair(&[6], der::octets(ppid)),  // platform instance id
        pair(&[7], der::sequence(&settings)),
    ])
}
