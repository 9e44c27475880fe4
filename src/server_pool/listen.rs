//! The line by which a server says that it listens.

/// What stands before the address.
const SAID: &str = "listening on ";

/// The address in a line, if the line says that the server listens on this port. Other words of other programs that
/// come over the same pipe do not count.
pub(super) fn address(line: &str, port: u16) -> Option<String> {
    let address = line.split_once(SAID)?.1.split_whitespace().next()?;
    let expected = format!("http://127.0.0.1:{port}");
    (address.trim_end_matches('/') == expected).then_some(expected)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_the_servers_own_address_counts() {
        let of = |line| address(line, 4101);
        assert_eq!(of("opencode server listening on http://127.0.0.1:4101").as_deref(), Some("http://127.0.0.1:4101"));
        assert_eq!(of("now listening on http://127.0.0.1:4101/ (pid 7)").as_deref(), Some("http://127.0.0.1:4101"));
        for line in [
            "",
            "listening on ",
            "opencode server listening on http://127.0.0.1:4102",
            "opencode server listening on http://127.0.0.1:41010",
            "opencode server listening on http://0.0.0.0:4101",
            "mcp listening on http://example.com:4101",
            "opencode server listening on http://127.0.0.1:4101@example.com",
            "Warning: OPENCODE_SERVER_PASSWORD is not set; server is unsecured.",
        ] {
            assert_eq!(of(line), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn nothing_else_is_taken_for_it(line in ".{0,60}", port: u16) {
            if let Some(address) = address(&line, port) {
                prop_assert!(line.contains(&address));
            }
        }
    }
}
