//! The socket's OpenAPI document.

use super::messages::*;
use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Kedge app socket",
        description = "Keys, signatures, quotes, events and certificates for the app of this instance. Every method is also under /prpc/ and with \
                       a service name in front (/DstackGuest.GetKey), and takes GET with the fields in the query."
    ),
    paths(
        get_tls_key,
        get_key,
        get_quote,
        attest,
        info,
        sign,
        verify,
        emit_event,
        gpu_info,
        version,
        derive_key,
        derive_k256_key,
        tdx_quote,
        raw_quote
    ),
    components(schemas(TcbInfo, Event))
)]
struct Document;

/// The document.
pub fn openapi() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

macro_rules! described {
    ($($name:ident $path:literal ($($request:ty)?) -> $answer:ty: $summary:literal;)*) => {$(
        #[doc = $summary]
        #[utoipa::path(post, path = $path, $(request_body = $request,)? responses(
            (status = 200, body = $answer),
            (status = "default", description = "400 malformed, 403 denied, 404 no such method, 408, 413, 429 asked too often, 503 the TD or the KMS could not be asked", body = ErrorResponse),
        ))]
        #[expect(dead_code, reason = "the attribute is what counts")]
        fn $name() {}
    )*};
}

described! {
    get_tls_key "/GetTlsKey" (GetTlsKeyArgs) -> GetTlsKeyResponse: "A fresh TLS key with a certificate under the app's CA.";
    get_key "/GetKey" (GetKeyArgs) -> GetKeyResponse: "The key of a path.";
    get_quote "/GetQuote" (ReportArgs) -> GetQuoteResponse: "A quote, and the event log of the same moment.";
    attest "/Attest" (ReportArgs) -> AttestResponse: "A quote with all that is needed to verify it, in one document.";
    info "/Info" () -> AppInfo: "What runs here.";
    sign "/Sign" (SignArgs) -> SignResponse: "A signature by the key of the path vms.";
    verify "/Verify" (VerifyArgs) -> VerifyResponse: "Whether a signature holds.";
    emit_event "/EmitEvent" (EmitEventArgs) -> Option<bool>: "Extends RTMR3 with an event of the app. The answer is null.";
    gpu_info "/GpuInfo" () -> GpuInfoResponse: "The measured attestation of the GPU.";
    version "/Version" () -> VersionResponse: "Version of the agent.";
    derive_key "/prpc/Tappd.DeriveKey" (DeriveKeyArgs) -> GetTlsKeyResponse: "Legacy, tappd.sock only: the P-256 key of a path with a certificate.";
    derive_k256_key "/prpc/Tappd.DeriveK256Key" (GetKeyArgs) -> DeriveK256KeyResponse: "Legacy, tappd.sock only: as GetKey for secp256k1.";
    tdx_quote "/prpc/Tappd.TdxQuote" (TdxQuoteArgs) -> TdxQuoteResponse: "Legacy, tappd.sock only: a quote over a hash of the data.";
    raw_quote "/prpc/Tappd.RawQuote" (ReportArgs) -> TdxQuoteResponse: "Legacy, tappd.sock only: as GetQuote.";
}
