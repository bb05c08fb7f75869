//! What a simulated platform is and what its simulated vendor publishes about it. Defaults give a platform in good order;
//! every field can be set to a fault, so that a verifier's refusals can be shown one by one.

use kms_types::{Fmspc, MrSeam, TcbStatus, UnixTime};
use sha2::{Digest, Sha384};

/// A platform and what is published about it.
#[derive(Debug, Clone, Default)]
pub struct PlatformConfig {
    /// Names on the certificates.
    pub names: Names,
    /// What the hardware is.
    pub hardware: Hardware,
    /// Validity and revocation of the certificates.
    pub certificates: CertificateFaults,
    /// What the vendor publishes.
    pub published: Published,
}

/// Whose names the certificates bear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Names {
    /// "Simulated … / Simulated, not Intel".
    #[default]
    Simulated,
    /// Intel's exact names, which some verifiers compare. The keys stay simulated, so Intel's root still refuses them.
    AsIntel,
}

/// The hardware: PCK certificate extension, quoting enclave, TDX module.
#[derive(Debug, Clone)]
pub struct Hardware {
    /// Platform family.
    pub fmspc: Fmspc,
    /// Provisioning certification enclave id.
    pub pce_id: [u8; 2],
    /// Provisioning platform id; derived from the seed when absent, so different seeds are different devices.
    pub ppid: Option<[u8; 16]>,
    /// SGX TCB components.
    pub cpu_svn: [u8; 16],
    /// Version of the provisioning certification enclave.
    pub pce_svn: u16,
    /// True for a platform with SMT on.
    pub smt: bool,
    /// Quoting enclave.
    pub qe: QuotingEnclave,
    /// TEE_TCB_SVN: byte 0 module SVN, byte 1 module major version, then TDX components.
    pub tee_tcb_svn: [u8; 16],
    /// TEE_TCB_SVN2 of TD 1.5 reports: the TCB now, when it has moved since the TD's launch. As `tee_tcb_svn` when absent.
    pub tee_tcb_svn2: Option<[u8; 16]>,
    /// MRSEAM.
    pub mr_seam: MrSeam,
    /// MRSIGNERSEAM; zero for Intel's modules.
    pub mr_signer_seam: [u8; 48],
    /// SEAMATTRIBUTES.
    pub seam_attributes: u64,
}

/// The quoting enclave.
#[derive(Debug, Clone)]
pub struct QuotingEnclave {
    /// MRSIGNER.
    pub mr_signer: [u8; 32],
    /// ISVPRODID.
    pub isv_prod_id: u16,
    /// ISVSVN.
    pub isv_svn: u16,
    /// ATTRIBUTES.
    pub attributes: [u8; 16],
}

/// What is wrong with a certificate's or a document's dates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Validity {
    /// Nothing.
    #[default]
    Current,
    /// It has ended.
    Expired,
    /// It has not begun.
    NotYetValid,
}

/// Faults of one certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CertificateFault {
    /// Its dates.
    pub validity: Validity,
    /// True when its issuer's revocation list names it.
    pub revoked: bool,
}

/// Faults of the four certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CertificateFaults {
    /// Root.
    pub root: CertificateFault,
    /// PCK Platform CA.
    pub platform_ca: CertificateFault,
    /// TCB signing.
    pub tcb_signer: CertificateFault,
    /// PCK.
    pub pck: CertificateFault,
}

/// TCB info, QE identity and revocation lists as the vendor publishes them.
#[derive(Debug, Clone)]
pub struct Published {
    /// Status of this platform at its present level.
    pub tcb_status: TcbStatus,
    /// Advisories at that level.
    pub advisories: Vec<String>,
    /// Date of that level.
    pub tcb_date: UnixTime,
    /// Status of the TDX module at its present SVN.
    pub module_status: TcbStatus,
    /// Status of the quoting enclave.
    pub qe_status: TcbStatus,
    /// Lowest SVN of the TDX module any level knows; the platform's own when absent.
    pub module_svn: Option<u8>,
    /// MRSIGNERSEAM of the modules; zero for Intel's.
    pub mr_signer_seam: [u8; 48],
    /// The quoting enclave.
    pub qe: QuotingEnclave,
    /// SGX components of the newest level, the one `tcb_status` is of; the platform's own when absent.
    pub newest_cpu_svn: Option<[u8; 16]>,
    /// TDX components of the newest level; the platform's own when absent.
    pub newest_tee_tcb_svn: Option<[u8; 16]>,
    /// True when there is an `OutOfDate` level below the newest one that any platform meets.
    pub older_level: bool,
    /// FMSPC of the TCB info; the platform's own when absent.
    pub fmspc: Option<Fmspc>,
    /// PCE id of the TCB info; the platform's own when absent.
    pub pce_id: Option<[u8; 2]>,
    /// Evaluation number of the TCB info.
    pub tcb_info_evaluation: u32,
    /// Evaluation number of the QE identity.
    pub qe_identity_evaluation: u32,
    /// Everything is issued anew once in this many seconds, counted from 1970.
    pub issue_period: u64,
    /// Seconds from issue to `nextUpdate`.
    pub lifetime: u64,
    /// Dates of the TCB info.
    pub tcb_info: Validity,
    /// Dates of the QE identity.
    pub qe_identity: Validity,
    /// Dates of the root's revocation list.
    pub root_crl: Validity,
    /// Dates of the PCK CA's revocation list.
    pub pck_crl: Validity,
}

impl Default for Hardware {
    fn default() -> Self {
        Self {
            fmspc: Fmspc::new([0xd0, 0xc0, 0x6f, 0, 0, 0]),
            pce_id: [0; 2],
            ppid: None,
            cpu_svn: [3, 3, 2, 2, 4, 1, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0],
            pce_svn: 13,
            smt: true,
            qe: QuotingEnclave::default(),
            tee_tcb_svn: [5, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            tee_tcb_svn2: None,
            mr_seam: MrSeam::new(Sha384::digest(b"simulated TDX module").into()),
            mr_signer_seam: [0; 48],
            seam_attributes: 0,
        }
    }
}

impl Default for QuotingEnclave {
    fn default() -> Self {
        Self {
            mr_signer: [0x51; 32],
            isv_prod_id: 2,
            isv_svn: 4,
            attributes: [0x11, 0, 0, 0, 0, 0, 0, 0, 0xe7, 0, 0, 0, 0, 0, 0, 0],
        }
    }
}

const DAY: u64 = 86_400;

impl Default for Published {
    fn default() -> Self {
        Self {
            tcb_status: TcbStatus::UpToDate,
            advisories: Vec::new(),
            // 2025-08-13T00:00:00Z
            tcb_date: UnixTime(1_755_043_200),
            module_status: TcbStatus::UpToDate,
            qe_status: TcbStatus::UpToDate,
            module_svn: None,
            mr_signer_seam: [0; 48],
            qe: QuotingEnclave::default(),
            newest_cpu_svn: None,
            newest_tee_tcb_svn: None,
            older_level: false,
            fmspc: None,
            pce_id: None,
            tcb_info_evaluation: 20,
            qe_identity_evaluation: 20,
            issue_period: DAY,
            lifetime: 30 * DAY,
            tcb_info: Validity::Current,
            qe_identity: Validity::Current,
            root_crl: Validity::Current,
            pck_crl: Validity::Current,
        }
    }
}
