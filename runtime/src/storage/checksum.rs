//! How content is proved.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use crc_fast::CrcAlgorithm;
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

/// How a checksum is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// CRC-32 as in zip.
    Crc32,
    /// CRC-32C (Castagnoli).
    Crc32c,
    /// CRC-64/NVME, what AWS computes of every new object.
    Crc64Nvme,
    /// MD5.
    Md5,
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
}

/// What some content must come to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Checksum {
    /// How it is computed.
    pub algorithm: Algorithm,
    /// The value's bytes, most significant first.
    pub value: Vec<u8>,
}

impl Algorithm {
    /// Bytes of a value.
    pub fn length(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme => 8,
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// How it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "crc32",
            Self::Crc32c => "crc32c",
            Self::Crc64Nvme => "crc64nvme",
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
        }
    }

    fn crc(self) -> Option<CrcAlgorithm> {
        match self {
            Self::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
            Self::Crc32c => Some(CrcAlgorithm::Crc32Iscsi),
            Self::Crc64Nvme => Some(CrcAlgorithm::Crc64Nvme),
            Self::Md5 | Self::Sha1 | Self::Sha256 => None,
        }
    }

    /// Whether pieces may be computed apart and put together.
    pub fn combines(self) -> bool {
        self.crc().is_some()
    }
}

impl Checksum {
    /// From base64, as headers have it; `None` when it is not a value of that algorithm.
    pub fn from_base64(algorithm: Algorithm, text: &str) -> Option<Self> {
        let value = BASE64_STANDARD.decode(text.trim()).ok()?;
        (value.len() == algorithm.length()).then_some(Self { algorithm, value })
    }

    /// From hexadecimal; `None` when it is not a value of that algorithm.
    pub fn from_hex(algorithm: Algorithm, text: &str) -> Option<Self> {
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let pairs = text.as_bytes().chunks(2);
        let value: Option<Vec<u8>> = pairs
            .map(|pair| match pair {
                [high, low] => u8::try_from(digit(*high)? * 16 + digit(*low)?).ok(),
                _ => None,
            })
            .collect();
        value.filter(|value| value.len() == algorithm.length()).map(|value| Self { algorithm, value })
    }

    /// From `md5=…` or `sha256=…`, as a URL's fragment says it.
    pub fn from_fragment(text: &str) -> Option<Self> {
        let (name, value) = text.split_once('=')?;
        match name {
            "md5" => Self::from_hex(Algorithm::Md5, value),
            "sha256" => Self::from_hex(Algorithm::Sha256, value),
            _ => None,
        }
    }

    /// As headers have it.
    pub fn base64(&self) -> String {
        BASE64_STANDARD.encode(&self.value)
    }

    /// Lower-case hexadecimal.
    pub fn hex(&self) -> String {
        hex(&self.value)
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A checksum being computed.
#[derive(Debug, Clone)]
pub struct Hasher {
    algorithm: Algorithm,
    state: State,
    length: u64,
}

#[derive(Debug, Clone)]
enum State {
    Crc(crc_fast::Digest),
    Md5(Md5),
    Sha1(Sha1),
    Sha256(Sha256),
}

impl Hasher {
    /// Of nothing yet.
    pub fn new(algorithm: Algorithm) -> Self {
        let state = match algorithm {
            Algorithm::Crc32 => State::Crc(crc_fast::Digest::new(CrcAlgorithm::Crc32IsoHdlc)),
            Algorithm::Crc32c => State::Crc(crc_fast::Digest::new(CrcAlgorithm::Crc32Iscsi)),
            Algorithm::Crc64Nvme => State::Crc(crc_fast::Digest::new(CrcAlgorithm::Crc64Nvme)),
            Algorithm::Md5 => State::Md5(Md5::new()),
            Algorithm::Sha1 => State::Sha1(Sha1::new()),
            Algorithm::Sha256 => State::Sha256(Sha256::new()),
        };
        Self { algorithm, state, length: 0 }
    }

    /// More of the content.
    pub fn update(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        match &mut self.state {
            State::Crc(digest) => digest.update(bytes),
            State::Md5(digest) => digest.update(bytes),
            State::Sha1(digest) => digest.update(bytes),
            State::Sha256(digest) => digest.update(bytes),
        }
    }

    /// What it comes to.
    pub fn finish(self) -> Checksum {
        let value = match self.state {
            State::Crc(digest) => {
                let value = digest.finalize().to_be_bytes();
                value[value.len() - self.algorithm.length()..].to_vec()
            }
            State::Md5(digest) => digest.finalize().to_vec(),
            State::Sha1(digest) => digest.finalize().to_vec(),
            State::Sha256(digest) => digest.finalize().to_vec(),
        };
        Checksum { algorithm: self.algorithm, value }
    }

    /// Puts what follows behind this, where the algorithm can; `None` where it cannot.
    pub fn combine(first: &Checksum, second: &Checksum, second_length: u64) -> Option<Checksum> {
        let algorithm = first.algorithm;
        let crc = algorithm.crc().filter(|_| second.algorithm == algorithm)?;
        let number = |sum: &Checksum| sum.value.iter().fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
        let both = crc_fast::checksum_combine(crc, number(first), number(second), second_length).to_be_bytes();
        Some(Checksum { algorithm, value: both[both.len() - algorithm.length()..].to_vec() })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const ALL: [Algorithm; 6] =
        [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64Nvme, Algorithm::Md5, Algorithm::Sha1, Algorithm::Sha256];

    fn of(algorithm: Algorithm, text: &str) -> Checksum {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(text.as_bytes());
        hasher.finish()
    }

    #[test]
    fn known_values() {
        let values = ALL.map(|algorithm| of(algorithm, "123456789").hex());
        assert_eq!(values[0], "cbf43926");
        assert_eq!(values[1], "e3069283");
        assert_eq!(values[2], "ae8b14860a799888");
        assert_eq!(values[3], "25f9e794323b453885f5181f1b624d0b");
        assert_eq!(values[4], "f7c3bc1d808e04732adf679965ccc34ca7ae3441");
        assert!(values[5].starts_with("15e2b0d3c33891ebb0f1ef609ec41942"));
    }

    #[test]
    fn pieces_come_together_where_they_can() {
        for algorithm in ALL {
            let (first, second) = (of(algorithm, "12345"), of(algorithm, "6789"));
            let both = Hasher::combine(&first, &second, 4);
            assert_eq!(both.is_some(), algorithm.combines());
            if let Some(both) = both {
                assert_eq!(both, of(algorithm, "123456789"));
            }
        }
    }

    #[test]
    fn texts() {
        let sum = of(Algorithm::Md5, "x");
        assert_eq!(Checksum::from_hex(Algorithm::Md5, &sum.hex().to_uppercase()), Some(sum.clone()));
        assert_eq!(Checksum::from_base64(Algorithm::Md5, &sum.base64()), Some(sum.clone()));
        assert_eq!(Checksum::from_fragment(&format!("md5={}", sum.hex())), Some(sum));
        for wrong in ["md5=", "md5=zz", "sha256=00", "sha1=x", "md5"] {
            assert_eq!(Checksum::from_fragment(wrong), None, "{wrong}");
        }
        assert_eq!(Checksum::from_hex(Algorithm::Crc32, "0é00000"), None);
    }
}
