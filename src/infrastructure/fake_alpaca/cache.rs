//! Finished page bodies by request target, so that a warmed-up server answers from memory. Knows no tape.

use std::collections::HashMap;

use bytes::Bytes;

use super::reply::Coding;

/// A finished page.
#[derive(Debug, Clone)]
pub(super) struct CachedPage {
    pub(super) body: Bytes,
    pub(super) coding: Coding,
    pub(super) bars: u64,
}

/// Pages up to a number of bytes; what does not fit is not kept.
#[derive(Debug, Default)]
pub(super) struct PageCache {
    limit_bytes: usize,
    used_bytes: usize,
    plain: HashMap<String, CachedPage>,
    gzip: HashMap<String, CachedPage>,
}

impl PageCache {
    pub(super) fn new(limit_bytes: usize) -> Self {
        Self {
            limit_bytes,
            ..Self::default()
        }
    }

    pub(super) fn find(&self, target: &str, accepted: Coding) -> Option<CachedPage> {
        let pages = match accepted {
            Coding::Plain => &self.plain,
            Coding::Gzip => &self.gzip,
        };
        pages.get(target).cloned()
    }

    pub(super) fn insert(&mut self, target: &str, accepted: Coding, page: CachedPage) {
        let cost_bytes = target.len() + page.body.len();
        if self.used_bytes + cost_bytes > self.limit_bytes {
            return;
        }
        let pages = match accepted {
            Coding::Plain => &mut self.plain,
            Coding::Gzip => &mut self.gzip,
        };
        if pages.insert(target.to_owned(), page).is_none() {
            self.used_bytes += cost_bytes;
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new(self.limit_bytes);
    }
}
