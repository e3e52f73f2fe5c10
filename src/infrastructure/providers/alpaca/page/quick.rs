//! A shortcut for pages exactly as the vendor writes them: no space between tokens, plain decimals, no escapes.
//! Says nothing of any other page: it gives up, and the thorough reader decides. Where it does not give up, it must
//! read what the thorough reader reads.

use crate::domain::ports::PageToken;
use crate::domain::{Bar, BarColumns, Symbol};

use super::super::bar_row::{BLANK_BAR, float_of};
use super::super::timestamp::parse_timestamp;
use super::{MAX_ROWS, MAX_TOKEN_BYTES, Page};

/// Powers of ten that a float holds exactly.
const POWERS_OF_TEN: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// A float holds all whole numbers up to this one.
const MAX_EXACT: u64 = 1 << 53;

/// So many digits fit into 64 bits, whichever they are.
const MAX_DIGITS: usize = 19;

/// `2026-09-03T13:30:00Z`.
const TIMESTAMP_BYTES: usize = 20;

/// The page, or `None` when it is not written in the usual way.
pub(super) fn read_page(body: &[u8], requested: &[Symbol], rows_per_symbol: usize) -> Option<Page> {
    let mut text = Text(body);
    let mut page = Page::default();
    let mut seen = vec![false; requested.len()];
    let mut room = MAX_ROWS;
    text.skip(br#"{"bars":{"#)?;
    if text.skip(b"}").is_none() {
        loop {
            let name = text.string()?;
            let at = requested
                .binary_search_by(|symbol| symbol.as_str().cmp(name))
                .ok()?;
            if std::mem::replace(&mut seen[at], true) {
                return None;
            }
            text.skip(b":[")?;
            let mut columns = BarColumns::with_capacity(rows_per_symbol);
            loop {
                room = room.checked_sub(1)?;
                columns.push(text.bar()?);
                if text.ends_list(b']')? {
                    break;
                }
            }
            page.bars.push((requested[at].clone(), columns));
            if text.ends_list(b'}')? {
                break;
            }
        }
    }
    text.skip(br#","next_page_token":"#)?;
    if text.skip(b"null").is_none() {
        let token = text.string()?;
        if token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        page.next = (!token.is_empty()).then(|| PageToken(token.to_owned()));
    }
    text.skip(b"}")?;
    text.0
        .iter()
        .all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
        .then_some(page)
}

/// What is still to be read.
struct Text<'a>(&'a [u8]);

impl<'a> Text<'a> {
    /// Steps over `expected`.
    fn skip(&mut self, expected: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(expected)?;
        Some(())
    }

    /// Steps over what follows an entry: the list's `end`, or a comma.
    fn ends_list(&mut self, end: u8) -> Option<bool> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        (byte == end || byte == b',').then_some(byte == end)
    }

    /// A string of printable ASCII without escapes.
    fn string(&mut self) -> Option<&'a str> {
        self.skip(b"\"")?;
        let plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
        let (text, rest) = self
            .0
            .split_at(self.0.iter().take_while(|byte| plain(byte)).count());
        self.0 = rest;
        self.skip(b"\"")?;
        std::str::from_utf8(text).ok()
    }

    fn bar(&mut self) -> Option<Bar> {
        let mut bar = BLANK_BAR;
        let mut seen = 0_u8;
        self.skip(b"{")?;
        loop {
            let bit = match self.0 {
                [b'"', b'v', b'w', b'"', b':', rest @ ..] => {
                    self.0 = rest;
                    bar.vwap = Some(self.decimal()?);
                    1 << 7
                }
                [b'"', key, b'"', b':', rest @ ..] => {
                    self.0 = rest;
                    match key {
                        b't' => {
                            bar.ts_us = self.timestamp()?;
                            1
                        }
                        b'o' => {
                            bar.open = self.decimal()?;
                            1 << 1
                        }
                        b'h' => {
                            bar.high = self.decimal()?;
                            1 << 2
                        }
                        b'l' => {
                            bar.low = self.decimal()?;
                            1 << 3
                        }
                        b'c' => {
                            bar.close = self.decimal()?;
                            1 << 4
                        }
                        b'v' => {
                            bar.volume = self.decimal()?;
                            1 << 5
                        }
                        b'n' => {
                            bar.trade_count = Some(self.count()?);
                            1 << 6
                        }
                        _ => return None,
                    }
                }
                _ => return None,
            };
            if seen & bit != 0 {
                return None;
            }
            seen |= bit;
            if self.ends_list(b'}')? {
                return Some(bar);
            }
        }
    }

    fn timestamp(&mut self) -> Option<i64> {
        let (text, rest) = self
            .0
            .strip_prefix(b"\"")?
            .split_first_chunk::<TIMESTAMP_BYTES>()?;
        self.0 = rest.strip_prefix(b"\"")?;
        parse_timestamp(text)
    }

    fn count(&mut self) -> Option<i64> {
        let (digits, count) = self.digits(0);
        let is_plain = digits == 1 || !self.0.starts_with(b"0");
        self.0 = &self.0[digits..];
        // A point or an exponent that follows ends the shortcut in `ends_list`.
        (is_plain && (1..MAX_DIGITS).contains(&digits))
            .then(|| i64::try_from(count).ok())
            .flatten()
    }

    /// A decimal that needs a single rounding: both its digits and the power of ten are exact as floats.
    fn decimal(&mut self) -> Option<f64> {
        let (whole, value) = self.digits(0);
        let is_plain = whole == 1 || !self.0.starts_with(b"0");
        self.0 = &self.0[whole..];
        if whole == 0 || !is_plain {
            return None;
        }
        let (fraction, value) = match self.0 {
            [b'.', rest @ ..] => {
                self.0 = rest;
                let (fraction, value) = self.digits(value);
                self.0 = &self.0[fraction..];
                if fraction == 0 {
                    return None;
                }
                (fraction, value)
            }
            _ => (0, value),
        };
        if whole + fraction > MAX_DIGITS || value > MAX_EXACT {
            return None;
        }
        Some(float_of(value) / POWERS_OF_TEN[fraction])
    }

    /// The number of digits that follow, and `value` with them appended, which means nothing beyond [`MAX_DIGITS`].
    fn digits(&self, mut value: u64) -> (usize, u64) {
        let mut digits = 0;
        for byte in self.0 {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
            digits += 1;
        }
        (digits, value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::decode_thoroughly;
    use super::*;

    const USUAL: &str = r#"{"bars":{"AAPL":[{"c":324.6807,"h":325.25,"l":324.25,"n":10822,"o":324.87,"t":"2026-09-03T13:30:00Z","v":626759,"vw":324.786206},{"t":"2026-09-03T13:31:00Z","o":0,"h":0.5,"l":17,"c":325.38,"v":0}],"MSFT":[{"c":504.575,"h":505.47,"l":500.8,"n":10397,"o":501.99,"t":"2026-09-03T13:30:00Z","v":534888,"vw":502.552518}]},"next_page_token":"TVNGVHxNfDE3ODg0NDg4MDAwMDAwMDAwMDA="}"#;

    fn symbols() -> [Symbol; 3] {
        ["AAPL", "MSFT", "NVDA"].map(|name| name.parse().unwrap())
    }

    fn quickly(body: &[u8]) -> Option<Page> {
        read_page(body, &symbols(), 10)
    }

    /// Pages in words, in which every NaN is alike.
    fn words(page: &Page) -> String {
        format!("{page:?}")
    }

    fn agrees(body: &[u8]) -> bool {
        quickly(body).is_none_or(|page| {
            decode_thoroughly(body, &symbols(), 10)
                .is_ok_and(|thorough| words(&thorough) == words(&page))
        })
    }

    #[test]
    fn usual_pages_take_the_shortcut() {
        for body in [
            USUAL,
            "{\"bars\":{},\"next_page_token\":null}\r\n",
            r#"{"bars":{},"next_page_token":""}"#,
        ] {
            assert!(
                quickly(body.as_bytes()).is_some() && agrees(body.as_bytes()),
                "{body}"
            );
        }
    }

    #[test]
    fn unusual_ones_do_not() {
        for (usual, unusual) in [
            (r#""n":10822"#, r#""n":10822.0"#),
            (r#""n":10822"#, r#""n":010822"#),
            (r#""n":10822"#, r#""n":-1"#),
            (r#""n":10822"#, r#""n":9223372036854775808"#),
            (r#""n":10822"#, r#""n":"#),
            (r#""n":10822"#, r#""c":324.6807"#),
            (r#""n":10822"#, r#""x":1"#),
            (r#""n":10822"#, r#""w":1"#),
            (r#""n":10822"#, r#""n": 10822"#),
            ("626759", "626759e0"),
            ("626759", "9007199254740993"),
            ("626759", "18446744073709551617"),
            ("626759", "null"),
            ("324.25", "00.25"),
            ("324.25", "324."),
            ("324.25", ".25"),
            ("324.25", "-324.25"),
            ("324.25", "0.00000000000000000000000000001"),
            ("13:30:00Z", "13:30:00.0Z"),
            ("13:30:00Z", "13:30:60Z"),
            ("AAPL", "AAPX"),
            ("AAPL", "MSFT"),
            ("AAPL", r"AAP\u004c"),
            ("}]}", "}]} "),
            ("MDA=\"}", "MDA=\"}x"),
            ("MDA=\"}", "MDA=\"}\u{c}"),
            ("MDA=", "MD\u{e4}="),
        ] {
            let body = USUAL.replacen(usual, unusual, 1);
            assert_ne!(body, USUAL, "{unusual}");
            assert!(quickly(body.as_bytes()).is_none(), "{body}");
        }
        for len in 0..USUAL.len() {
            assert!(quickly(&USUAL.as_bytes()[..len]).is_none(), "cut to {len}");
        }
    }

    proptest! {
        #[test]
        fn numbers_are_read_as_the_thorough_reader_reads_them(text in "(0|[1-9][0-9]{0,18})(\\.[0-9]{1,20})?", key in "c|n|v|vw") {
            let body = format!(r#"{{"bars":{{"AAPL":[{{"{key}":{text}}}]}},"next_page_token":null}}"#);
            prop_assert!(agrees(body.as_bytes()), "{}", body);
        }

        #[test]
        fn changed_bytes_are_read_as_the_thorough_reader_reads_them(
            changes in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(&b"\"{}[],:.0123456789eE-tohlcvnw ZT\\\x00\xff"[..])), 1..4),
        ) {
            let mut body = USUAL.as_bytes().to_vec();
            for (at, byte) in changes {
                let at = at.index(body.len());
                body[at] = byte;
            }
            prop_assert!(agrees(&body), "{}", String::from_utf8_lossy(&body));
        }
    }
}
