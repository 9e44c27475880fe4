//! The server's address, which must be on this machine: a session's content and the password go there in clear.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// A URL that is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BaseUrlError {
    /// Not of the form `http://host:port`.
    #[error("read server URL `{0}`: expected `http://127.0.0.1:PORT`")]
    Malformed(String),
    /// Not on this machine.
    #[error("use server at `{0}`: only this machine is spoken to: 127.0.0.1, [::1] or localhost")]
    NotLoopback(String),
}

/// Addresses to try, and the name for the `Host` header.
#[derive(Clone, PartialEq, Eq)]
pub struct Base {
    pub(super) authority: String,
    pub(super) addresses: Vec<SocketAddr>,
}

impl fmt::Debug for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.authority)
    }
}

impl Base {
    pub(super) fn parse(url: &str) -> Result<Self, BaseUrlError> {
        let malformed = || BaseUrlError::Malformed(url.to_owned());
        let rest = url.strip_prefix("http://").ok_or_else(malformed)?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".:-[]".contains(&byte);
        if authority.is_empty() || !authority.bytes().all(plain) {
            return Err(malformed());
        }
        let (host, port) = match authority.rsplit_once(':') {
            // A colon inside of brackets belongs to the address.
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| malformed())?),
            _ => (authority, 80),
        };
        let ips = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(inside) => vec![IpAddr::V6(inside.parse().map_err(|_| malformed())?)],
            // Not looked up: what the name means must not depend on a name server.
            None if host.eq_ignore_ascii_case("localhost") => {
                vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]
            }
            None if host.contains(['[', ']', ':']) => return Err(malformed()),
            None => vec![IpAddr::V4(host.parse().map_err(|_| BaseUrlError::NotLoopback(host.to_owned()))?)],
        };
        if !ips.iter().all(IpAddr::is_loopback) {
            return Err(BaseUrlError::NotLoopback(host.to_owned()));
        }
        let addresses = ips.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
        Ok(Self { authority: authority.to_owned(), addresses })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_taken() {
        for (url, address) in [
            ("http://127.0.0.1:4096", "127.0.0.1:4096"),
            ("http://127.0.0.1:4096/", "127.0.0.1:4096"),
            ("http://127.9.9.9", "127.9.9.9:80"),
            ("http://[::1]:1", "[::1]:1"),
            ("http://[::1]", "[::1]:80"),
            ("http://LocalHost:7", "127.0.0.1:7"),
        ] {
            assert_eq!(Base::parse(url).unwrap().addresses[0].to_string(), address, "{url}");
        }
    }

    #[test]
    fn other_machines_are_not() {
        for url in [
            "http://example.com:80",
            "http://10.0.0.1:80",
            "http://0.0.0.0:80",
            "http://[::]:80",
            "http://127.1:80",
            "http://[::ffff:127.0.0.1]:80",
            "http://localhost.example.com:80",
            "http://127.0.0.1.example.com",
        ] {
            assert!(matches!(Base::parse(url), Err(BaseUrlError::NotLoopback(_))), "{url}");
        }
    }

    #[test]
    fn what_is_no_base_url_is_said_to_be_none() {
        for url in [
            "",
            "127.0.0.1:80",
            "https://127.0.0.1:80",
            "http://",
            "http://127.0.0.1:80/path",
            "http://127.0.0.1:99999",
            "http://user:pw@127.0.0.1:80",
            "http://127.0.0.1:80\r\nx",
            "http://[::1",
            "http://127.0.0.1:",
            "http://é",
        ] {
            assert!(matches!(Base::parse(url), Err(BaseUrlError::Malformed(_))), "{url}");
        }
    }
}
