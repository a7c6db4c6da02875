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
    for room in ["net", "security", "supervisor", "client", "worker", "manager"] {
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
    assert_eq!(map.len(), 9, "the table of rooms in ARCHITECTURE.md");
    for (room, folder) in [
        ("protocol", "protocol/src"),
        ("scheduler", "src/scheduler"),
        ("net", "src/net"),
        ("supervisor", "src/supervisor"),
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
    for machine in [
        "client/machine",
        "worker/machine",
        "supervisor/lines/machine",
        "net/inbox",
        "net/outbox",
        "net/link",
    ] {
        let file = root.join("src").join(machine).with_extension("rs");
        assert!(file.exists(), "{} has moved", file.display());
        files.push(file);
        let folder = root.join("src").join(machine);
        if folder.is_dir() {
            files.extend(rust_files(&folder));
        }
    }
    files.extend(rust_files(&root.join("src/manager/json")));
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

/// So does the page about JSON.
#[test]
fn the_page_about_json_shows_its_workers() {
    let root = root();
    let page = read(&root.join("docs/json.md"));
    for worker in ["worker.js", "worker.py"] {
        let text = read(&root.join("examples/json").join(worker));
        assert!(page.contains(text.trim()), "docs/json.md does not show {worker} as it is");
        let is_code =
            |line: &&str| !line.trim().is_empty() && !line.starts_with("//") && !line.starts_with("\"\"\"");
        let lines = text.lines().filter(is_code).count();
        assert!(lines < 45, "{worker} has grown to {lines} lines");
    }
}

/// The quoted words of a list in `deny.toml`.
fn allowed_by(deny: &str, list: &str) -> BTreeSet<String> {
    let begin = deny.find(&format!("\n{list} = [")).unwrap_or_else(|| panic!("no {list} in deny.toml"));
    let text = &deny[begin..];
    let text = &text[..text.find(']').expect("the list ends")];
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    lines.flat_map(|line| line.split('"').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// Whether one of the choices that a licence leaves is allowed as a whole.
fn is_free(licence: &str, allowed: &BTreeSet<String>) -> bool {
    let choices = licence.replace('/', " OR ").replace(['(', ')'], "");
    // Nothing in the tree needs more than "a or b, and c".
    let is_allowed = |word: &str| allowed.contains(word.trim());
    choices.split(" AND ").all(|part| part.split(" OR ").any(is_allowed))
}

#[test]
fn dependencies_are_what_deny_toml_allows() {
    let deny = read(&root().join("deny.toml"));
    let (licences, sources) = (allowed_by(&deny, "allow"), allowed_by(&deny, "allow-registry"));
    assert!(is_free("(MIT OR Apache-2.0) AND Unicode-3.0", &licences) && !is_free("GPL-3.0", &licences));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output_of = |arguments: &[&str]| {
        let mut command = std::process::Command::new(&cargo);
        command.args(arguments).current_dir(root()).output().expect("cargo runs")
    };
    // What is for other systems was never fetched here.
    let version = String::from_utf8(output_of(&["-vV"]).stdout).expect("cargo speaks UTF-8");
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).expect("cargo knows its host");
    let metadata = ["metadata", "--locked", "--offline", "--format-version", "1", "--filter-platform", host];
    let output = output_of(&metadata);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let packages = tree["packages"].as_array().expect("a list");
    assert!(packages.len() > 50, "the tree has been read");
    for package in packages {
        let (name, licence) = (&package["name"], package["license"].as_str().unwrap_or_default());
        let Some(source) = package["source"].as_str() else { continue };
        assert!(is_free(licence, &licences), "{name}: {licence}");
        assert!(sources.iter().any(|allowed| source.ends_with(allowed)), "{name}: {source}");
        assert!(name != "openssl-sys" && name != "aws-lc-rs" && name != "native-tls", "{name}");
    }
}

/// What a manifest says that the crate itself is built with.
fn dependencies_of(manifest: &str) -> BTreeSet<String> {
    let mut section = "";
    let mut names = BTreeSet::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line;
        } else if section.ends_with("dependencies]")
            && !["dev-", "workspace"].iter().any(|other| section.contains(other))
        {
            let name: String =
                line.chars().take_while(|c| c.is_alphanumeric() || "-_".contains(*c)).collect();
            names.insert(name);
        }
    }
    names.remove("");
    names
}

/// The fuzzer is a workspace of its own, which nothing else builds: its lock would fall behind without a word.
#[test]
fn the_lock_of_the_fuzzer_knows_what_the_crates_are_built_with() {
    let lock = read(&root().join("tests/fuzz/Cargo.lock"));
    for (name, folder) in [
        ("proletariat", "."),
        ("proletariat-cli", "bin"),
        ("proletariat-protocol", "protocol"),
        ("proletariat-scheduler", "src/scheduler"),
    ] {
        let wanted = dependencies_of(&read(&root().join(folder).join("Cargo.toml")));
        assert!(wanted.len() > 3, "the manifest of {name} has been read: {wanted:?}");
        let block = lock.split("[[package]]").find(|block| block.contains(&format!("\nname = \"{name}\"\n")));
        let block = block.unwrap_or_else(|| panic!("no {name} in the lock"));
        let locked: BTreeSet<&str> = block.split('"').filter_map(|word| word.split(' ').next()).collect();
        for dependency in wanted {
            assert!(
                locked.contains(dependency.as_str()),
                "{name} needs {dependency}: renew tests/fuzz/Cargo.lock"
            );
        }
    }
}
