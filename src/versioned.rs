//! JSON files of ours, which say in `format` what version of their shape they have.

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// What a file of this version says.
///
/// # Errors
/// Why it says nothing, in a sentence. A file of another version need not have the same fields, and is
/// told as such.
pub fn parse<T: DeserializeOwned>(bytes: &[u8], version: u32) -> Result<T, String> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let Format { format } = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if format != version {
        return Err(format!("it is of format {format}, not {version}"));
    }
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}
