//! The format for editors: `docs/sortie.schema.json` is printed from here.

use schemars::schema_for;

use super::File;

/// The JSON Schema of a configuration file.
#[must_use]
pub fn schema() -> String {
    let mut text = serde_json::to_string_pretty(&schema_for!(File)).unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_schema_is_the_printed_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/sortie.schema.json");
        if std::env::var_os("SORTIE_BLESS").is_some() {
            std::fs::write(path, schema()).unwrap();
        }
        let published = std::fs::read_to_string(path).unwrap();
        assert_eq!(published, schema(), "run this test with SORTIE_BLESS=1 to print it anew");
    }
}
