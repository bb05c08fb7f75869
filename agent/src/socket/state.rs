//! Everything a call needs: who the instance is, its key, its TD, who certifies.

use super::{
    SocketError,
    facts::{AppFacts, KeyMaterial},
    issuer::CertificateIssuer,
    td::TdAccess,
};
use crate::keys::{AppKey, DeriveError};
use attestation::{AttestationError, QuoteDescription, describe};
use kms_types::ReportData;
use std::sync::{Arc, PoisonError, RwLock};

/// Why the socket cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The TD made no quote.
    #[error("TD: expected a quote over nothing to read its registers")]
    Td(#[source] SocketError),
    /// The quote cannot be read.
    #[error("TD: expected a quote of a TDX guest")]
    Quote(#[source] AttestationError),
    /// The app's key is none.
    #[error(transparent)]
    Key(#[from] DeriveError),
}

/// State of both sockets.
pub struct AppState {
    pub(super) facts: AppFacts,
    pub(super) key: AppKey,
    pub(super) td: Arc<TdAccess>,
    pub(super) issuer: Arc<dyn CertificateIssuer>,
    /// The TD's registers; RTMR3 and report data of this one are not used.
    pub(super) registers: QuoteDescription,
    app_certificate: RwLock<String>,
}

impl AppState {
    /// Reads the TD's registers and takes the rest over.
    ///
    /// # Errors
    /// When the TD gives no readable quote, or the key is none.
    pub async fn open(
        facts: AppFacts,
        key: KeyMaterial,
        td: Arc<TdAccess>,
        issuer: Arc<dyn CertificateIssuer>,
    ) -> Result<Arc<Self>, OpenError> {
        // Nothing is bound by this quote: it is how a guest reads its own registers, and it is sent nowhere.
        let quote = td
            .run(|td| td.quote(&ReportData::ZERO))
            .await
            .map_err(OpenError::Td)?;
        Ok(Arc::new(Self {
            facts,
            key: AppKey::new(key.app_key, key.key_epoch, key.kms_signature)?,
            td,
            issuer,
            registers: describe(&quote).map_err(OpenError::Quote)?,
            app_certificate: RwLock::new(String::new()),
        }))
    }

    /// Puts the instance's own certificate chain into `Info`.
    pub fn set_app_certificate(&self, chain_pem: String) {
        *self
            .app_certificate
            .write()
            .unwrap_or_else(PoisonError::into_inner) = chain_pem;
    }

    pub(super) fn app_certificate(&self) -> String {
        self.app_certificate
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
