//! K4: the keys under the seal.

use kms_wire::SecretBytes;

#[test]
fn k4_an_error_does_not_repeat_the_secret() {
    let secret = "5ec5e7".repeat(10);
    for text in [
        secret.clone(),
        format!("{secret}zz"),
        format!("0x{}", "ab".repeat(32)),
    ] {
        let error = serde_json::from_value::<SecretBytes<32>>(text.clone().into())
            .map(|_| ())
            .unwrap_err()
            .to_string();
        assert_eq!(error, "expected 32 secret bytes in hex");
    }
}

#[test]
fn k4_secrets_are_wiped_on_drop() {
    fn wiped<T: zeroize::ZeroizeOnDrop>() {}
    wiped::<SecretBytes<32>>();
    let mut secret = SecretBytes::new(Box::new([7; 32]));
    zeroize::Zeroize::zeroize(&mut secret);
    assert_eq!(secret.expose(), &[0; 32]);
}
