//! The commands of README.md.

use std::fs;
use std::path::Path;

/// The commands of the shell blocks below a heading.
pub(crate) fn blocks(heading: &str) -> Vec<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = fs::read_to_string(path).unwrap();
    let chapter = text.split(&format!("\n{heading}\n")).nth(1).unwrap();
    let chapter = chapter.split("\n## ").next().unwrap();
    let chapter = chapter.split("\n### ").next().unwrap();
    let blocks = chapter.split("```sh\n").skip(1);
    blocks
        .map(|block| {
            let block = block.split("```").next().unwrap().replace("\\\n", "");
            block.lines().map(str::to_owned).collect()
        })
        .collect()
}
