//! The house keeps its shape: which room may use which, what a front page is, who knows whose words.
//!
//! Between crates Cargo guarantees the arrows; between the rooms of `src/` this reads the `crate::` paths.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Every room, and the rooms it may use besides itself. The same table, in words, stands in ARCHITECTURE.md.
const ROOMS: &[(&str, &[&str])] = &[
    ("task", &[]),
    ("clock", &[]),
    ("store", &["task"]),
    ("logs", &["task", "store"]),
    ("roster", &["store", "clock"]),
    ("retention", &["task", "store", "clock", "logs"]),
    ("engine", &["task", "store", "clock", "logs", "roster"]),
    ("feed", &["task", "store"]),
    ("webhooks", &["task", "clock", "store", "engine", "roster"]),
    ("tools", &["task"]),
    ("client", &[]),
    ("config", &[]),
    ("workunit", &["client", "store"]),
    ("http", &["task", "clock", "store", "tools", "workunit", "engine", "feed", "logs", "roster"]),
    ("embedded", &[]),
    ("telemetry", &["config"]),
    (
        "wiring",
        &[
            "task",
            "clock",
            "store",
            "roster",
            "logs",
            "retention",
            "engine",
            "feed",
            "webhooks",
            "tools",
            "client",
            "config",
            "workunit",
            "http",
            "embedded",
        ],
    ),
    ("cli", &["client", "config", "wiring", "workunit", "tools", "telemetry"]),
    ("main", &["cli"]),
];

/// A crate that only some rooms may name, and what the others would be doing with it.
const OUTSIDE: &[(&str, &[&str], &str)] = &[
    ("rusqlite", &["store"], "SQL is the store's"),
    ("tokio_postgres", &["store"], "SQL is the store's"),
    ("deadpool_postgres", &["store"], "SQL is the store's"),
    ("axum", &["http", "wiring"], "HTTP is the doors'"),
    (
        "reqwest",
        &["client", "webhooks", "http"],
        "calls to others are the client's and the webhooks', and the doors ask the other servers on the store",
    ),
    ("utoipa", &["http"], "the documents of the doors are written at the doors"),
    ("clap", &["cli"], "the command line is `cli`'s"),
    ("toml", &["config", "cli"], "settings are read in `config`"),
    ("tessera_docker", &["config", "wiring"], "concrete backends are named only where they are configured and wired"),
    (
        "tessera_kubernetes",
        &["config", "wiring"],
        "concrete backends are named only where they are configured and wired",
    ),
];

/// Words of the GA4GH protocol, and the rooms that speak it.
const WIRE_WORDS: &[&str] = &["\"EXECUTOR_ERROR\"", "\"SYSTEM_ERROR\"", "\"CANCELED\"", "\"CANCELING\"", "/ga4gh/tes"];
const SPEAK_TES: &[&str] = &["http", "client"];

/// Names that say nothing, and so collect everything.
const DRAWERS: &[&str] =
    &["util", "utils", "common", "helper", "helpers", "misc", "manager", "base", "core", "shared", "types"];

fn house() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(below: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(below).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

fn rust_files(below: &str) -> Vec<PathBuf> {
    files(&house().join(below)).into_iter().filter(|file| file.extension().is_some_and(|it| it == "rs")).collect()
}

fn shown(file: &Path) -> String {
    file.strip_prefix(house()).unwrap().display().to_string()
}

/// The room of a file below `src/`: its first folder, or its own name.
fn room(file: &Path) -> String {
    let below = file.strip_prefix(house().join("src")).unwrap();
    below.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned()
}

/// The lines that are no comments, with their numbers.
fn code(file: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(file).unwrap();
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.to_owned()));
    lines.filter(|(_, line)| !line.trim_start().starts_with("//")).collect()
}

