//! Reading JSON that a user or a model wrote.
//!
//! Serde's derived readers take more than their schema says: a struct also from an array of its fields in order, an
//! enum also from an object. A field whose shape that concerns names [`strict`], [`each_strict`] or [`word`].

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{
        DeserializeOwned, IntoDeserializer, MapAccess, Visitor,
        value::{MapAccessDeserializer, StrDeserializer},
    },
};

use super::{Code, Fault};

/// Reads a JSON object as `T`. `T` should deny unknown fields.
///
/// # Errors
/// A fault of `code` that names the place in the JSON and what is expected there.
pub fn object<T: DeserializeOwned>(json: &str, code: Code) -> Result<T, Fault> {
    let mut reader = serde_json::Deserializer::from_str(json);
    serde_path_to_error::deserialize::<_, Object<T>>(&mut reader).map(|read| read.0).map_err(|error| {
        let (path, inner) = (error.path().to_string(), error.inner().to_string());
        let place = if path == "." { String::new() } else { format!("`{path}`: ") };
        Fault::new(code, format!("{place}{}", plain(&inner)))
    })
}

/// What serde says, without the position in a text that the caller never saw and without Rust's names of types.
fn plain(error: &str) -> String {
    let error = error.rsplit_once(" at line ").map_or(error, |(problem, _)| problem);
    let (problem, expected) = error.rsplit_once(", expected ").unwrap_or((error, ""));
    let expected = match expected {
        "" => return problem.to_owned(),
        "u64" | "u32" | "usize" => "a whole number",
        "a nonzero u32" => "a whole number above 0",
        other => other,
    };
    format!("{problem}, expected {expected}")
}

/// Reads an object, and nothing but an object, as `T`.
///
/// # Errors
/// The deserializer's.
pub fn strict<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Object::deserialize(from).map(|read| read.0)
}

/// Reads an array of objects, and of nothing else.
///
/// # Errors
/// The deserializer's.
pub fn each_strict<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    let read: Vec<Object<T>> = Vec::deserialize(from)?;
    Ok(read.into_iter().map(|read| read.0).collect())
}

/// Reads an enum of words from a string, and from nothing else.
///
/// # Errors
/// The deserializer's.
pub fn word<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    let text = String::deserialize(from)?;
    let reader: StrDeserializer<'_, D::Error> = text.as_str().into_deserializer();
    T::deserialize(reader)
}

/// The same for a word that may be left out or `null`.
///
/// # Errors
/// The deserializer's.
pub fn word_or_none<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    let Some(text) = Option::<String>::deserialize(from)? else { return Ok(None) };
    let reader: StrDeserializer<'_, D::Error> = text.as_str().into_deserializer();
    T::deserialize(reader).map(Some)
}

struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        from.deserialize_map(Fields(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[serde(deserialize_with = "each_strict")]
        items: Vec<Item>,
        #[serde(default, deserialize_with = "strict")]
        one: Item,
        #[serde(default, deserialize_with = "word_or_none")]
        size: Option<Size>,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Item {
        name: String,
        count: u32,
        #[serde(deserialize_with = "word")]
        size: Size,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Size {
        #[default]
        Small,
        Large,
    }

    #[test]
    fn what_the_schema_says_is_read() {
        let read: Outer =
            object(r#"{"items": [{"name": "a", "count": 2, "size": "large"}, {}], "size": null}"#, Code::BadArguments)
                .unwrap();
        assert_eq!(read.items[0], Item { name: "a".into(), count: 2, size: Size::Large });
        assert_eq!((read.items[1].size == Size::Small, read.one, read.size), (true, Item::default(), None));
    }

    #[test]
    fn any_other_shape_is_refused_by_the_name_of_its_place() {
        for (json, message) in [
            ("[]", "invalid type: sequence, expected an object"),
            ("\"x\"", "invalid type: string \"x\", expected an object"),
            ("null", "invalid type: null, expected an object"),
            (r#"{"items": [["a", 1, "small"]]}"#, "`items[0]`: invalid type: sequence, expected an object"),
            (r#"{"items": [], "one": ["a", 1, "small"]}"#, "`one`: invalid type: sequence, expected an object"),
            (r#"{"items": [{"count": -1}]}"#, "`items[0].count`: invalid value: integer `-1`, expected a whole number"),
            (r#"{"items": [{"size": {"small": null}}]}"#, "`items[0].size`: invalid type: map, expected a string"),
            (r#"{"items": [], "size": "tiny"}"#, "`size`: unknown variant `tiny`, expected `small` or `large`"),
            (r#"{"items": [], "items": []}"#, "duplicate field `items`"),
        ] {
            let fault = object::<Outer>(json, Code::BadArguments).unwrap_err();
            assert_eq!((fault.code, fault.message.as_str()), (Code::BadArguments, message), "{json}");
        }
    }

    #[test]
    fn half_a_surrogate_pair_and_endless_nesting_are_refused() {
        let deep = format!("{{\"items\": {}", "[".repeat(100_000));
        for json in [r#"{"items": [{"name": "\ud800"}]}"#, &deep] {
            assert_eq!(object::<Outer>(json, Code::BadArguments).unwrap_err().code, Code::BadArguments);
        }
    }
}
