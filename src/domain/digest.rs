//! SHA-256 as it is kept and compared everywhere: in lower-case hexadecimal.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// SHA-256 of `bytes`, hexadecimal.
pub fn hex_sha256(bytes: impl AsRef<[u8]>) -> String {
    hex(&Sha256::digest(bytes))
}

/// A digest in hexadecimal.
pub fn hex(digest: &[u8]) -> String {
    digest
        .iter()
        .fold(String::with_capacity(digest.len() * 2), |mut text, byte| {
            _ = write!(text, "{byte:02x}");
            text
        })
}
