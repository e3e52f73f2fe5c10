//! Gzip bodies, unpacked within a limit. Done here and not by the HTTP library, so that the bytes on the wire can be
//! counted and damage is told apart from silence. Knows no HTTP.

use flate2::{Decompress, FlushDecompress, Status};
use thiserror::Error;

/// Deflate cannot pack tighter than this, so that a lie about the size costs nothing.
const MAX_RATIO: usize = 1032;

/// The window of gzip, as a power of two.
const WINDOW_BITS: u8 = 15;

/// Room beyond the announced size, with which the decoder also consumes the trailer in one go.
const SLACK_BYTES: usize = 64;

/// How a member of a gzip file begins.
const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Why bytes are no acceptable gzip file.
#[derive(Debug, Error)]
pub(crate) enum InflateError {
    /// They end too early.
    #[error("gzip body ends after {packed_bytes} bytes, before its trailer")]
    Truncated { packed_bytes: usize },
    /// A damaged block, or a checksum or length that does not match.
    #[error("gzip body is damaged")]
    Damaged(#[source] Option<flate2::DecompressError>),
    /// Something that is no gzip member follows.
    #[error("gzip body is followed by {extra_bytes} bytes of something else")]
    TrailingJunk { extra_bytes: usize },
    /// They unpack to more than allowed.
    #[error("gzip body unpacks to more than {max_bytes} bytes")]
    TooLarge { max_bytes: usize },
}

/// Unpacks a whole gzip file of one or more members; its result is never longer than `max_bytes`.
pub(crate) fn inflate(packed: &[u8], max_bytes: usize) -> Result<Vec<u8>, InflateError> {
    let mut unpacked = Vec::with_capacity(first_capacity(packed, max_bytes));
    let mut rest = packed;
    loop {
        rest = inflate_member(rest, &mut unpacked, max_bytes)?;
        if rest.is_empty() {
            return Ok(unpacked);
        }
        if !rest.starts_with(&MAGIC) {
            return Err(InflateError::TrailingJunk {
                extra_bytes: rest.len(),
            });
        }
    }
}

/// Appends one member and returns what follows it.
fn inflate_member<'a>(
    mut rest: &'a [u8],
    unpacked: &mut Vec<u8>,
    max_bytes: usize,
) -> Result<&'a [u8], InflateError> {
    let packed_bytes = rest.len();
    let mut member = Decompress::new_gzip(WINDOW_BITS);
    loop {
        if unpacked.capacity() == unpacked.len() {
            // One byte beyond the limit is enough to know that it is broken.
            let wanted = unpacked.len().max(SLACK_BYTES);
            unpacked.reserve_exact(
                wanted
                    .min((max_bytes + 1).saturating_sub(unpacked.len()))
                    .max(1),
            );
        }
        let (in_before, len_before) = (member.total_in(), unpacked.len());
        let status = member
            .decompress_vec(rest, unpacked, FlushDecompress::None)
            .map_err(|error| InflateError::Damaged(Some(error)))?;
        let consumed = usize::try_from(member.total_in() - in_before)
            .map_err(|_| InflateError::Damaged(None))?;
        rest = &rest[consumed..];
        if unpacked.len() > max_bytes {
            return Err(InflateError::TooLarge { max_bytes });
        }
        let is_stuck = consumed == 0 && unpacked.len() == len_before;
        match status {
            Status::StreamEnd => return Ok(rest),
            _ if rest.is_empty() && unpacked.len() < unpacked.capacity() => {
                return Err(InflateError::Truncated { packed_bytes });
            }
            _ if is_stuck && unpacked.len() < unpacked.capacity() => {
                return Err(InflateError::Damaged(None));
            }
            Status::Ok | Status::BufError => {}
        }
    }
}

/// The size that the trailer announces, as far as it can be true and is allowed.
fn first_capacity(packed: &[u8], max_bytes: usize) -> usize {
    let announced = packed
        .last_chunk::<4>()
        .map_or(0, |bytes| u32::from_le_bytes(*bytes));
    let announced = usize::try_from(announced).unwrap_or(usize::MAX);
    announced
        .min(packed.len().saturating_mul(MAX_RATIO))
        .min(max_bytes)
        .saturating_add(SLACK_BYTES)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;

    use super::*;

    const MIB: usize = 1 << 20;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::new(6));
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_body_cut_anywhere_is_an_error() {
        let packed = gzip(b"{\"bars\":{},\"next_page_token\":null}");
        for len in 0..packed.len() {
            assert!(inflate(&packed[..len], MIB).is_err(), "cut to {len} bytes");
        }
    }

    #[test]
    fn a_wrong_checksum_or_length_is_an_error() {
        let packed = gzip(&b"0123456789".repeat(100));
        for at in packed.len() - 8..packed.len() {
            let mut damaged = packed.clone();
            damaged[at] ^= 1;
            assert!(
                matches!(inflate(&damaged, MIB), Err(InflateError::Damaged(_))),
                "flipped byte {at}"
            );
        }
    }

    #[test]
    fn trailing_junk_is_an_error_and_a_second_member_is_not() {
        let packed = gzip(b"abc");
        let junk = [&packed[..], b"junk"].concat();
        assert!(matches!(
            inflate(&junk, MIB),
            Err(InflateError::TrailingJunk { extra_bytes: 4 })
        ));
        let zeros = [&packed[..], &[0; 8]].concat();
        assert!(matches!(
            inflate(&zeros, MIB),
            Err(InflateError::TrailingJunk { extra_bytes: 8 })
        ));
        let twice = [&packed[..], &gzip(b"def")].concat();
        assert_eq!(inflate(&twice, MIB).unwrap(), b"abcdef");
    }

    #[test]
    fn a_bomb_stops_at_the_limit_and_reserves_no_more() {
        let bomb = gzip(&vec![0; 32 * MIB]);
        assert!(bomb.len() < 64 * 1024);
        assert!(matches!(
            inflate(&bomb, MIB),
            Err(InflateError::TooLarge { max_bytes: MIB })
        ));
        assert!(first_capacity(&bomb, MIB) <= MIB + SLACK_BYTES);
        assert_eq!(
            inflate(&gzip(&vec![7; MIB]), MIB).unwrap().len(),
            MIB,
            "exactly the limit is allowed"
        );
    }

    #[test]
    fn a_lie_about_the_size_reserves_nothing() {
        assert!(first_capacity(&[0xff; 20], usize::MAX) < 32 * 1024);
    }

    #[test]
    fn bytes_that_are_no_gzip_are_an_error() {
        for bytes in [&b"<html>"[..], b"", b"\x1f", b"\x1f\x8b\x08"] {
            assert!(inflate(bytes, MIB).is_err(), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn what_was_packed_comes_back(bytes in prop::collection::vec(any::<u8>(), 0..5000), repeat in 1_usize..40) {
            let original = bytes.repeat(repeat);
            prop_assert_eq!(inflate(&gzip(&original), MIB).unwrap(), original);
        }

        #[test]
        fn no_flipped_bit_goes_unnoticed(bytes in prop::collection::vec(any::<u8>(), 1..500), at in any::<prop::sample::Index>(), bit in 0_u8..8) {
            let mut packed = gzip(&bytes);
            let at = at.index(packed.len());
            packed[at] ^= 1 << bit;
            // Flips in the header's time and system fields change nothing that matters.
            if let Ok(unpacked) = inflate(&packed, MIB) {
                prop_assert_eq!(unpacked, bytes);
            }
        }
    }
}
