//! What tells two values apart without keeping either: a tool's arguments and output may be megabytes.

use std::{
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, MapAccess, SeqAccess, Visitor},
};

/// A hash of a JSON value. Equal values have equal ones; that different ones have is as good as impossible. The default
/// is that of a value that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Fingerprint(u64);

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut hasher = DefaultHasher::new();
        Feed(&mut hasher).deserialize(deserializer)?;
        Ok(Self(hasher.finish()))
    }
}

/// Hashes what it reads, each kind of value under a mark of its own.
struct Feed<'a>(&'a mut DefaultHasher);

impl<'de> DeserializeSeed<'de> for Feed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Feed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        0_u8.hash(self.0);
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        (1_u8, value).hash(self.0);
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        (2_u8, value).hash(self.0);
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        (3_u8, value).hash(self.0);
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        (4_u8, value.to_bits()).hash(self.0);
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        (5_u8, value).hash(self.0);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        6_u8.hash(self.0);
        while seq.next_element_seed(Feed(&mut *self.0))?.is_some() {}
        7_u8.hash(self.0);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        8_u8.hash(self.0);
        while map.next_key_seed(Feed(&mut *self.0))?.is_some() {
            map.next_value_seed(Feed(&mut *self.0))?;
        }
        9_u8.hash(self.0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn equal_values_and_only_those_are_alike() {
        let of = |text: &str| serde_json::from_str::<Fingerprint>(text).unwrap();
        let values = [
            "null",
            "true",
            "false",
            "1",
            "-1",
            "1.5",
            r#""1""#,
            r#""""#,
            "[]",
            "[1]",
            "[[1]]",
            "[1,1]",
            "{}",
            r#"{"a":1}"#,
            r#"{"a":2}"#,
            r#"{"b":1}"#,
            r#"{"a":{"b":1}}"#,
            r#"{"a":{},"b":1}"#,
        ];
        let all: HashSet<_> = values.iter().map(|text| of(text)).collect();
        assert_eq!((all.len(), all.contains(&Fingerprint::default())), (values.len(), false));
        assert_eq!(of(r#"{ "a" : "\u0041" }"#), of(r#"{"a":"A"}"#));
    }
}