/// The rooms that a file's code names, with the line of each.
fn rooms_used(file: &Path) -> Vec<(usize, String)> {
    let mut used = Vec::new();
    for (line, text) in code(file) {
        // The binary names its library by name.
        for (at, root) in text.match_indices("crate::").chain(text.match_indices("tessera::")) {
            let before = text[..at].chars().next_back();
            if before.is_some_and(|it| it.is_alphanumeric() || it == '_' || it == '$') {
                continue;
            }
            let rest = &text[at + root.len()..];
            let names = match rest.strip_prefix('{') {
                Some(several) => top_level(several),
                None => vec![rest],
            };
            let name =
                |it: &str| it.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
            used.extend(names.into_iter().map(|it| (line, name(it))));
        }
    }
    used
}

/// The parts of `a::{b, c}, d}` up to its end: `a::{b, c}` and `d`.
fn top_level(list: &str) -> Vec<&str> {
    let (mut depth, mut begin, mut parts) = (0, 0, Vec::new());
    for (at, letter) in list.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => {
                parts.push(&list[begin..at]);
                return parts;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&list[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&list[begin..]);
    parts
}

#[track_caller]
fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn arrows_only_go_down() {
    let mut wrong = Vec::new();
    for file in rust_files("src") {
        let room = room(&file);
        if room == "lib" {
            continue;
        }
        let Some((_, may)) = ROOMS.iter().find(|(name, _)| *name == room) else {
            wrong.push(format!("{}: `{room}` is not in the table of rooms; say there what it may use", shown(&file)));
            continue;
        };
        for (line, used) in rooms_used(&file) {
            let known = ROOMS.iter().any(|(name, _)| *name == used);
            if known && used != room && !may.contains(&used.as_str()) {
                wrong.push(format!("{}:{line}: `{room}` may not use `{used}`", shown(&file)));
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn the_table_of_rooms_has_no_circle_and_no_lost_entry() {
    for (room, may) in ROOMS {
        let mut reached: BTreeSet<&str> = BTreeSet::new();
        let mut next: Vec<&str> = may.to_vec();
        while let Some(below) = next.pop() {
            assert_ne!(below, *room, "`{room}` reaches itself");
            let (_, further) = ROOMS.iter().find(|(name, _)| *name == below).expect("every room is in the table");
            if reached.insert(below) {
                next.extend(*further);
            }
        }
    }
}

#[test]
fn no_file_climbs_out_of_its_room_by_super() {
    let mut wrong = Vec::new();
    for file in rust_files("src") {
        // A module `a::b::c` reaches the crate's root by three steps. A `mod tests` inside adds one.
        let below = file.strip_prefix(house().join("src")).unwrap();
        let stem = below.file_stem().unwrap().to_str().unwrap();
        let depth = (below.components().count() - usize::from(stem == "mod")).max(1);
        for (line, text) in code(&file) {
            let inside = usize::from(text.starts_with(' '));
            if text.contains(&"super::".repeat(depth + inside)) {
                wrong.push(format!("{}:{line}: leaves its room by `super::`; write `crate::`", shown(&file)));
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn outside_crates_stay_in_their_rooms() {
    let mut wrong = Vec::new();
    for file in rust_files("src") {
        let room = room(&file);
        for (line, text) in code(&file) {
            for (name, rooms, why) in OUTSIDE {
                let named = text.match_indices(&format!("{name}::")).any(|(at, _)| {
                    !text[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_' || before == ':')
                });
                if named && !rooms.contains(&room.as_str()) {
                    wrong.push(format!("{}:{line}: `{room}` names `{name}`, but {why}", shown(&file)));
                }
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn the_words_of_the_protocol_stop_at_its_door() {
    let mut wrong = Vec::new();
    for file in rust_files("src") {
        let room = room(&file);
        // Tests may say what a client would see.
        if shown(&file).contains("/tests") {
            continue;
        }
        let code = code(&file).into_iter().take_while(|(_, text)| !text.contains("#[cfg(test)]"));
        for (line, text) in code.filter(|_| !SPEAK_TES.contains(&room.as_str())) {
            for word in WIRE_WORDS.iter().filter(|word| text.contains(**word)) {
                wrong
                    .push(format!("{}:{line}: {word} is a word of GA4GH's; only {SPEAK_TES:?} speak it", shown(&file)));
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn every_room_has_a_front_page_without_logic() {
    let mut wrong = Vec::new();
    let rooms = fs::read_dir(house().join("src")).unwrap().map(|entry| entry.unwrap().path());
    for folder in rooms.filter(|path| path.is_dir()) {
        let page = folder.join("mod.rs");
        let Ok(text) = fs::read_to_string(&page) else {
            wrong.push(format!("{} has no front page; write {}", shown(&folder), shown(&page)));
            continue;
        };
        if !text.starts_with("//! ") {
            wrong.push(format!("{} does not begin with what the room is for", shown(&page)));
        }
        for (line, text) in code(&page) {
            let logic = text.starts_with("impl") || (text.contains("fn ") && text.trim_end().ends_with('{'));
            if logic {
                wrong.push(format!("{}:{line}: a front page holds docs and declarations; move this", shown(&page)));
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn one_module_style_and_docs_first() {
    let mut wrong = Vec::new();
    for file in rust_files("src") {
        // A folder without a front page holds tests only.
        let folder = file.parent().unwrap();
        let in_tests = folder.components().any(|part| part.as_os_str() == "tests");
        let is_tests = file.file_name().is_some_and(|name| name == "tests.rs");
        if !is_tests && !fs::read_to_string(&file).unwrap().starts_with("//!") {
            wrong.push(format!("{} does not begin with a `//!` that says what it is", shown(&file)));
        }
        if folder != house().join("src") && !folder.join("mod.rs").exists() && !in_tests && !is_tests {
            wrong.push(format!("{}: its folder has no mod.rs; only tests live in such a folder", shown(&file)));
        }
    }
    assert_none(&wrong);
}

#[test]
fn no_drawers() {
    let mut wrong = Vec::new();
    for below in ["src", "runtime", "backends", "xtask", "tests"] {
        for file in files(&house().join(below)) {
            let parts = file.strip_prefix(house()).unwrap().components();
            let names = parts.map(|part| Path::new(part.as_os_str()).file_stem().unwrap().to_str().unwrap().to_owned());
            for name in names.filter(|name| DRAWERS.contains(&name.as_str())) {
                wrong.push(format!("{}: `{name}` says nothing; name it after its subject", shown(&file)));
            }
        }
    }
    assert_none(&wrong);
}

/// The workspace's own crates that a manifest depends on, those for tests included.
fn own_dependencies(manifest: &Path) -> BTreeSet<String> {
    let manifest: toml::Table = toml::from_str(&fs::read_to_string(manifest).unwrap()).unwrap();
    let tables = ["dependencies", "dev-dependencies", "build-dependencies"].iter().filter_map(|it| manifest.get(*it));
    let names = tables.flat_map(|table| table.as_table().unwrap().keys());
    names.filter(|name| name.starts_with("tessera")).cloned().collect()
}

#[test]
fn crates_meet_only_at_the_contract_and_the_runtime() {
    assert!(
        own_dependencies(&house().join("runtime/Cargo.toml")).is_empty(),
        "the runtime depends on no crate of ours"
    );
    for entry in fs::read_dir(house().join("backends")).unwrap() {
        let folder = entry.unwrap().path();
        let name = folder.file_name().unwrap().to_str().unwrap();
        let manifest: toml::Table = toml::from_str(&fs::read_to_string(folder.join("Cargo.toml")).unwrap()).unwrap();
        assert_eq!(manifest["package"]["name"].as_str(), Some(format!("tessera-{name}").as_str()), "crate = folder");
        let allowed: &[&str] =
            if name == "contract" { &["tessera-runtime"] } else { &["tessera-runtime", "tessera-contract"] };
        for used in own_dependencies(&folder.join("Cargo.toml")) {
            assert!(allowed.contains(&used.as_str()), "backends/{name} may not depend on `{used}`");
        }
    }
}

#[test]
fn the_reader_of_paths_sees_what_it_should() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.rs");
    fs::write(&file, "// crate::a::b\nuse crate::{c::{d, e}, f};\nlet x = crate::g::h($crate::i::j, my_crate::k);\n")
        .unwrap();
    let used: Vec<_> = rooms_used(&file).into_iter().map(|(line, name)| format!("{line}{name}")).collect();
    assert_eq!(used, ["2c", "2f", "3g"]);
}
