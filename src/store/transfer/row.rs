//! What a row is, between stores.

use sha2::{Digest as _, Sha256};

/// A value of a column.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// None.
    Null,
    /// A number.
    Number(i64),
    /// A text: an id, a document, or whatever a user has written.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// The values of a row, in the order of its table's columns.
pub type Row = Vec<Value>;

impl Value {
    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Null | Self::Number(_) | Self::Bytes(_) => None,
        }
    }

    /// The number, if it is one.
    pub fn number(&self) -> Option<i64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Null | Self::Text(_) | Self::Bytes(_) => None,
        }
    }

    /// Bytes that it takes, more or less.
    pub fn size(&self) -> usize {
        match self {
            Self::Null | Self::Number(_) => 8,
            Self::Text(text) => 8 + text.len(),
            Self::Bytes(bytes) => 8 + bytes.len(),
        }
    }
}

/// How many rows there are, and a digest of all of them that does not depend on their order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    /// How many.
    pub rows: u64,
    lanes: [u64; 4],
}

impl Sum {
    /// Adds a row.
    pub fn add(&mut self, row: &[Value]) {
        let mut hash = Sha256::new();
        let mut part = |kind: u8, bytes: &[u8]| {
            hash.update([kind]);
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        for value in row {
            match value {
                Value::Null => part(0, &[]),
                Value::Number(number) => part(1, &number.to_le_bytes()),
                Value::Text(text) => part(2, text.as_bytes()),
                Value::Bytes(bytes) => part(3, bytes),
            }
        }
        self.rows += 1;
        for (lane, bytes) in self.lanes.iter_mut().zip(hash.finalize().chunks_exact(8)) {
            let more = bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
            *lane = lane.wrapping_add(more);
        }
    }

    /// The digest, for people.
    pub fn digest(&self) -> String {
        self.lanes.iter().map(|lane| format!("{lane:016x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(rows: &[Row]) -> Sum {
        rows.iter().fold(Sum::default(), |mut sum, row| {
            sum.add(row);
            sum
        })
    }

    #[test]
    fn a_sum_knows_every_value_and_no_order() {
        let text = |text: &str| Value::Text(text.to_owned());
        let (a, b) = (vec![text("a"), Value::Null], vec![text("b"), Value::Number(1)]);
        assert_eq!(sum(&[a.clone(), b.clone()]), sum(&[b.clone(), a.clone()]));
        let others: [Vec<Row>; 6] = [
            vec![a.clone()],
            vec![a.clone(), a.clone()],
            vec![a.clone(), b.clone(), b.clone()],
            vec![a.clone(), vec![text("b"), Value::Number(2)]],
            vec![vec![text("a\0"), Value::Null], b.clone()],
            vec![vec![Value::Bytes(b"a".to_vec()), Value::Null], b.clone()],
        ];
        for other in others {
            assert_ne!(sum(&[a.clone(), b.clone()]), sum(&other), "{other:?}");
        }
        // What stands in one column does not count as the other's.
        assert_ne!(sum(&[vec![text("ab"), text("c")]]), sum(&[vec![text("a"), text("bc")]]));
        assert_eq!(sum(&[]).digest(), "0".repeat(64));
    }
}
