//! The tree is held against its own rules: the map of rooms in `src/ARCHITECTURE.md`, and what the style asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let path = entry.expect("a folder can be listed").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Code without comments, strings of documentation and test modules at the end of a file.
fn product_code(path: &Path) -> String {
    let text = read(path);
    let end = text.find("#[cfg(test)]\nmod ").unwrap_or(text.len());
    text[..end].lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The rooms of the table and what each may use.
fn map() -> BTreeMap<String, BTreeSet<String>> {
    let text = read(&root().join("src/ARCHITECTURE.md"));
    let mut rooms = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let names =
            |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<BTreeSet<_>>();
        let room = names(cells[1]).pop_first().expect("a row names its room");
        rooms.insert(room, names(cells[3]));
    }
    rooms
}

/// The rooms that a file names.
fn named_rooms(code: &str) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for room in ["net", "security", "client", "worker", "manager"] {
        for way in ["crate::", "proletariat::"] {
            let path = format!("{way}{room}");
            let mut found = code.match_indices(&path).map(|(at, _)| code[at + path.len()..].chars().next());
            if found.any(|next| next.is_none_or(|c| !c.is_alphanumeric() && c != '_')) {
                named.insert(room.to_owned());
            }
        }
    }
    for (name, room) in [("proletariat_scheduler", "scheduler"), ("proletariat_protocol", "protocol")] {
        if code.contains(name) {
            named.insert(room.to_owned());
        }
    }
    named
}

#[test]
fn imports_point_down() {
    let map = map();
    assert_eq!(map.len(), 8, "the table of rooms in ARCHITECTURE.md");
    for (room, folder) in [
        ("protocol", "protocol/src"),
        ("scheduler", "src/scheduler"),
        ("net", "src/net"),
        ("security", "src/security"),
        ("client", "src/client"),
        ("worker", "src/worker"),
        ("manager", "src/manager"),
    ] {
        let allowed = &map[room];
        for file in rust_files(&root().join(folder)) {
            if file.components().any(|part| part.as_os_str() == "tests") {
                continue;
            }
            for named in named_rooms(&product_code(&file)) {
                assert!(named == room || allowed.contains(&named), "{} names {named}", file.display());
            }
        }
    }
}

#[test]
fn machines_are_pure() {
    let root = root();
    let mut files = rust_files(&root.join("src/scheduler"));
    files.extend(rust_files(&root.join("protocol/src")));
    for machine in ["client/machine", "worker/machine", "net/inbox", "net/outbox", "net/link"] {
        let file = root.join("src").join(machine).with_extension("rs");
        assert!(file.exists(), "{} has moved", file.display());
        files.push(file);
        let folder = root.join("src").join(machine);
        if folder.is_dir() {
            files.extend(rust_files(&folder));
        }
    }
    for file in files {
        if file.components().any(|part| part.as_os_str() == "tests") {
            continue;
        }
        let code = product_code(&file);
        for banned in [
            "tokio",
            "std::net",
            "std::fs",
            "std::thread",
            "Instant",
            "SystemTime",
            "rand::rng()",
            "std::collections::HashMap",
        ] {
            assert!(!code.contains(banned), "{} is pure and must not name {banned}", file.display());
        }
    }
}

#[test]
fn one_file_names_the_codec_crate() {
    let root = root();
    let mut files = rust_files(&root.join("src"));
    files.extend(rust_files(&root.join("bin")));
    files.extend(rust_files(&root.join("protocol/src")));
    let naming: Vec<PathBuf> =
        files.into_iter().filter(|file| product_code(file).contains("bincode::")).collect();
    assert_eq!(naming, [root.join("protocol/src/codec.rs")]);
}

#[test]
fn no_file_hides_a_second_idea() {
    let root = root();
    for folder in ["src", "bin", "protocol", "tests", "examples"] {
        for file in rust_files(&root.join(folder)) {
            let lines = read(&file).lines().count();
            let limit = if file.components().any(|part| part.as_os_str() == "tests") { 900 } else { 450 };
            assert!(lines <= limit, "{} has {lines} lines: split it", file.display());
        }
    }
}

#[test]
fn nothing_is_left_unfinished() {
    let root = root();
    for folder in ["src", "bin", "protocol", "tests", "examples"] {
        for file in rust_files(&root.join(folder)).into_iter().filter(|file| !file.ends_with("tidy/main.rs"))
        {
            let text = read(&file);
            for banned in ["todo!(", "unimplemented!(", "dbg!(", "#[ignore", "FIXME", "TODO"] {
                assert!(!text.contains(banned), "{} says {banned}", file.display());
            }
        }
    }
}

/// The README shows the examples as they are; what it shows is compiled as they are.
#[test]
fn the_readme_shows_the_examples() {
    let root = root();
    let readme = read(&root.join("README.md"));
    for example in ["worker", "client"] {
        let text = read(&root.join("examples").join(example).with_extension("rs"));
        let skipped = |line: &&str| !line.starts_with("//!") && !line.starts_with("#![allow");
        let code = text.lines().filter(skipped).collect::<Vec<_>>().join("\n");
        assert!(readme.contains(code.trim()), "README.md does not show examples/{example}.rs as it is");
    }
}
