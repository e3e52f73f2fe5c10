//! When a derived partition is stale: which minutes it should be made of, compared with which it was. Pure.

use sha2::{Digest, Sha256};

use super::digest::hex;
use super::ports::SourceFile;

/// SHA-256 over the months and the hashes of the rows of `files`, hexadecimal: equal for equal minutes, whatever bytes
/// they are kept in.
pub fn source_hash(files: &[SourceFile]) -> String {
    let mut hasher = Sha256::new();
    for file in files {
        hasher.update(file.period.to_string());
        hasher.update(" ");
        hasher.update(&file.content_hash);
        hasher.update("\n");
    }
    hex(&hasher.finalize())
}
