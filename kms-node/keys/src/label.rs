//! Every label of a derived key, once. The set is closed: a key without a label here cannot be derived.

/// What a key derived from an epoch's root is for. The name carries the algorithm, so two algorithms never share bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Label {
    /// LUKS2 volume key of one instance: aes-xts-plain64, 512 bits. Parts: AppId, InstanceId.
    AppDisk,
    /// X25519 key of an app's encrypted environment. Parts: AppId.
    AppEnv,
    /// P-256 key of an app's CA. Parts: AppId.
    AppCa,
    /// secp256k1 key of an app. Parts: AppId.
    AppK256,
    /// P-256 key of the KMS CA; its SPKI hash is the KMS identity. No parts.
    KmsCa,
    /// secp256k1 key that signs answers, app keys and leases. No parts.
    KmsK256,
    /// Ed25519 key of the release log. No parts.
    KmsLog,
    /// X25519 key other nodes seal to. No parts.
    KmsHpke,
}

impl Label {
    /// Every label.
    pub const ALL: [Self; 8] = [
        Self::AppDisk,
        Self::AppEnv,
        Self::AppCa,
        Self::AppK256,
        Self::KmsCa,
        Self::KmsK256,
        Self::KmsLog,
        Self::KmsHpke,
    ];

    /// The label as it enters the derivation.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AppDisk => "app/disk/luks2-xts-512",
            Self::AppEnv => "app/env/x25519",
            Self::AppCa => "app/ca/p256",
            Self::AppK256 => "app/k256",
            Self::KmsCa => "kms/ca/p256",
            Self::KmsK256 => "kms/k256",
            Self::KmsLog => "kms/log/ed25519",
            Self::KmsHpke => "kms/hpke/x25519",
        }
    }
}

/// What a key derived from an app's secp256k1 key is for. Parts: the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PathLabel {
    /// secp256k1.
    Secp256k1,
    /// Ed25519.
    Ed25519,
    /// P-256.
    P256,
}

impl PathLabel {
    /// Every label.
    pub const ALL: [Self; 3] = [Self::Secp256k1, Self::Ed25519, Self::P256];

    /// The label as it enters the derivation.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Secp256k1 => "path/secp256k1",
            Self::Ed25519 => "path/ed25519",
            Self::P256 => "path/p256",
        }
    }
}

/// What a key of sealed files is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SealLabel {
    /// HKDF-SHA256 secret of an app's files, from its secp256k1 key. Parts: AppId.
    App,
    /// HKDF-SHA256 secret of one instance's files, from its disk key. Parts: AppId, InstanceId.
    Instance,
    /// AES-256-GCM key of one file, from either. Parts: the file's salt.
    File,
}

impl SealLabel {
    /// Every label.
    pub const ALL: [Self; 3] = [Self::App, Self::Instance, Self::File];

    /// The label as it enters the derivation.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::App => "seal/app/hkdf-sha256",
            Self::Instance => "seal/instance/hkdf-sha256",
            Self::File => "seal/file/aes-256-gcm",
        }
    }
}
