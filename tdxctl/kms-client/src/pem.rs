//! Certificates out of PEM text. Refuses text of which any part does not parse.

use rustls::pki_types::{CertificateDer, pem::PemObject};

/// Most certificates of one text.
const MAX_CERTIFICATES: usize = 8;

/// Every certificate of the text; nothing when one does not parse, or there are too many.
pub(crate) fn certificates(text: &str) -> Option<Vec<CertificateDer<'static>>> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(text.as_bytes())
        .take(MAX_CERTIFICATES + 1)
        .collect::<Result<_, _>>()
        .ok()?;
    (found.len() <= MAX_CERTIFICATES).then_some(found)
}
