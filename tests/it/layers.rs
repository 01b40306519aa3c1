//! The layering table of `lib.rs`, enforced: a module imports only from lower rows, and each technology has one owner.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for item in fs::read_dir(folder).unwrap() {
        let path = item.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn block<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let start = format!("//! ```{name}");
    text.lines()
        .skip_while(|line| *line != start)
        .skip(1)
        .take_while(|line| *line != "//! ```")
        .map(|line| line.trim_start_matches("//!").trim())
        .collect()
}

/// The module that a file belongs to: `src/store/db.rs` is `store`, `src/app.rs` is `app`.
fn module(path: &Path) -> String {
    let first = path.strip_prefix("src").unwrap().components().next().unwrap();
    first.as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned()
}

/// A file's code without comments.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Modules that `code` names by `crate::<module>`, also in grouped imports.
fn imports(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = code.get(at + 7..).unwrap();
        if let Some(group) = rest.strip_prefix('{') {
            let group = group.split('}').next().unwrap_or_default();
            found.extend(group.split(',').map(|item| item.trim().split("::").next().unwrap_or_default().to_owned()));
        } else {
            found.push(rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect());
        }
    }
    found
}

fn violations(ranks: &HashMap<String, usize>, own: &str, code: &str) -> Vec<String> {
    let rank = ranks.get(own).copied();
    imports(code)
        .into_iter()
        .filter(|other| other != own)
        .filter_map(|other| {
            let theirs = ranks.get(&other)?;
            (rank? <= *theirs).then(|| format!("{own} imports {other}"))
        })
        .collect()
}

fn ranks(lib: &str) -> HashMap<String, usize> {
    let rows = block(lib, "layers");
    assert!(rows.len() > 5, "the table was not found");
    rows.iter()
        .enumerate()
        .flat_map(|(rank, row)| row.split_whitespace().map(move |name| (name.to_owned(), rank)))
        .collect()
}

#[test]
fn modules_import_only_from_lower_layers() {
    let ranks = ranks(&fs::read_to_string("src/lib.rs").unwrap());
    let mut files = Vec::new();
    sources(Path::new("src"), &mut files);
    let mut found = Vec::new();
    for path in &files {
        let own = module(path);
        if own == "lib" || own == "main" {
            continue;
        }
        assert!(ranks.contains_key(&own), "{} is in no layer", path.display());
        found.extend(
            violations(&ranks, &own, &code(path)).into_iter().map(|what| format!("{}: {what}", path.display())),
        );
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn an_import_from_above_is_seen() {
    let ranks = ranks(&fs::read_to_string("src/lib.rs").unwrap());
    assert_eq!(violations(&ranks, "chain", "use crate::store::Store;"), ["chain imports store"]);
    assert_eq!(violations(&ranks, "views", "use crate::{store, projections};"), ["views imports projections"]);
    assert!(violations(&ranks, "store", "use crate::chain::leaf::leaf_hash;").is_empty());
}

#[test]
fn each_technology_has_one_owner() {
    let lib = fs::read_to_string("src/lib.rs").unwrap();
    let mut files = Vec::new();
    sources(Path::new("src"), &mut files);
    let mut found = Vec::new();
    for row in block(&lib, "owners") {
        let (names, owner) = row.split_once(": ").map(|(names, owner)| (names, owner.trim())).unwrap();
        // A name may itself hold "::", so the owner is what follows the last ": ".
        let tests = |path: &&PathBuf| {
            path.file_stem().and_then(|name| name.to_str()).is_some_and(|name| name.ends_with("tests"))
        };
        for path in files.iter().filter(|path| module(path) != owner && module(path) != "lib" && !tests(path)) {
            let code = code(path);
            let code = code.split("#[cfg(test)]").next().unwrap_or_default();
            for name in names.split_whitespace() {
                let uses = [format!("{name}::"), format!("{name}("), format!("use {name};")];
                if uses.iter().any(|used| code.match_indices(used.as_str()).any(|(at, _)| is_word_start(code, at))) {
                    found.push(format!("{} uses {name}, which {owner} owns", path.display()));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

fn is_word_start(code: &str, at: usize) -> bool {
    !code
        .get(..at)
        .and_then(|before| before.chars().last())
        .is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
}
