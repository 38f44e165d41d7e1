//! Which key is whose: the lines of a `known_hosts` file, as OpenSSH writes them.

use russh::keys::ssh_key::known_hosts::{Entry, HostPatterns, Marker};
use russh::keys::{Algorithm, PublicKey};
use sha1::{Digest, Sha1};

/// Hosts and their keys.
#[derive(Debug, Clone, Default)]
pub(super) struct KnownHosts(Vec<Entry>);

/// What is known of a host's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Known,
    /// There is no line for this host.
    Unknown,
    /// There are lines for this host, with other keys.
    Other,
    /// It must not be trusted any more.
    Revoked,
}

impl KnownHosts {
    /// Lines that cannot be read make no host known, so they are left out.
    pub(super) fn parse(text: &str) -> Self {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let spaced = lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        Self(spaced.filter_map(|line| line.parse().ok()).collect())
    }

    /// Keys of authorities are not understood: their hosts have to be known by their own.
    fn lines<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Entry> {
        let ours = |entry: &&Entry| entry.marker() != Some(&Marker::CertAuthority);
        self.0.iter().filter(ours).filter(move |entry| names(entry.host_patterns(), name))
    }

    pub(super) fn judge(&self, host: &str, port: u16, key: &PublicKey) -> Verdict {
        let name = name(host, port);
        let same = |entry: &&Entry| entry.public_key().key_data() == key.key_data();
        let revoked = |entry: &&Entry| entry.marker() == Some(&Marker::Revoked);
        if self.lines(&name).filter(same).any(|entry| revoked(&entry)) {
            return Verdict::Revoked;
        }
        let keys: Vec<_> = self.lines(&name).filter(|entry| !revoked(entry)).collect();
        match keys.iter().any(same) {
            true => Verdict::Known,
            false if keys.is_empty() => Verdict::Unknown,
            false => Verdict::Other,
        }
    }

    /// Of which kinds the keys of a host are: a host has several, and would show another than the one that is known.
    pub(super) fn kinds(&self, host: &str, port: u16) -> Vec<Algorithm> {
        self.lines(&name(host, port)).map(|entry| entry.public_key().algorithm()).collect()
    }
}

/// How such files name a host.
pub(super) fn name(host: &str, port: u16) -> String {
    let host = host.to_ascii_lowercase();
    if port == 22 { host } else { format!("[{host}]:{port}") }
}

/// The line that makes a host known.
pub(super) fn line(host: &str, port: u16, key: &PublicKey) -> String {
    // Without the comment.
    let key = PublicKey::new(key.key_data().clone(), "").to_openssh().unwrap_or_default();
    format!("{} {}", name(host, port), key.trim_end())
}

fn names(patterns: &HostPatterns, name: &str) -> bool {
    match patterns {
        HostPatterns::HashedName { salt, hash } => hmac_sha1(salt, name.as_bytes()) == *hash,
        HostPatterns::Patterns(patterns) => {
            let (mut named, mut excepted) = (false, false);
            for pattern in patterns {
                let pattern = pattern.to_ascii_lowercase();
                match pattern.strip_prefix('!') {
                    Some(pattern) => excepted |= matches(pattern.as_bytes(), name.as_bytes()),
                    None => named |= matches(pattern.as_bytes(), name.as_bytes()),
                }
            }
            named && !excepted
        }
    }
}

/// `*` is any text, `?` any character.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    // Where to go on when the last star has to take one more.
    let (mut at, mut from, mut star) = (0, 0, None);
    while from < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(wanted) if *wanted == b'?' || *wanted == text[from] => (at, from) = (at + 1, from + 1),
            _ => match star {
                Some((before, taken)) => {
                    star = Some((before, taken + 1));
                    (at, from) = (before + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|rest| *rest == b'*')
}

/// RFC 2104.
fn hmac_sha1(key: &[u8], text: &[u8]) -> [u8; 20] {
    let mut block = [0; 64];
    if key.len() > block.len() {
        block[..20].copy_from_slice(&Sha1::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Sha1::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(text).finalize();
    Sha1::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::storage::checksum::hex;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    const OTHER: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILIG2T/B0l0gaqj3puu510tu9N1OkQ4znY3LYuEm5zCF";

    fn judged(lines: &str, host: &str, port: u16) -> Verdict {
        KnownHosts::parse(lines).judge(host, port, &PublicKey::from_openssh(KEY).unwrap())
    }

    #[test]
    fn lines_of_every_form() {
        for (line, host, port, verdict) in [
            (format!("host {KEY}"), "Host", 22, Verdict::Known),
            (format!("  a,host\t{KEY} a comment"), "host", 22, Verdict::Known),
            (format!("host {KEY}"), "host", 2222, Verdict::Unknown),
            (format!("[host]:2222 {KEY}"), "host", 2222, Verdict::Known),
            (format!("*.lab,!bad.lab {KEY}"), "good.lab", 22, Verdict::Known),
            (format!("*.lab,!bad.lab {KEY}"), "bad.lab", 22, Verdict::Unknown),
            (format!("[10.0.0.?]:* {KEY}"), "10.0.0.7", 2022, Verdict::Known),
            (format!("host {OTHER}"), "host", 22, Verdict::Other),
            (format!("host {OTHER}\nhost {KEY}"), "host", 22, Verdict::Known),
            (format!("@revoked host {KEY}\nhost {KEY}"), "host", 22, Verdict::Revoked),
            (format!("@revoked host {OTHER}\nhost {KEY}"), "host", 22, Verdict::Known),
            (format!("@cert-authority host {KEY}"), "host", 22, Verdict::Unknown),
            (format!("# host {KEY}\nnonsense\n"), "host", 22, Verdict::Unknown),
        ] {
            assert_eq!(judged(&line, host, port), verdict, "{line}");
        }
    }

    #[test]
    fn hashed_names() {
        // As `ssh-keygen -H` wrote it for example.com.
        let line = format!("|1|O33ESRMWPVkMYIwJ1Uw+n877jTo=|nuuC5vEqXlEZ/8BXQR7m619W6Ak= {KEY}");
        assert_eq!(judged(&line, "example.com", 22), Verdict::Known);
        assert_eq!(judged(&line, "example.org", 22), Verdict::Unknown);
        // RFC 2202, 3.
        assert_eq!(hex(&hmac_sha1(&[0x0b; 20], b"Hi There")), "b617318655057264e28bc0b6fb378c8ef146be00");
        let long = hmac_sha1(&[0xaa; 80], b"Test Using Larger Than Block-Size Key - Hash Key First");
        assert_eq!(hex(&long), "aa4ae5e15272d00e95705637ce8a3b55ed402112");
    }

    #[test]
    fn the_line_that_is_asked_for_makes_it_known() {
        let key = PublicKey::from_openssh(&format!("{KEY} comment")).unwrap();
        let line = line("Host", 2222, &key);
        assert_eq!(line, format!("[host]:2222 {KEY}"));
        assert_eq!(judged(&line, "host", 2222), Verdict::Known);
    }
}
