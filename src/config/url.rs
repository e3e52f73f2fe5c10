//! The form of a provider's base address. Opens no connection.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::ConfigError;
use super::origin::Setting;

/// Refuses an address that is not scheme, host and port alone; drops one slash at the end.
///
/// Plain http would show the credentials to the network: only loopback addresses may use it.
pub(super) fn checked_base_url(mut url: Setting<String>) -> Result<Setting<String>, ConfigError> {
    if let Some(trimmed) = url.value.strip_suffix('/') {
        url.value = trimmed.to_owned();
    }
    match refusal_of(&url.value) {
        None => Ok(url),
        Some(expected) => {
            // What stands before an @ may be a password.
            let shown = match url.value.contains('@') {
                true => "***".into(),
                false => url.value.clone(),
            };
            Err(url.refuse(shown, expected))
        }
    }
}

/// What is expected instead of `url`; `None` when it is fine.
fn refusal_of(url: &str) -> Option<&'static str> {
    let form = Some("https://HOST or https://HOST:PORT, without path, query or user name");
    let (is_encrypted, authority) = match url.split_once("://") {
        Some(("https", authority)) => (true, authority),
        Some(("http", authority)) => (false, authority),
        _ => return form,
    };
    let (host, port) = match authority.rsplit_once(':') {
        // The colons of an IPv6 address stand inside brackets.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    if port.is_some_and(|port| {
        !port.bytes().all(|b| b.is_ascii_digit()) || port.parse::<u16>().is_err()
    }) {
        return form;
    }
    let is_loopback = match host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        Some(address) => match address.parse::<Ipv6Addr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => return form,
        },
        None if is_host_name(host) => {
            host == "localhost"
                || host
                    .parse::<Ipv4Addr>()
                    .is_ok_and(|address| address.is_loopback())
        }
        None => return form,
    };
    (!is_encrypted && !is_loopback)
        .then_some("https, as plain http is accepted for loopback addresses only")
}

fn is_host_name(host: &str) -> bool {
    host.split('.').all(|label| {
        !label.is_empty()
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    })
}

#[cfg(test)]
mod tests {
    use super::super::origin::Layered;
    use super::*;

    fn checked(url: &str) -> Result<String, String> {
        let setting = Layered::new("providers.alpaca.base_url").or_default(url.to_owned());
        match checked_base_url(setting) {
            Ok(setting) => Ok(setting.value),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn encrypted_and_loopback_addresses_are_accepted() {
        for url in [
            "https://data.alpaca.markets",
            "https://data.sandbox.alpaca.markets:8443",
            "http://127.0.0.1:4010",
            "http://127.9.9.9",
            "http://localhost:1",
            "http://[::1]:65535",
            "https://[2001:db8::1]",
        ] {
            assert_eq!(checked(url).as_deref(), Ok(url));
        }
        assert_eq!(
            checked("https://a.example/").as_deref(),
            Ok("https://a.example")
        );
    }

    #[test]
    fn plain_http_to_other_hosts_is_refused_with_the_reason() {
        for url in [
            "http://data.alpaca.markets",
            "http://10.0.0.1:80",
            "http://[2001:db8::1]",
        ] {
            let error = checked(url).unwrap_err();
            assert!(error.contains("loopback addresses only"), "{error}");
        }
        assert!(checked("http://127.0.0.1.evil.example").is_err());
        assert!(checked("http://localhost.evil.example").is_err());
    }

    #[test]
    fn anything_beyond_scheme_host_and_port_is_refused() {
        for url in [
            "",
            "data.alpaca.markets",
            "ftp://a.example",
            "https://",
            "https://a.example/v2",
            "https://a.example//",
            "https://a.example?x=1",
            "https://a.example#x",
            "https://a..example",
            "https://a.example:",
            "https://a.example:+80",
            "https://a.example:65536",
            "https://a b.example",
            "https://[::1",
            "https://\n",
        ] {
            assert!(checked(url).is_err(), "{url:?} was accepted");
        }
    }

    #[test]
    fn a_password_in_the_address_is_refused_without_showing_it() {
        let error = checked("https://me:hunter2@a.example").unwrap_err();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
