//! The hash of the rows of a file: the same whatever the encodings, the file format and the machine.

use arrow::datatypes::ToByteSlice as _;
use sha2::{Digest, Sha256};

use crate::domain::digest::hex;
use crate::domain::{BarBatch, BarColumns, Segment};

/// The rows of a file, proven or not.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) columns: &'a BarColumns,
    pub(super) session_days: &'a [i32],
    pub(super) segments: &'a [Segment],
}

impl<'a> Rows<'a> {
    pub(super) fn of(batch: &'a BarBatch) -> Self {
        Self {
            columns: batch.columns(),
            session_days: batch.session_days(),
            segments: batch.segments(),
        }
    }
}

/// SHA-256 over the rows, column by column, little endian: independent of encodings and of the file format.
pub(super) fn content_hash(batch: Rows<'_>, minutes: Option<&[i32]>) -> String {
    if cfg!(target_endian = "little") {
        content_hash_in_place(batch, minutes)
    } else {
        content_hash_by_value(batch, minutes)
    }
}

/// The same value by value, whatever the machine.
pub(super) fn content_hash_by_value(batch: Rows<'_>, minutes: Option<&[i32]>) -> String {
    let columns = batch.columns;
    let mut bytes: Vec<u8> = Vec::with_capacity(columns.len() * 8);
    let mut hasher = Sha256::new();
    let mut take = |bytes: &mut Vec<u8>| {
        hasher.update(&*bytes);
        bytes.clear();
    };
    put(&mut bytes, &columns.ts_us, i64::to_le_bytes);
    take(&mut bytes);
    for values in [
        &columns.open,
        &columns.high,
        &columns.low,
        &columns.close,
        &columns.volume,
        columns.vwap.values(),
    ] {
        put(&mut bytes, values, f64::to_le_bytes);
        take(&mut bytes);
    }
    put(&mut bytes, columns.trade_count.values(), i64::to_le_bytes);
    take(&mut bytes);
    let flag = |present| [u8::from(present)];
    put(&mut bytes, columns.trade_count.present(), flag);
    put(&mut bytes, columns.vwap.present(), flag);
    put(&mut bytes, batch.session_days, i32::to_le_bytes);
    put(&mut bytes, batch.segments, |segment| [segment.code()]);
    put(&mut bytes, minutes.unwrap_or_default(), i32::to_le_bytes);
    take(&mut bytes);
    hex(&hasher.finalize())
}

/// The same where numbers lie in memory as they are hashed.
pub(super) fn content_hash_in_place(batch: Rows<'_>, minutes: Option<&[i32]>) -> String {
    let columns = batch.columns;
    let mut hasher = Sha256::new();
    hasher.update(columns.ts_us.to_byte_slice());
    for values in [
        &columns.open,
        &columns.high,
        &columns.low,
        &columns.close,
        &columns.volume,
    ] {
        hasher.update(values.to_byte_slice());
    }
    hasher.update(columns.vwap.values().to_byte_slice());
    hasher.update(columns.trade_count.values().to_byte_slice());
    let mut flags: Vec<u8> = Vec::with_capacity(columns.len());
    for present in [columns.trade_count.present(), columns.vwap.present()] {
        flags.clear();
        flags.extend(present.iter().map(|&present| u8::from(present)));
        hasher.update(&flags);
    }
    hasher.update(batch.session_days.to_byte_slice());
    flags.clear();
    flags.extend(batch.segments.iter().map(|segment| segment.code()));
    hasher.update(&flags);
    hasher.update(minutes.unwrap_or_default().to_byte_slice());
    hex(&hasher.finalize())
}

/// Appends `values`, each as so many bytes.
fn put<T: Copy, const N: usize>(bytes: &mut Vec<u8>, values: &[T], of: impl Fn(T) -> [u8; N]) {
    let start = bytes.len();
    bytes.resize(start + values.len() * N, 0);
    for (place, &value) in bytes[start..].chunks_exact_mut(N).zip(values) {
        place.copy_from_slice(&of(value));
    }
}
